"""The whole way: a table of predictions in, an evaluation, pictures, a page and files out."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from cohorts.validate.evaluate import Settings, evaluate
from cohorts.validate.measures import auc
from cohorts.validate.report import LABELS, SCHEMA, verdict, write
from tests.cohorts.validate.tables import chances, weights, yes_no
from twin.errors import UnusableInput

N = 260
FEW = Settings(resamples=60, edges={"bmi": (25.0, 30.0)})
DATA = "Virtual women of a test."


def predictions():
    """Two outcomes, each forecast early and given the day of birth later; a comparator, strata of the twin's rows
    alone, and five bad rows."""
    rng = np.random.default_rng(0)
    about = {"bmi": rng.normal(27.0, 4.0, N), "<script>drug": rng.choice(["diet", "insulin & more"], N)}
    right, y = chances(rng, N, base=0.3, spread=1.5)
    ln_weight = rng.normal(8.1, 0.14, N)
    tables = []
    for as_of, estimand, noise in (("28+0", "forecast", 0.12), ("36+0", "given the day of birth", 0.05)):
        p, near = (np.clip(right + k * noise * rng.standard_normal(N), 0.01, 0.99) for k in (1.0, 2.0))
        mean_ln = 8.1 + 0.5 * (ln_weight - 8.1) + noise * rng.standard_normal(N)
        flat = weights(np.full(N, 8.1), np.full(N, 0.14), np.exp(ln_weight), model="EFW centile")
        some = [yes_no(p, y, **about), yes_no(near, y, model="EFW centile")]
        some += [weights(mean_ln, np.full(N, 0.1), np.exp(ln_weight), **about), flat.assign(crps=np.nan)]
        tables += [t.assign(estimand=estimand, as_of=as_of) for t in some]
    bad = tables[0].iloc[:5].assign(as_of="20+0", p=[2.0, -1.0, np.nan, 0.5, 0.5], y=[1, 0, 1, 7, np.nan])
    return pd.concat([*tables, bad], ignore_index=True)


@pytest.fixture(scope="module")
def table():
    return predictions()


@pytest.fixture(scope="module")
def evaluation(table):
    return evaluate(table, FEW)


@pytest.fixture(scope="module")
def simulated(evaluation, tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated")
    left_out = pd.DataFrame(
        [{"as_of": "28+0", "estimand": "forecast", "model": "trees", "outcome": "", "reason": "no efw_g"}]
    )
    told = write(evaluation, out, data=DATA, births="simulated", models={"twin": "of <b>"}, left_out=left_out)
    return out, told


def test_the_numbers_are_those_of_the_table(table, simulated):
    out, _ = simulated
    lines = pd.read_csv(out / "results.csv", keep_default_na=False, na_values=[""])
    rows = table[(table["outcome"] == "over_4000_g") & (table["model"] == "twin")]
    rows = rows[rows["as_of"] == "36+0"]
    got = lines[(lines["measure"] == "auc") & (lines["model"] == "twin") & lines["versus"].isna()]
    got = got[(got["as_of"] == "36+0") & got["stratum"].isna()]
    assert len(got) == 1
    assert got["value"].iloc[0] == pytest.approx(float(auc(rows["p"].to_numpy(), rows["y"].to_numpy())))
    assert got["low"].iloc[0] < got["value"].iloc[0] < got["high"].iloc[0]
    assert (got["n"].iloc[0], got["events"].iloc[0]) == (N, rows["y"].sum())


def test_results_are_strict_json_and_complete(evaluation, simulated):
    out, told = simulated

    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    read = json.loads((out / "results.json").read_text(), parse_constant=no_constant)
    assert read == told and read["schema"] == SCHEMA == "gdm-twin/validation/1"
    assert (read["data"], read["births"], read["label"]) == (DATA, "simulated", "simulation: no accuracy")
    assert len(read["lines"]) == len(evaluation.lines)
    counts = read["counts"]
    assert counts["rows"] == counts["used"] + counts["rejected"] == 8 * N + 5
    assert sum(counts["rejected_by_reason"].values()) == counts["rejected"] == 5
    assert len(read["calibration"]) == len(read["pit"]) == 2
    assert len(read["decisions"]) == 4  # two decisions hang on 4000 g
    some = read["thresholds"][0]
    assert sum(some[k] for k in ("true_positive", "false_positive", "false_negative", "true_negative")) == N
    assert len(pd.read_csv(out / "rejected.csv")) == 5 and len(pd.read_csv(out / "predictions.csv")) == 8 * N


def test_every_table_and_picture_of_simulated_births_says_so(simulated):
    out, _ = simulated
    page = (out / "validation.html").read_text()
    label = LABELS["simulated"]
    tables = page.count("<table")
    assert tables > 12 and len(re.findall(rf"<caption><b>{label}\.</b>", page)) == tables
    pictures = list((out / "figures").glob("*.svg"))
    assert len(pictures) == 2 * 4 + 2 * 2 and page.count("<svg") == len(pictures)
    for path in pictures:
        assert label in path.read_text(), path.name
    for name in ("results.csv", "predictions.csv", "rejected.csv"):
        assert (pd.read_csv(out / name)["births"] == label).all()


def test_real_births_are_not_called_simulated(tmp_path):
    small = evaluate(yes_no(*chances(np.random.default_rng(1), 100)), FEW)
    told = write(small, tmp_path, data=DATA, births="real")
    assert told["label"] == "real births"
    assert "simulation: no accuracy" not in (tmp_path / "validation.html").read_text()


def test_the_page_needs_no_network_and_what_comes_from_data_is_no_markup(simulated):
    out, _ = simulated
    page = (out / "validation.html").read_text()
    assert not re.search(r"<script|<link|<img|@import|url\(http|src=", page.replace("&lt;script&gt;", ""))
    assert "&lt;script&gt;drug" in page and "of &lt;b&gt;" in page and "insulin &amp; more" in page


def test_the_page_tells_what_was_turned_away_and_what_was_left_out(simulated):
    page = (simulated[0] / "validation.html").read_text()
    assert f"{8 * N + 5} in = {8 * N} used + 5 rejected" in page
    for text in ("p outside 0 to 1", "y neither 0 nor 1", "no efw_g", "they are no forecast", DATA):
        assert text in page, text
    assert page.index("Birth weight &gt; 4000 g: forecast") < page.index(
        "Birth weight: given the day of birth"
    )


def test_a_validation_says_which_data_it_is_of(evaluation, tmp_path):
    with pytest.raises(ValueError, match="which data"):
        write(evaluation, tmp_path, data=" ", births="real")
    with pytest.raises(ValueError, match="simulated"):
        write(evaluation, tmp_path, data=DATA, births="virtual")
    assert not any(tmp_path.iterdir())


def test_the_same_seed_gives_the_same_lines(table, evaluation):
    again = evaluate(table.sample(frac=1.0, random_state=3), FEW)
    key = ["estimand", "outcome", "as_of", "model", "measure", "versus", "stratum", "level"]
    a, b = (e.lines.sort_values(key).reset_index(drop=True) for e in (evaluation, again))
    pd.testing.assert_frame_equal(a, b, rtol=1e-9)


def test_a_model_that_is_not_there_cannot_be_judged(table):
    with pytest.raises(UnusableInput, match="EFW centile"):
        evaluate(table, Settings(judged="oracle"))


@pytest.mark.parametrize(
    "rows",
    [
        yes_no(np.full(120, 0.1), np.repeat([0.0, 1.0], [100, 20])),  # one chance for everybody
        yes_no(np.linspace(0.0, 1.0, 30), np.zeros(30), "over_4500_g"),  # no event
        yes_no(np.array([0.2, 0.7]), np.array([0.0, 1.0]), "lga"),  # two women
        yes_no(np.repeat([0.0, 1.0], 50), np.repeat([0.0, 1.0], 50), "sga"),  # all known
        weights(np.full(3, 8.1), np.full(3, 0.1), np.full(3, 3300.0), parity=[0, 1, 2]),
    ],
)
def test_what_has_no_figure_is_written_all_the_same(rows, tmp_path):
    """Without comparators, without strata: no warning, no failure, null for what is not defined."""
    told = write(evaluate(rows, Settings(resamples=30)), tmp_path, data=DATA, births="real")
    assert told["lines"] and (tmp_path / "validation.html").stat().st_size > 1000


def test_better_and_worse():
    assert verdict(0.01, 0.02, "auc") == "better" == verdict(-0.02, -0.01, "brier")
    assert verdict(-0.02, -0.01, "auc") == "worse" == verdict(0.01, 0.02, "crps")
    assert verdict(-0.01, 0.02, "auc") == "not told apart"
    assert verdict(0.01, 0.02, "width_90") == "" == verdict(float("nan"), float("nan"), "auc")
    assert verdict(np.float64(0.01), np.float64(0.02), "sensitivity_at_10") == "better"
