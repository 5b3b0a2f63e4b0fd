"""The terminal summary fits one screen, keeps the order, and never cuts off the harm."""

from dataclasses import replace

import pytest

from twin.report import summary
from twin.report.wording import of_100, of_100_range, signed_per_100
from twin.settings import SiteSettings


@pytest.mark.parametrize("which", ["record", "cgm_record"])
def test_fits_one_screen_in_order(request, risk, which):
    lines = summary(risk, request.getfixturevalue(which), SiteSettings()).splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    text = "\n".join(lines)
    order = [
        "72 h",
        "Data age",
        "Of 100 women",
        "over 4000 g",
        "SGA",
        "Birth weight",
        "Assumes",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert lines[-1].startswith("Research software")


def test_every_compared_scenario_shows_its_sga(record, risk):
    lines = summary(risk, record, SiteSettings()).splitlines()
    for scenario, name in zip(risk["scenarios"][1:], ("Doses fixed", "Untreated", "Birth 39 0"), strict=True):
        line = next(x for x in lines if x.strip().startswith(name))
        row = next(r for r in scenario["outcomes"] if r["outcome"] == "sga_10")
        assert line.endswith(f"{100 * row['probability']:.0f} (<1–6)")


def test_refused_has_reasons_and_no_forecast(record, risk):
    risk.update(scenarios=[], issued=[], drivers=[])
    risk["scope"] = {"status": "refused", "reasons": ["labour"], "withheld": []}
    text = summary(risk, record, SiteSettings())
    assert "OUT OF SCOPE" in text and "labour" in text and "of 100" not in text.lower()


def test_many_alerts_and_issues_still_fit(record, risk):
    record = replace(record, glucose=record.glucose.assign(value_mg_dl=300.0))
    risk["calibration"]["ok"] = False
    risk["data"].update(glucose_readings=0, scans=0)
    text = summary(risk, record, SiteSettings())
    assert len(text.splitlines()) <= 24 and "NOT RELIABLE" in text and "SGA" in text


def test_words_for_probabilities():
    assert [of_100(p) for p in (0.0, 0.004, 0.226, 0.999, 1.0)] == [
        "fewer than 1",
        "fewer than 1",
        "23",
        "more than 99",
        "more than 99",
    ]
    assert of_100_range(0.17, 0.3) == "17 to 30" and of_100_range(0.17, 0.172) == "about 17"
    assert [signed_per_100(x) for x in (0.08, -0.02, 0.001)] == ["+8", "−2", "under 1"]


def test_a_conflict_of_her_data_is_said_and_a_passed_test_is_not(record, risk):
    rows = [
        {"of": "spot_glucose", "kind": "level", "z": 6.1, "p": 1e-9, "flagged": True},
        {"of": "biometry", "kind": "spread", "z": 0.2, "p": 0.42, "flagged": False},
    ]
    risk["calibration"]["conflicts"] = rows
    text = summary(risk, record, SiteSettings())
    assert "CHECK HER DATA, in conflict with the model: finger-prick and laboratory" in text
    assert "ultrasound" not in text
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
