"""One test per line of the scope gate (clinical requirements, section 1)."""

import importlib.util
from datetime import date, timedelta
from pathlib import Path

import pytest

from twin.record import Statement, in_suspended_window, scope_gate
from twin.settings import SiteSettings
from twin.timeline import DatingStatement

_spec = importlib.util.spec_from_file_location("record_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
at, LMP = _rows.at, _rows.LMP
SITE = SiteSettings()
TODAY = 210.0


def on(day):
    return LMP + timedelta(days=int(day))


def lab(day, value, **extra):
    return at(day + 0.3, value_mg_dl=value, kind="lab", source=f"day {day}") | extra


def gate(record, day=TODAY):
    return scope_gate(record, day, SITE)


def test_a_singleton_with_everything_recorded_is_in_scope(make):
    verdict = gate(make())
    assert (verdict.status, verdict.reasons, verdict.withheld) == ("full", [], [])
    assert verdict.as_dict()["status"] == "full"


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ({"fetal_number": 2}, "multiple-fetuses"),
        ({"diabetes_before_pregnancy": True}, "diabetes-before-pregnancy"),
        ({"hba1c_percent": ((on(80), 6.5),)}, "overt-hba1c"),
        ({"bariatric_surgery": True}, "bariatric-surgery"),
        ({"fetal_anomaly": True}, "fetal-anomaly"),
        ({"hydrops": True}, "hydrops"),
        ({"fetal_death": True}, "fetal-death"),
        ({"labour": True}, "labour"),
        ({"lmp_equivalent": None}, "not-dated"),
        ({"delivery_day": on(205)}, "already-born"),
    ],
)
def test_refused_by_a_fact(make, fact, reason):
    verdict = gate(make(**fact))
    assert verdict.status == "refused"
    assert verdict.reasons == [reason]
    assert verdict.messages[reason].startswith("out of scope: ")


@pytest.mark.parametrize(
    "fact",
    [
        {"diabetes_before_pregnancy": False},
        {"hba1c_percent": ((on(80), 6.4),)},
        {"bariatric_surgery": None},
        {"fetal_anomaly": False, "hydrops": False, "fetal_death": False, "labour": False},
        {"delivery_day": on(275)},
    ],
)
def test_not_refused_by_its_neighbour(make, fact):
    assert gate(make(**fact)).status == "full"


def test_refused_overt_fasting_glucose(make):
    for relation in ({"relation": "fasting"}, {"kind": "ogtt", "minutes_post_load": 0.0, "load_g": 75.0}):
        assert gate(make({"glucose": [lab(170, 126.0, **relation)]})).reasons == ["overt-fasting-glucose"]
        assert gate(make({"glucose": [lab(170, 125.9, **relation)]})).status == "full"


def test_a_home_meter_does_not_diagnose_overt_diabetes(make):
    rows = [lab(200, 130.0, kind="smbg", relation="fasting")]
    assert gate(make({"glucose": rows})).status == "full"


def test_reviewed_overt_values_do_not_refuse(make):
    rows = {"glucose": [lab(170, 126.0, relation="fasting")]}
    reviewed = {"overt_values_reviewed_on": on(171).isoformat()}
    assert gate(make(rows, site_policy=reviewed)).status == "full"
    earlier = {"overt_values_reviewed_on": on(169).isoformat()}
    assert gate(make(rows, site_policy=earlier)).status == "refused"


def test_refused_confirmed_random_glucose_needs_two_days(make):
    one = [lab(170, 205.0, relation="random")]
    assert gate(make({"glucose": one})).status == "full"
    two = [*one, lab(172, 200.0)]
    assert gate(make({"glucose": two})).reasons == ["overt-random-glucose"]


def test_refused_before_20_weeks(make):
    assert gate(make(), 139.99).reasons == ["before-20-weeks"]
    assert gate(make(), 140.0).status == "full"
    assert gate(make(), 309.0).reasons == ["after-44-weeks"]


def test_all_reasons_are_named_at_once(make):
    assert gate(make(fetal_number=2, labour=True), 100.0).reasons == [
        "multiple-fetuses",
        "labour",
        "before-20-weeks",
    ]


def scan(day, quantity="hc_mm", value=290.0):
    return at(day, quantity=quantity, value=value, source=f"scan {day}")


def test_partial_dated_only_by_biometry_after_22_weeks(make):
    late = make({"biometry": [scan(220)]}, dating_method="biometry", dating_sd_days=9.0)
    verdict = gate(late, 225.0)
    assert verdict.status == "partial"
    assert verdict.reasons == ["dated-by-late-biometry"]
    assert {"lga_90", "sga_10", "centiles"} <= set(verdict.withheld)
    early = make({"biometry": [scan(150, value=190.0), scan(220)]}, dating_method="biometry")
    assert gate(early, 225.0).status == "full"


def test_partial_edd_from_a_late_scan(make):
    def dated(day, method="ultrasound"):
        said = DatingStatement(LMP, method, True, on(day), source="x")
        return make(statements=(Statement("dating", said, on(day)),))

    assert gate(dated(160), 210.0).reasons == ["dated-by-late-biometry"]
    assert gate(dated(90), 210.0).status == "full"
    assert gate(dated(160, "lmp"), 210.0).status == "full"


def readings(*days):
    return {"glucose": [at(d, value_mg_dl=99.0, kind="smbg", source=f"r{d}") for d in days]}


def test_partial_steroid_course_first_dose_to_day_7(make):
    record = make(readings(204.5, 208.5, 212.5, 213.5), steroid_courses=(on(205),))
    inside = gate(record, 212.9)
    assert inside.status == "partial" and inside.reasons == ["steroid-course"]
    assert "glucose_forecast" in inside.withheld
    after = gate(record, 213.0)
    assert after.status == "partial" and "glucose_forecast" not in after.withheld
    assert after.withheld == [f"glucose_readings:steroid-course:{on(205)}/{on(212)}"]
    masked = in_suspended_window(record.glucose["time_local"], record.facts)
    assert masked.tolist() == [False, True, True, False]
    assert gate(make(steroid_courses=(on(190),))).status == "full"


def test_partial_oral_steroids_while_taken(make):
    running = make(readings(207.5), oral_steroids=((on(206), None),))
    assert "glucose_forecast" in gate(running).withheld
    stopped = make(readings(207.5), oral_steroids=((on(206), on(208)),))
    assert "glucose_forecast" not in gate(stopped).withheld
    assert gate(stopped).reasons == ["oral-steroids"]


def test_partial_acute_illness_window(make):
    ill = make(readings(207.5, 215.5), acute_illness=((on(206), on(211)),))
    verdict = gate(ill)
    assert verdict.reasons == ["acute-illness"] and "glucose_forecast" in verdict.withheld
    assert in_suspended_window(ill.glucose["time_local"], ill.facts).tolist() == [True, False]


def test_partial_small_fetus(make):
    """10th centile at 30+0: AC 238.0 mm (INTERGROWTH-21st), weight 1337 g (Hadlock 1991, SD 0.12)."""
    for small in (
        make(fetal_growth_restriction=True),
        make({"biometry": [scan(210, "ac_mm", 237.0)]}),
        make({"biometry": [scan(210, "efw_g", 1330.0)]}),
    ):
        verdict = gate(small, 211.0)
        assert (verdict.status, verdict.reasons) == ("partial", ["small-fetus"])
        assert verdict.withheld == ["lower_glucose_optimisation"] and verdict.sga_first
    for normal in (
        make({"biometry": [scan(210, "ac_mm", 240.0), scan(210, "efw_g", 1345.0)]}),
        make({"biometry": [scan(180, "ac_mm", 175.0), scan(210, "ac_mm", 250.0)]}),
    ):
        assert gate(normal, 211.0).status == "full"


def test_unknown_covariates_are_said_and_withhold_nothing(make):
    verdict = gate(make(hypertension=None, smoking=None))
    assert verdict.status == "full" and verdict.withheld == []
    assert verdict.reasons == ["hypertension-unknown", "smoking-unknown"]
    assert gate(make(hypertension=True, smoking=True)).reasons == []


def test_the_gate_does_not_need_a_reading(make):
    assert gate(make(maternal_age_y=31.0, lmp_equivalent=date(2026, 1, 1))).status == "full"


@pytest.mark.parametrize("written", ["yes", None, True, 20261231, "2026-13-40", ""])
def test_a_review_date_that_is_no_date_reviews_nothing_and_says_so(make, written):
    rows = {"glucose": [lab(170, 126.0, relation="fasting")]}
    verdict = gate(make(rows, site_policy={"overt_values_reviewed_on": written}))
    assert verdict.reasons == ["overt-fasting-glucose"]
    assert "is not a date" in verdict.messages["overt-fasting-glucose"]
    high = make(hba1c_percent=((on(80), 6.5),), site_policy={"overt_values_reviewed_on": written})
    assert gate(high).reasons == ["overt-hba1c"]


def test_an_ultrasound_edd_without_any_date_counts_as_late_unless_an_early_scan_is_there(make):
    said = (Statement("dating", DatingStatement(LMP, "ultrasound", True, None, source="x")),)
    verdict = gate(make(statements=said))
    assert (verdict.status, verdict.reasons) == ("partial", ["dated-by-late-biometry"])
    assert gate(make({"biometry": [scan(190, value=240.0)]}, said)).status == "partial"
    assert gate(make({"biometry": [scan(150, value=190.0)]}, said)).status == "full"
    dated = Statement("dating", DatingStatement(LMP, "ultrasound", True, on(90), source="y"), on(90))
    assert gate(make(statements=(*said, dated))).status == "full"


def test_small_by_the_weight_computed_from_the_newest_scan(make):
    """10th centile of weight at 30+0: 1337 g. The estimator is handed in; here it returns what a test needs."""
    rows = [scan(196, "ac_mm", 240.0), scan(210, "ac_mm", 260.0), scan(210, "fl_mm", 55.0)]
    record = make({"biometry": rows})

    def weighing(grams):
        return scope_gate(record, 211.0, SITE, efw=lambda rows: grams if len(rows) == 2 else None)

    assert gate(record, 211.0).status == "full"
    small = weighing(1330.0)
    assert (small.reasons, small.withheld) == (["small-fetus"], ["lower_glucose_optimisation"])
    assert small.sga_first and "estimated from the newest scan" in small.messages["small-fetus"]
    assert weighing(1345.0).status == "full" and weighing(None).status == "full"


def test_before_20_weeks_no_weight_is_computed(make):
    early = make({"biometry": [scan(130, "ac_mm", 130.0)]})
    assert scope_gate(early, 211.0, SITE, efw=lambda rows: 1.0).status == "full"


def test_a_condition_without_a_date_refuses_and_says_that_it_may_be_old(make):
    undated = gate(make(statements=(Statement("fetal_death", True, None, "c"),)))
    assert undated.reasons == ["fetal-death"]
    assert "perhaps of an earlier pregnancy" in undated.messages["fetal-death"]
    dated = gate(make(statements=(Statement("fetal_death", True, on(150), "c", on(150)),)))
    assert dated.messages["fetal-death"] == "out of scope: fetal death"


@pytest.mark.parametrize("name", ["fetal_death", "fetal_anomaly", "hydrops", "labour"])
def test_a_condition_known_before_this_pregnancy_is_of_an_earlier_one(make, name):
    said = DatingStatement(LMP, "edd", True, on(60), source="e")
    old = Statement(name, True, on(-300), "c")
    record = make(statements=(Statement("dating", said, on(60)), old))
    assert gate(record).status == "full"
    assert [i.code for i in record.issues] == ["earlier-pregnancy"]
