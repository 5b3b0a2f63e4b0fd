"""Readings to arrays. Oracle: values worked out by hand from the rows."""

from datetime import date, timedelta

import jax
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, LMP, STANDARD, at, glucose_rows, make_record, scan_rows, tables
from twin.encode import BIOMETRY, DAY_CV, DAY_CV_OTHER, SCAN_SD, bucket, cells_for, encode
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, LAST_WEEK


def encoded(rows, as_of=AS_OF_DAY, **facts):
    return encode(make_record(rows, **facts), as_of, standard=STANDARD)


def smbg(day, clock, value, relation="", **more):
    source = f"{day}-{clock}"
    return at(day, clock, value_mg_dl=value, kind="smbg", relation=relation, source=source, **more)


def held(spots, field):
    return np.asarray(getattr(spots, field))[np.asarray(spots.mask)]


def test_bucket_holds_and_is_monotone():
    sizes = [bucket(n) for n in range(0, 5000, 7)]
    assert all(size >= n for size, n in zip(sizes, range(0, 5000, 7), strict=True))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= 10, "few shapes, few compilations"


@pytest.mark.parametrize("day", range(140, 300, 3))
def test_cells_reach_the_day(day):
    n = cells_for(float(day))
    assert FIRST_WEEK + n > day / 7.0 or FIRST_WEEK + n == LAST_WEEK
    assert n > GLUCOSE_FROM_WEEK - FIRST_WEEK


def test_women_of_like_data_share_shapes():
    """Different numbers of readings within a bucket: one compiled program."""
    fewer = tables() | {"glucose": glucose_rows()[3:]}
    a, b = encoded(None), encoded(fewer)
    assert jax.tree.map(np.shape, a) == jax.tree.map(np.shape, b)
    assert jax.tree.structure(a) == jax.tree.structure(b)


def test_spot_places_by_hand():
    """Fasting keeps its own time before the first meal; a reading after a meal keeps its lag to the reference meal
    (07:30, 12:30, 18:30 of the usual day); others keep the clock. Minutes since 04:00."""
    rows = {
        "glucose": [
            smbg(203, "06:45", 92.0, "fasting"),
            smbg(203, "09:30", 95.0, "fasting"),  # later than the first reference meal
            smbg(204, "08:50", 150.0, "post_meal_1h"),
            smbg(204, "14:40", 121.0, "post_meal_2h"),
            smbg(205, "18:00", 99.0, "pre_meal"),
            smbg(206, "03:00", 88.0, "random"),  # belongs to the day that began at 04:00
        ]
    }
    spots = encoded(rows).spots
    assert held(spots, "minute").tolist() == [165.0, 205.0, 270.0, 630.0, 865.0, 1380.0]
    assert held(spots, "value").tolist() == [92.0, 95.0, 150.0, 121.0, 99.0, 88.0]
    assert held(spots, "week").tolist() == [29 - GLUCOSE_FROM_WEEK] * 6
    cv = [DAY_CV[r] for r in ("fasting", "fasting", "post_meal_1h", "post_meal_2h", "pre_meal")]
    assert held(spots, "day_cv").tolist() == [*cv, DAY_CV_OTHER]


def test_censored_readings_keep_their_side():
    rows = {
        "glucose": [
            smbg(203, "06:45", 20.0, "fasting", censor="low"),
            smbg(203, "08:45", 600.0, censor="high"),
            smbg(203, "10:45", 100.0),
        ]
    }
    assert held(encoded(rows).spots, "censor").tolist() == [-1.0, 1.0, 0.0]


def test_padding_is_masked_and_harmless():
    data = encoded({"glucose": [smbg(203, "06:45", 92.0, "fasting")], "biometry": scan_rows((196,))[:1]})
    for part, kept in ((data.spots, 1), (data.scans, 1)):
        assert int(np.sum(part.mask)) == kept
        for leaf in jax.tree.leaves(part):
            assert np.isfinite(np.asarray(leaf, dtype=float)).all()
    assert (np.asarray(data.scans.sd) > 0).all() and (np.asarray(data.spots.day_cv) > 0).all()


def test_readings_outside_the_followed_weeks_are_left_out():
    rows = {"glucose": [smbg(d, "06:45", 92.0, "fasting") for d in (100, 139, 140, 200, 290)]}
    spots = encoded(rows, as_of=200.5).spots
    assert held(spots, "week").tolist() == [0, 28 - GLUCOSE_FROM_WEEK]


def test_suspended_windows_are_excluded():
    """A steroid course on day 210: day 210 to the end of its day 7 is not her usual glucose (CLINICAL 1)."""
    day = LMP + timedelta(days=210)
    every, without = encoded(None).spots, encoded(None, steroid_courses=(day,)).spots
    gone = int(every.mask.sum()) - int(without.mask.sum())
    assert gone in (3 * 7, 3 * 8), "seven or eight days of three readings"
    weeks = held(without, "week") + GLUCOSE_FROM_WEEK
    assert {29, 31} <= set(weeks.tolist())
    ill = encoded(None, acute_illness=((day, day),)).spots
    assert int(every.mask.sum()) - int(ill.mask.sum()) == 3


def ogtt(day, values, load=75.0):
    return [
        at(day, f"{8 + m // 60:02d}:{m % 60:02d}", value_mg_dl=v, kind="ogtt", minutes_post_load=float(m),
           load_g=load, source=f"o{day}-{m}")
        for m, v in values.items()
    ]  # fmt: skip


def test_tolerance_tests_by_hand():
    rows = ogtt(182, {0: 93.0, 60: 182.0, 120: 158.0}) + ogtt(190, {0: 88.0, 60: 150.0}, load=100.0)
    tests = encoded({"glucose": rows}).ogtt
    assert tests.value.shape[0] == 2
    assert np.asarray(tests.mask).sum(axis=1).tolist() == [3, 2]
    assert np.asarray(tests.value)[0, :3].tolist() == [93.0, 182.0, 158.0]
    assert np.asarray(tests.minute)[0, :3].tolist() == [0.0, 60.0, 120.0]
    assert np.asarray(tests.load_mg).tolist() == [75_000.0, 100_000.0]
    assert np.asarray(tests.week)[0] == pytest.approx((182 + 8 / 24) / 7.0)


def test_unknown_load_says_nothing_after_time_zero():
    tests = encoded({"glucose": ogtt(182, {0: 93.0, 60: 182.0}, load=float("nan"))}).ogtt
    assert np.asarray(tests.mask).sum() == 1 and np.asarray(tests.value)[0, 0] == 93.0


def cgm_day(day, every=5, start=0, stop=1440):
    """A ramp in time, so that the grid point tells which reading was taken."""
    return [
        at(day, f"{m // 60:02d}:{m % 60:02d}", value_mg_dl=80.0 + m / 20.0, kind="cgm", source=f"c{day}-{m}")
        for m in range(start, stop, every)
    ]


def test_sensor_days_take_the_reading_nearest_the_grid():
    """Readings every 5 min from 04:02: the grid points are 2 min before a reading."""
    rows = {"glucose": cgm_day(210, start=242) + cgm_day(211, stop=240)}
    cgm = encoded(rows).cgm
    assert int(np.asarray(cgm.mask).any(axis=1).sum()) == 1, "one day from 04:00 to 04:00"
    value, mask = np.asarray(cgm.value)[0], np.asarray(cgm.mask)[0]
    assert mask.all()
    assert value[:5].tolist() == pytest.approx([80 + (242 + 15 * i) / 20 for i in range(5)])


def test_sensor_day_with_few_readings_is_left_out():
    rows = {"glucose": cgm_day(210, start=300, stop=340)}
    assert not np.asarray(encoded(rows).cgm.mask).any()


def test_sensor_day_has_its_own_meals():
    meals = [
        at(210, "08:00", carbohydrate_g=33.0, source="m1"),
        at(210, "19:00", carbohydrate_g=44.0, source="m2"),
        at(211, "08:00", carbohydrate_g=77.0, source="m3"),
    ]
    rows = {"glucose": cgm_day(210, start=240) + cgm_day(211, stop=240), "meals": meals}
    events = encoded(rows).cgm.events
    assert np.asarray(events.meal_mg)[:, 0].sum() == pytest.approx(77_000.0)
    assert np.asarray(events.meal_min)[:2, 0].tolist() == [240.0, 900.0]


def efw(day, value, **more):
    return at(day, "10:00", quantity="efw_g", value=value, source=f"e{day}", **more)


def quantities(scans):
    mask = np.asarray(scans.mask)
    return [BIOMETRY[i] for i in np.asarray(scans.quantity)[mask]], np.exp(np.asarray(scans.ln_value)[mask])


def test_sensor_days_without_their_own_meals_eat_the_usual_ones():
    """One logged snack is no record of a day; two meals are."""
    day = cgm_day(210, start=240) + cgm_day(211, stop=240)
    snack = [at(210, "10:00", carbohydrate_g=12.0, source="s")]
    two = [at(210, c, carbohydrate_g=40.0, source=f"m{c}") for c in ("08:00", "19:00")]
    for meals, usual, grams in ((snack, True, 220.0), (two, False, 80.0), ([], True, 220.0)):
        cgm = encoded({"glucose": day, "meals": meals}).cgm
        assert bool(cgm.usual_meals[0]) is usual
        assert float(cgm.events.meal_mg[:, 0].sum()) == pytest.approx(1000.0 * grams)


def test_weight_estimate_outside_its_range_is_left_out():
    """Two scans: 20+2 weeks is outside the range of an EFW formula, 28+0 inside."""
    names, values = quantities(encoded({"biometry": [efw(142, 370.0), efw(196, 1150.0)]}).scans)
    assert names == ["efw_g"] and values == pytest.approx([1150.0])


def test_raw_measures_and_weight_of_one_scan_are_never_both_used():
    rows = {"biometry": [*scan_rows((196,)), efw(196, 1150.0), efw(219, 1780.0)]}
    names, values = quantities(encoded(rows).scans)
    assert sorted(names) == sorted(["hc_mm", "ac_mm", "fl_mm", "bpd_mm", "efw_g"])
    assert values[names.index("efw_g")] == pytest.approx(1780.0)


def test_scan_errors():
    """A given SD is used as it is; else the default of the quantity; AC is harder to see above BMI 30."""
    rows = scan_rows((196,))
    rows[0]["sd_mm"] = 2.64  # of HC 264 mm
    plain, obese = encoded({"biometry": rows}).scans, encoded({"biometry": rows}, weight_pre_kg=108.9).scans
    for scans, factor in ((plain, 1.0), (obese, 1.0 + 0.02 * 10.0)):
        names, _ = quantities(scans)
        sd = dict(zip(names, np.asarray(scans.sd)[np.asarray(scans.mask)], strict=True))
        assert sd["hc_mm"] == pytest.approx(0.01)
        assert sd["ac_mm"] == pytest.approx(factor * SCAN_SD["ac_mm"], rel=1e-3)
        assert sd["fl_mm"] == pytest.approx(SCAN_SD["fl_mm"])


def test_birth_day_informs_only_an_undated_pregnancy():
    dated = encode(make_record(), AS_OF_DAY, standard=STANDARD, birth_day=273.0)
    assert dated.birth_week.shape == (0,)
    assert float(dated.dating_sd_weeks) == pytest.approx(3.0 / 7.0)
    undated = encode(make_record(dating_method="biometry"), AS_OF_DAY, standard=STANDARD, birth_day=273.0)
    assert np.asarray(undated.birth_week).tolist() == [39.0]
    assert float(undated.dating_sd_weeks) > 1.0


def test_empty_record_encodes():
    data = encoded({})
    for part in (data.spots, data.cgm, data.ogtt, data.scans):
        assert not np.asarray(part.mask).any()
    assert np.isfinite(np.asarray(data.plan.weight_kg)).all()
    assert isinstance(make_record().facts.lmp_equivalent, date)
