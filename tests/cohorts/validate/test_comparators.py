"""Comparators: no woman teaches the model that is asked about her, and each finds what there is to find."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binom, norm

from cohorts.validate.comparators import COMPARATORS, TRAINING, cross_validated
from cohorts.validate.folds import folds_of
from cohorts.validate.measures import auc
from cohorts.validate.table import accept
from twin.errors import UnusableInput

SD = 0.08  # of ln birth weight about its regression
GIVEN, FORECAST = "given the day of birth", "forecast"


def women(n, seed=0, estimand=GIVEN):
    """ln birth weight = ln EFW + 0.055 weeks - 0.003 weeks^2 + 0.03 parity, normal with `SD`."""
    rng = np.random.default_rng(seed)
    efw = 2600.0 * np.exp(0.12 * rng.standard_normal(n))
    days = rng.integers(0, 60, n).astype(float)
    parity = rng.integers(0, 3, n).astype(float)
    weeks = days / 7.0
    ln_weight = np.log(efw) + 0.055 * weeks - 0.003 * weeks**2 + 0.03 * parity + SD * rng.standard_normal(n)
    weight = np.exp(ln_weight)
    scale = np.cbrt(efw / 2600.0)
    table = pd.DataFrame(
        {
            "woman": [f"w{i:04d}" for i in range(n)],
            "as_of": "last scan",
            "estimand": estimand,
            "efw_g": efw,
            "efw_z": norm.ppf(rng.uniform(0.001, 0.999, n)) * 0.2 + np.log(efw / 2600.0) / 0.12,
            "days_to_birth": days,
            "days_to_expected_birth": days + rng.normal(0.0, 7.0, n),
            "parity": parity,
            "maternal_age_y": rng.normal(32.0, 5.0, n),
            "birth_weight_g": weight,
            "over_4000_g": (weight > 4000.0).astype(float),
            "over_4500_g": (weight > 4500.0).astype(float),
            "lga": (weight > 3900.0).astype(float),
        }
    )
    for name, size in (("ac_mm", 320.0), ("hc_mm", 320.0), ("bpd_mm", 90.0), ("fl_mm", 68.0)):
        table[name] = size * scale * np.exp(0.02 * rng.standard_normal(n))
    return table


N = 160
TABLE = women(N)
FOLD = folds_of(TABLE["woman"], folds=3)
FOUND = cross_validated(TABLE, FOLD)
BRIEF = TABLE.drop(columns=["over_4500_g", "lga"])  # fewer outcomes to fit
FAST = {k: COMPARATORS[k] for k in ("EFW + days, curved", "measurements regression")}


def chances_of(found, model, outcome="over_4000_g"):
    rows = found.predictions
    return rows[(rows["model"] == model) & (rows["outcome"] == outcome)].set_index("woman")


def test_every_comparator_keeps_the_contract():
    accepted = accept(FOUND.predictions)
    assert accepted.counts == {} and len(FOUND.left_out) == 0
    by = accepted.used.groupby("model")["outcome"].unique().map(set)
    assert set(by.index) == set(COMPARATORS)
    yes_no = {"over_4000_g", "over_4500_g", "lga"}
    assert by["EFW centile"] == yes_no == by["EFW + days, curved, logistic"]
    assert by["EFW + g/day"] == by["boosted trees"] == by["EFW + maternal"] == yes_no | {"birth_weight_g"}
    assert (
        by["EFW + days, curved"] == by["Gaussian process"] == {"birth_weight_g", "over_4000_g", "over_4500_g"}
    )
    assert by["measurements regression"] == yes_no | {"birth_weight_g"}
    assert (accepted.used.groupby(["model", "outcome"]).size() == N).all()


def test_nobody_is_taught_by_her_own_fold():
    """Outcomes of one fold turned round, and inputs of one of its women odd and her age unknown: no prediction of the
    others in that fold moves, so neither model, scaling nor imputation has seen it; every other fold's moves."""
    changed = BRIEF.copy()
    held = FOLD == 2
    changed.loc[held, "birth_weight_g"] = 7500.0 - changed.loc[held, "birth_weight_g"]
    changed.loc[held, "over_4000_g"] = 1.0 - changed.loc[held, "over_4000_g"]
    her = np.flatnonzero(held)[0]
    changed.loc[her, ["efw_g", "efw_z", "ac_mm", "fl_mm"]] *= 1.5
    changed.loc[her, "maternal_age_y"] = np.nan
    numbers = ["p", "mean_ln", "sd_ln", "q05", "q95"]
    key = ["model", "outcome", "woman"]
    b = cross_validated(changed, FOLD).predictions.set_index(key)[numbers]
    a = FOUND.predictions.set_index(key)[numbers].loc[b.index]
    same = np.isclose(a, b, rtol=1e-12, equal_nan=True).all(axis=1)
    who = a.index.get_level_values("woman")
    inside, hers = who.isin(TABLE["woman"][held]), who == TABLE["woman"][her]
    assert same[inside & ~hers].all() and not same[~inside].any() and not same[hers].all()


@pytest.mark.parametrize(
    ("estimand", "other"), [(GIVEN, "days_to_expected_birth"), (FORECAST, "days_to_birth")]
)
def test_a_forecast_does_not_know_the_day_of_birth(estimand, other):
    """The other estimand's days change nothing, the own ones do."""
    table = BRIEF.assign(estimand=estimand)
    base = cross_validated(table, comparators=FAST).predictions
    for changed in (table.assign(**{other: 0.0}), table.drop(columns=other)):
        pd.testing.assert_frame_equal(base, cross_validated(changed, comparators=FAST).predictions)
    own = ({"days_to_birth", "days_to_expected_birth"} - {other}).pop()
    moved = cross_validated(table.assign(**{own: TABLE[own].abs() ** 0.5}), comparators=FAST).predictions
    assert not np.allclose(base["p"].fillna(0.0), moved["p"].fillna(0.0))


def test_normal_regression_is_least_squares():
    """statsmodels on the training folds, by hand."""
    a, d = np.log(TABLE["efw_g"] / 3000.0), TABLE["days_to_birth"] / 7.0
    X = sm.add_constant(np.column_stack([a, d, a**2, d**2, a * d]))
    ln_weight = np.log(TABLE["birth_weight_g"].to_numpy())
    got = chances_of(FOUND, "EFW + days, curved", "birth_weight_g")
    fit = sm.OLS(ln_weight[FOLD != 2], X[FOLD != 2]).fit()
    here = got.loc[TABLE["woman"][FOLD == 2]]
    assert here["mean_ln"].to_numpy() == pytest.approx(fit.predict(X[FOLD == 2]), abs=1e-9)
    assert here["sd_ln"].to_numpy() == pytest.approx(np.sqrt(fit.scale), abs=1e-9)
    p = chances_of(FOUND, "EFW + days, curved").loc[here.index, "p"]
    assert p.to_numpy() == pytest.approx(norm.sf((np.log(4000) - here["mean_ln"]) / here["sd_ln"]))
    assert here["q90"].to_numpy() == pytest.approx(np.exp(here["mean_ln"] + norm.ppf(0.9) * here["sd_ln"]))


def test_they_find_what_there_is_to_find():
    """1500 women: SD of ln error within 7 % of the truth (SE 1.8 %, and 1 % for what is fitted), 90 % intervals by
    exact binomial at 1e-4, AUC within 0.01 of that of the true chance on the same women."""
    table = women(1500, seed=1)
    some = {k: COMPARATORS[k] for k in ("EFW + maternal", "measurements regression", "EFW + days, curved")}
    found = cross_validated(table[[*BRIEF.columns]], comparators=some)
    weeks = table["days_to_birth"] / 7.0
    mean = np.log(table["efw_g"]) + 0.055 * weeks - 0.003 * weeks**2 + 0.03 * table["parity"]
    best = auc(norm.sf((np.log(4000.0) - mean.to_numpy()) / SD), table["over_4000_g"].to_numpy())
    got = chances_of(found, "EFW + maternal", "birth_weight_g")
    assert np.std(np.log(got["y"]) - got["mean_ln"]) == pytest.approx(SD, rel=0.07)
    low, high = binom.ppf([5e-5, 1 - 5e-5], 1500, 0.90)
    assert low <= ((got["y"] >= got["q05"]) & (got["y"] <= got["q95"])).sum() <= high
    mothers = chances_of(found, "EFW + maternal")
    assert auc(mothers["p"].to_numpy(), mothers["y"].to_numpy()) == pytest.approx(float(best), abs=0.01)
    # parity is worth 0.024 of SD, which the one without it lacks
    without = chances_of(found, "EFW + days, curved", "birth_weight_g")
    assert without["sd_ln"].mean() == pytest.approx(np.hypot(SD, 0.03 * table["parity"].std()), rel=0.07)


def test_unknown_inputs_are_imputed_and_the_model_is_told():
    """Weights of women whose age is unknown are 20 % lower: the column that says so finds it (SE 0.02)."""
    table = women(400, seed=2)
    unknown = np.arange(400) % 4 == 0
    table.loc[unknown, "maternal_age_y"] = np.nan
    table.loc[unknown, "birth_weight_g"] *= np.exp(-0.2)
    found = cross_validated(table[[*BRIEF.columns]], comparators={"m": COMPARATORS["EFW + maternal"]})
    got = chances_of(found, "EFW + maternal", "birth_weight_g").loc[table["woman"]]
    error = got["mean_ln"].to_numpy() - np.log(table["birth_weight_g"].to_numpy())
    assert np.isfinite(error).all()
    assert error[unknown].mean() == pytest.approx(0.0, abs=0.05)


def test_what_cannot_be_fitted_is_left_out_with_the_reason():
    lacking = BRIEF.drop(columns=["birth_weight_g", "efw_z", "bpd_mm", "parity", "maternal_age_y"]).assign(
        fl_mm=np.nan
    )
    left = cross_validated(lacking).left_out.set_index("model")["reason"]
    assert left["EFW centile"] == "no efw_z"
    assert left["measurements regression"] == "no fl_mm" == left["Gaussian process"]
    assert left["EFW + maternal"].startswith("none of maternal_age_y, parity")
    assert "EFW + g/day" not in left and left["EFW + days, curved"] == "no birth_weight_g to learn from"


def test_too_few_women_and_too_few_events():
    few = cross_validated(women(TRAINING), comparators={"g": COMPARATORS["EFW + g/day"]})
    assert len(few.predictions) == 0
    assert set(few.left_out["outcome"]) == {"birth_weight_g", "over_4000_g", "over_4500_g", "lga"}
    assert (few.left_out["reason"] == f"fewer than {TRAINING} women to learn from").all()
    nobody = cross_validated(
        TABLE[["woman", "as_of", "estimand", "efw_g", "efw_z", "days_to_birth"]].assign(lga=0.0),
        comparators={k: COMPARATORS[k] for k in ("EFW centile", "boosted trees")},
    )
    for model in ("EFW centile", "boosted trees"):
        p = chances_of(nobody, model, "lga")["p"]
        assert p.max() < 0.004 and p.min() > 0.0


def test_unknown_outcomes_neither_teach_nor_are_judged():
    table = TABLE.copy()
    table.loc[:9, ["birth_weight_g", "over_4000_g"]] = np.nan
    found = cross_validated(table, comparators={"g": COMPARATORS["EFW + g/day"]})
    assert accept(found.predictions).counts == {"y missing": 20}
    assert len(accept(found.predictions).used) == 4 * N - 20


def test_each_as_of_is_a_study_of_its_own():
    later = women(N, seed=3).drop(columns=["over_4500_g", "lga"]).assign(as_of="36+0")
    both = cross_validated(
        pd.concat([BRIEF, later]), comparators={"g": COMPARATORS["EFW + g/day"]}
    ).predictions
    alone = cross_validated(later, comparators={"g": COMPARATORS["EFW + g/day"]}).predictions
    pd.testing.assert_frame_equal(both[both["as_of"] == "36+0"].reset_index(drop=True), alone)


def test_a_woman_in_two_folds_is_an_error():
    with pytest.raises(UnusableInput, match="two folds"):
        cross_validated(pd.concat([TABLE, TABLE.assign(as_of="36+0")]), fold=np.repeat([0, 1], N))
