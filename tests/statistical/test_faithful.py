"""The suite's own machinery: ranks of a conjugate Gaussian pass, those of a narrow or shifted posterior do not."""

import json
from datetime import date

import numpy as np
import pytest
from scipy.stats import norm

from tests.statistical import store
from tests.statistical.faithful import calibration, nuts_agreement, oracle, ranks, run, summary
from tests.statistical.faithful.women import PATTERNS

ALPHA = 1e-4


def gaussian_ranks(n: int, spread: float = 1.0, shift: float = 0.0, seed: int = 1) -> np.ndarray:
    """Ranks of theta ~ N(0, 1) given y ~ N(theta, 1) among 400 draws of its posterior, N(y / 2, 1 / 2), its SD times
    `spread` and its mean moved by `shift` SDs."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(n)
    y = theta + rng.standard_normal(n)
    sd = np.sqrt(0.5)
    draws = 0.5 * y[:, None] + sd * (shift + spread * rng.standard_normal((n, 400)))
    return np.array([ranks.rank(t, d, np.full(400, 1 / 400)) for t, d in zip(theta, draws, strict=True)])


def test_a_right_posterior_is_accepted():
    """False alarm of the three tests together: at most 3e-4."""
    u = gaussian_ranks(1000)
    assert ranks.furthest(u) > ranks.simultaneous(len(u), ALPHA)
    for level in ranks.LEVELS:
        assert ranks.coverage_p(int(ranks.covered(u, level).sum()), len(u), level) > ALPHA


@pytest.mark.parametrize(("spread", "shift"), [(0.7, 0.0), (1.4, 0.0), (1.0, 0.4)])
def test_a_wrong_posterior_is_found(spread, shift):
    """Power 0.99 or more at 1e-4 and 600 women (`uniform_power`)."""
    assert ranks.furthest(gaussian_ranks(600, spread, shift)) < ranks.simultaneous(600, ALPHA)


def test_narrow_posteriors_cover_too_little():
    """SD 0.7 of the right one: true coverage 0.75; power of 1000 women at 1e-4 above 0.999."""
    u = gaussian_ranks(1000, spread=0.7)
    assert ranks.coverage_p(int(ranks.covered(u, 0.9).sum()), 1000, 0.9) < ALPHA
    assert ranks.coverage_power(1000, 0.9, 0.75, ALPHA) > 0.999


def test_the_band_is_left_as_often_as_it_says():
    """Exact probability against 4000 simulated sets of 60 ranks: within 5 binomial standard errors (false alarm
    6e-7). Power: an error of 0.02 is found with probability 0.98."""
    rng = np.random.default_rng(2)
    low, high = ranks.band(60, 0.01)
    exact = ranks.leaves_band(60, 0.01)
    counts = np.array([ranks.ecdf_counts(rng.uniform(size=60)) for _ in range(4000)])
    seen = np.mean(np.any((counts < low) | (counts > high), axis=1))
    assert abs(seen - exact) < 5.0 * np.sqrt(exact * (1 - exact) / 4000)
    assert ranks.leaves_band(60, ranks.simultaneous(60, 0.05)) <= 0.05


def test_ranks_that_hang_together_are_judged_by_woman():
    """Twelve latents a woman that share most of their rank. Rejections at 5 % over 60 sets of 100 women: 0 to 12 has
    probability 1 - 1e-5; a test that took the latents as independent would reject in most sets. A rank pushed to the
    ends is found."""
    rng = np.random.default_rng(4)

    def sets(scale: float) -> list[np.ndarray]:
        common = rng.standard_normal((100, 1))
        return [
            norm.cdf(scale * row) for row in 0.9 * common + np.sqrt(1 - 0.81) * rng.standard_normal((100, 12))
        ]

    def p(women: list[np.ndarray]) -> float:
        return ranks.grouped_coverage_p([float(ranks.covered(u, 0.9).mean()) for u in women], 0.9)

    assert sum(p(sets(1.0)) < 0.05 for _ in range(60)) <= 12
    wrong = sets(1.7)
    assert p(wrong) < 1e-4
    assert ranks.grouped_uniform_p(np.array([ranks.bin_shares(u) for u in wrong])) < 1e-4


def invented_rows(n: int, seed: int, noise: float = 0.08) -> oracle.Rows:
    """ln weight linear in one covariate and the newest scan, with noise."""
    rng = np.random.default_rng(seed)
    base, scans = rng.standard_normal((n, 5)), 0.05 * rng.standard_normal((n, 4, 4))
    day = rng.uniform(260.0, 290.0, n)
    ln = (
        8.1
        + 0.02 * base[:, 0]
        + 0.8 * scans[:, 3, 1]
        + 0.008 * (day - 275.0)
        + noise * rng.standard_normal(n)
    )
    return oracle.Rows(base, scans, day, ln)


def test_the_oracle_is_as_sharp_as_the_noise_and_covers():
    """Best 90 % interval of this noise: 2 * 1.645 * 0.08 in ln. Expected 2 % wider for the 66 regressors, and 2 %
    standard error of the conformal quantile: within -6 to +10 %. Coverage of 2000 new women within 0.87-0.93 (3
    standard errors of both samples). Without the scans it is wider."""
    rows, new = invented_rows(2000, 7), invented_rows(2000, 8)
    low, high = oracle.fit(rows, 4).interval(new, 4)
    width = np.median(np.log(high / low))
    assert 0.94 < width / (2 * 1.645 * 0.08) < 1.10
    truth = np.exp(new.ln_weight)
    assert 0.87 < np.mean((low <= truth) & (truth <= high)) < 0.93
    blind_low, blind_high = oracle.fit(rows, 0).interval(new, 0)
    assert np.median(np.log(blind_high / blind_low)) > 1.05 * width


def test_a_stopped_check_is_taken_up_again(tmp_path):
    """A torn last line costs its own case alone."""
    out, made = tmp_path / "part-own-smbg.jsonl", []

    def case(i):
        return f"case {i}", lambda: (made.append(i), {"value": i})[1]

    store.run_cases(out, [case(0), case(1)], say=lambda _: None)
    out.write_text(out.read_text() + '{"case": "case 2", "val')
    rows = store.run_cases(out, [case(i) for i in range(4)], say=lambda _: None)
    assert made == [0, 1, 2, 3] and [r["value"] for r in rows] == [0, 1, 2, 3]
    assert [r["value"] for r in store.run_cases(out, [case(i) for i in range(4)])] == [0, 1, 2, 3]


def stored_women(u: np.ndarray) -> list[dict]:
    """Cases as `calibration.batch` makes them, of women with these ranks."""
    heads = dict.fromkeys(summary.HEADLINES, 0.5)
    return [
        {
            "number": i, "scans": i % 5, "truth_g": 3400.0,
            "weight_quantiles_g": [2900.0, 3200.0, 3400.0, 3600.0, 3900.0],
            "ranks": {**heads, **{k: float(v) for k in heads}, "z S_I": float(np.mod(v + 0.5, 1.0))}, "meals": [],
            "issued": {},
            "variance": {"S_I": 0.4}, "conflicts": [["parameters", "parameters", 0.1, 0.5, False]], "ok": True,
            "pareto_k": 0.3, "ess": 500.0, "fallback": None,
            "seen": {"base": [0.0], "scans": np.zeros((4, 4)).tolist(), "birth_day": 275.0, "ln_weight": 8.1},
        }
        for i, v in enumerate(u)
    ]  # fmt: skip


@pytest.mark.parametrize(("spread", "right"), [(1.0, True), (0.7, False)])
def test_the_summary_says_what_falls_short(tmp_path, spread, right):
    """Both generators with the same ranks: of a right posterior none falls short (false alarm 1e-3), of one a third too
    narrow the headlines and the other generator's coverage do."""
    women = stored_women(gaussian_ranks(400, spread))
    for generator in ("own", "other"):
        case = {"case": "women 0-399", "version": "v", "women": women, "core_s": [1.0, 1.0, 1.0]}
        (tmp_path / f"calibration-{generator}-smbg.jsonl").write_text(json.dumps(case) + "\n")
    blocks = summary.blocks_of(summary.load(tmp_path))
    short = [s for b in blocks for s in b.short]
    assert (not short) == right, short
    if not right:
        assert any("other generator" in s for s in short) and any(
            s.startswith("smbg, birth_weight") for s in short
        )
    assert ("Falls short" not in summary.markdown(blocks, {"calibration": ["v"]})) == right
    summary.plots(summary.load(tmp_path), tmp_path)
    assert (tmp_path / "faithfulness_ranks.svg").stat().st_size > 1000


def test_every_part_names_its_cases_once(tmp_path):
    """All women of all parts, each in one case of one file."""
    planned = list(run.files(tmp_path, list(run.PARTS), ["own", "other"], list(PATTERNS), None))
    assert len({path for path, _ in planned}) == len(planned) == 4 * (2 + 2 + 1 + 1 + 1)
    assert all(len({name for name, _ in cases}) == len(cases) for _, cases in planned)
    for method in ("nuts", "laplace"):
        found = [name for path, cases in planned if path.name.startswith(method) for name, _ in cases]
        assert sorted(found) == sorted(f"woman {i}" for i in range(run.NUTS_WOMEN))
    assert all("-" not in pattern for pattern in PATTERNS)  # file names are split at dashes


def test_birth_weight_of_a_known_mixture():
    """One fetal weight: the lognormal's own quantile and tail; the delta method against 400 repeats, within 4 standard
    errors of an SD (false alarm 1e-4)."""
    alone = np.array([3500.0])
    assert calibration.weight_quantile(0.95, alone) == pytest.approx(
        3500.0 * np.exp(0.06 * norm.ppf(0.95)), rel=1e-6
    )
    assert calibration.weight_below(3500.0, alone) == pytest.approx(0.5)
    rng = np.random.default_rng(9)
    sets = 3500.0 * np.exp(0.07 * rng.standard_normal((400, 300)))
    for name in ("p_large", "q05", "q95"):
        found = np.std([nuts_agreement.reported(s)[name] for s in sets])
        told = np.mean([nuts_agreement.errors(s, 300.0)[name] for s in sets[:20]])
        assert told == pytest.approx(found, rel=4.0 / np.sqrt(800.0) + 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_laplace_agrees_with_the_kept_nuts_runs(pattern):
    """Another woman of each pattern every day, within the bars and four Monte-Carlo errors: false alarm below 1e-4 of
    each figure. Power is left to the bars on all 100."""
    gold = list(store.stored_cases(run.GOLD / f"nuts-own-{pattern}.jsonl").values())
    row = gold[date.today().toordinal() % len(gold)]
    fast = nuts_agreement.by_laplace(int(row["case"].split()[1]), day=row["day"])
    for name, bar in (
        ("p_large", nuts_agreement.P_BAR),
        *((q, nuts_agreement.WEIGHT_BAR_G) for q in ("q05", "q50", "q95")),
    ):
        chance = np.hypot(row["error"]["nuts"][name], fast["error"]["laplace"][name])
        assert abs(row["nuts"][name] - fast["laplace"][name]) <= bar + 4.0 * chance, (row["case"], name)
