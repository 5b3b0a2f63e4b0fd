"""validate_risk refuses every kind of broken dictionary; write_risk_json writes whole or nothing."""

import json

import pytest

from twin.errors import TwinError
from twin.report import InvalidRisk, validate_risk, write_risk_json


def _first(risk: dict, outcome: str) -> dict:
    return next(r for r in risk["scenarios"][0]["outcomes"] if r["outcome"] == outcome)


def test_a_good_dictionary_passes_and_comes_back(tmp_path, risk):
    write_risk_json(tmp_path / "risk.json", risk)
    assert json.loads((tmp_path / "risk.json").read_text(encoding="utf-8")) == risk
    assert [p.name for p in tmp_path.iterdir()] == ["risk.json"]


def _break_range(r):
    _first(r, "lga_90").update(low=0.5)


def _break_probability(r):
    _first(r, "lga_90").update(probability=1.2)


def _break_nan(r):
    _first(r, "lga_90").update(probability=float("nan"))


def _break_bool(r):
    _first(r, "sga_10").update(low=True)


def _break_unknown_outcome(r):
    _first(r, "lga_90").update(outcome="dystocia")


def _break_repeated_outcome(r):
    _first(r, "lga_90").update(outcome="sga_10")


def _break_strategy(r):
    r["scenarios"][1]["treatment_strategy"] = " "


def _break_delivery(r):
    del r["scenarios"][1]["delivery_assumption"]


def _break_weight(r):
    r["scenarios"][0]["birth_weight_g"]["q05"] = 5000


def _break_hours(r):
    r["scenarios"][0]["hypoglycaemia"] = {"hours_below_63_per_day": 0.1, "hours_below_54_per_day": 0.4}


def _break_days(r):
    r["scenarios"][0]["if_born_on"].reverse()


def _break_names(r):
    r["scenarios"][1]["name"] = "as_now"


def _break_driver(r):
    r["drivers"][0]["effect_on_macrosomia_4000"] = 8.0


def _break_driver_without_effect(r):
    del r["drivers"][0]["effect_on_macrosomia_4000"]


def _break_hours_interval(r):
    r["scenarios"][0]["hypoglycaemia"] = {
        "hours_below_63_per_day": 0.3, "hours_below_63_q05": 0.9, "hours_below_63_q95": 0.4,
    }  # fmt: skip


def _break_hours_missing(r):
    r["scenarios"][0]["hypoglycaemia"] = {"hours_below_63_per_day": None}


def _break_not_covered(r):
    r["scenarios"][0]["lga_not_covered"] = {"who": 40}


def _break_schema(r):
    r["schema"] = "gdm-twin/risk/0"


def _break_missing(r):
    del r["issued"]


def _break_calibration(r):
    del r["calibration"]


def _break_mark(r):
    r["scenarios"][0]["reliable"] = not r["calibration"]["ok"]


def _break_reference(r):
    r["lga_reference"] = None


def _break_status(r):
    r["scope"]["status"] = "maybe"


def _break_empty(r):
    r["scenarios"] = []


def _break_refused(r):
    r["scope"] = {"status": "refused", "reasons": ["twins"], "withheld": []}


def _break_refused_without_reason(r):
    r.update(scenarios=[], issued=[], drivers=[], scope={"status": "refused", "reasons": [], "withheld": []})


def _break_withheld(r):
    r["scope"] = {"status": "partial", "reasons": ["late dating"], "withheld": ["sga_10"]}


@pytest.mark.parametrize("spoil", [f for n, f in sorted(globals().items()) if n.startswith("_break")])
def test_every_fault_is_refused_and_nothing_is_written(tmp_path, risk, spoil):
    spoil(risk)
    with pytest.raises(InvalidRisk) as caught:
        write_risk_json(tmp_path / "risk.json", risk)
    assert isinstance(caught.value, TwinError) and caught.value.code == "invalid-risk"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["outcomes", "if_born_on", "issued", "lga_by_reference"])
def test_a_withheld_outcome_is_found_wherever_it_hides(risk, where):
    risk["scope"] = {"status": "partial", "reasons": ["late dating"], "withheld": ["lga_90"]}
    for scenario in risk["scenarios"]:
        if where != "outcomes":
            scenario["outcomes"] = [r for r in scenario["outcomes"] if r["outcome"] != "lga_90"]
        if where != "if_born_on":
            scenario["if_born_on"] = [
                {k: v for k, v in r.items() if k != "lga_90"} for r in scenario["if_born_on"]
            ]
        if where != "lga_by_reference":
            scenario["lga_by_reference"] = {}
    if where != "issued":
        risk["issued"] = [{k: v for k, v in r.items() if k != "lga_90"} for r in risk["issued"]]
    with pytest.raises(InvalidRisk, match=where):
        validate_risk(risk)


def test_the_old_file_survives_a_bad_write(tmp_path, risk):
    path = tmp_path / "risk.json"
    write_risk_json(path, risk)
    before = path.read_bytes()
    risk["seed"] = {1, 2}  # not JSON
    with pytest.raises(InvalidRisk):
        write_risk_json(path, risk)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
