"""What records lack and get wrong: shares and spreads in closed form, and nothing else of a woman changed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binom, norm

from cohorts.synthetic.design import DESIGNS, Forgotten, PrickLapses, ScanFaults, SmbgPlan, WearLapses
from cohorts.synthetic.lapses import (
    GROSS_LN,
    SNACK_BELOW_G,
    WINDOW_SD_TIMES,
    WINDOW_UNSEEN,
    as_scanned,
    has_poor_window,
    paused,
    poor_window_chance,
    pricks_taken,
    sensor_on,
    with_forgotten,
)
from cohorts.synthetic.schedule import draw_schedule, intake_rows, scan_rows
from cohorts.synthetic.women import draw_woman
from twin.encode import SCAN_SD
from twin.physiology.coupled import REFERENCE_MEALS

FIVE = 5.0  # standard errors; false-alarm rate 6e-7 a comparison


def planned(seed, design):
    woman = draw_woman(np.random.default_rng([seed, 0]), design)
    return draw_schedule(np.random.default_rng([seed, 1]), woman, design)


def test_pauses_have_their_share_and_length():
    """A chain of 200 000 days. The share's variance is that of a two-state chain in closed form."""
    share, mean, n = 0.1, 4.0, 200_000
    off = paused(np.random.default_rng(1), n, share, mean)
    r = 1.0 - 1.0 / mean - share / (mean * (1.0 - share))  # correlation from day to day
    se = np.sqrt(share * (1.0 - share) / n * (1.0 + r) / (1.0 - r))
    assert abs(off.mean() - share) < FIVE * se
    ends = np.flatnonzero(np.diff(np.concatenate([[0], off.astype(int), [0]])))
    length = ends[1::2] - ends[::2]
    assert abs(length.mean() - mean) < FIVE * np.sqrt(mean * (mean - 1.0) / length.size)


def test_pricks_without_lapses_are_taken_one_by_one():
    uniform = np.random.default_rng(2).uniform(size=200)
    taken = pricks_taken((1, 2), np.arange(200, 400), uniform, SmbgPlan(28.0, 0.7))
    assert np.array_equal(taken, uniform < 0.7)


def test_share_of_pricks_taken():
    """2000 women, against the integral over women, weeks and pauses."""
    lapses = PrickLapses()
    plan = SmbgPlan(28.0, 0.8, lapses=lapses)
    days = np.repeat(np.arange(196, 252), 4)
    rng = np.random.default_rng(3)
    share = [pricks_taken((7, i), days, rng.uniform(size=days.size), plan).mean() for i in range(2000)]
    z = np.linspace(-8.0, 8.0, 4001)
    own = np.sum(norm.pdf(z) * expit(logit(0.8) + lapses.between_women_ln_odds * z)) * (z[1] - z[0])
    expected = own * np.exp(-lapses.fatigue_per_week * (days - 196) / 7.0).mean() * (1.0 - lapses.pause_share)
    assert abs(np.mean(share) - expected) < FIVE * np.std(share) / np.sqrt(len(share))


def test_a_sensor_that_comes_off_does_not_come_back():
    """Mean worn share of 10 days in closed form; 3000 sensors."""
    minutes = np.arange(0.0, 10 * 1440.0, 60.0)
    lapses = WearLapses(ends_per_day=0.1, off_per_day=0.0)
    here = np.array([sensor_on((5, i), minutes, lapses) for i in range(3000)])
    assert (np.diff(here.astype(int), axis=1) <= 0).all()
    expected = np.exp(-0.1 * minutes / 1440.0).mean()
    share = here.mean(axis=1)
    assert abs(share.mean() - expected) < FIVE * share.std() / np.sqrt(share.size)
    assert sensor_on((5, 1), minutes, None).all()


def test_forgotten_meals_are_eaten_all_the_same():
    """Exact binomial over whole diaries, false-alarm rate 2e-4 each; grams eaten and times stay."""
    design = DESIGNS["sensor"]
    forgotten = Forgotten(day=0.0, meal=0.1, snack=0.3)
    lost = {True: [], False: []}
    for i in range(60):
        meals = planned(i, design).meals
        after = with_forgotten((11, i), meals, forgotten)
        assert [(m.day, m.clock_min, m.actual_g) for m in after] == [
            (m.day, m.clock_min, m.actual_g) for m in meals
        ]
        for before, m in zip(meals, after, strict=True):
            small = REFERENCE_MEALS[m.slot][1] < SNACK_BELOW_G
            lost[small].append(m.recorded_g == 0.0)
            assert m.recorded_g in (0.0, before.recorded_g)
    for small, chance in ((True, 0.3), (False, 0.1)):
        low, high = binom.ppf([1e-4, 1 - 1e-4], len(lost[small]), chance)
        assert low <= sum(lost[small]) <= high
    whole_days = with_forgotten((11, 1), planned(1, design).meals, Forgotten(day=1.0))
    assert all(m.recorded_g == 0.0 for m in whole_days)


def test_forgotten_meals_are_in_no_record():
    design = DESIGNS["sensor"]
    plan = planned(3, design)
    plan = replace(plan, meals=with_forgotten((3,), plan.meals, Forgotten(0.0, 0.5, 0.5)))
    written = intake_rows(plan, design, None, recorded=True, treated=True)["meals"]
    eaten = intake_rows(plan, design, None, recorded=False, treated=True)["meals"]
    assert len(eaten) == len(plan.meals) and 0 < len(written) < len(eaten)
    assert all(r["carbohydrate_g"] > 0.0 for r in (*written, *eaten))


def scans(faults, poor, n=400):
    rows = scan_rows(planned(1, DESIGNS["standard"]))
    found = [as_scanned((13, i), rows, faults, poor) for i in range(n)]
    value = {(r["time_local"], r["quantity"]): r["value"] for r in rows}
    ratio = [
        (r["quantity"], np.log(r["value"] / value[r["time_local"], r["quantity"]])) for f in found for r in f
    ]
    return rows, found, ratio


def test_scans_without_faults_stay():
    rows, found, _ = scans(None, True, n=1)
    assert found == [rows]
    assert as_scanned((1,), rows, ScanFaults(1.0, 0.0), False) == rows


def test_scans_are_missed_whole():
    """Exact binomial over 1200 scans, false-alarm rate 2e-4; a good window loses no single measure."""
    _, found, _ = scans(ScanFaults(taken=0.7, gross_errors=0.0), False)
    times = [{r["time_local"] for r in f} for f in found]
    assert all(len(f) == 4 * len(t) for f, t in zip(found, times, strict=True))
    low, high = binom.ppf([1e-4, 1 - 1e-4], 1200, 0.7)
    assert low <= sum(map(len, times)) <= high


def test_gross_errors_are_few_and_large():
    _, _, ratio = scans(ScanFaults(taken=1.0, gross_errors=0.05), False)
    wrong = np.array([abs(x) for _, x in ratio if abs(x) > 1e-9])
    low, high = binom.ppf([1e-4, 1 - 1e-4], len(ratio), 0.05)
    assert low <= wrong.size <= high
    assert (wrong > GROSS_LN[0] - 0.005).all() and (wrong < GROSS_LN[1] + 0.005).all()  # values are rounded


def test_a_poor_window_widens_the_error_and_hides_measures():
    """SD of what it adds makes the whole WINDOW_SD_TIMES the model's; 400 women with 3 scans."""
    _, found, ratio = scans(ScanFaults(taken=1.0, gross_errors=0.0), True)
    low, high = binom.ppf([1e-4, 1 - 1e-4], 400 * 12, 1.0 - WINDOW_UNSEEN)
    assert low <= sum(map(len, found)) <= high
    for quantity in ("hc_mm", "ac_mm"):
        x = np.array([v for q, v in ratio if q == quantity])
        expected = np.sqrt(WINDOW_SD_TIMES**2 - 1.0) * SCAN_SD[quantity]
        assert x.std() == pytest.approx(expected, rel=FIVE / np.sqrt(2.0 * x.size))


def test_heavy_women_have_poor_windows_more_often():
    assert poor_window_chance(30.0) == pytest.approx(0.15, abs=0.002)
    assert poor_window_chance(40.0) == pytest.approx(0.325, abs=0.01)
    for bmi in (22.0, 41.0):
        hits = sum(bool(has_poor_window((17, i), bmi, DESIGNS["hospital"])) for i in range(1500))
        low, high = binom.ppf([1e-4, 1 - 1e-4], 1500, float(poor_window_chance(bmi)))
        assert low <= hits <= high
    assert has_poor_window((17, 1), 41.0, DESIGNS["standard"]) is None
