"""Dating from biometry against the standard's own means and the delta method, both evaluated here."""

import importlib.util
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from twin.fhir import date_from_biometry, known_at, with_dating
from twin.record import build_record, scope_gate
from twin.settings import SiteSettings

_spec = importlib.util.spec_from_file_location("fhir_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
LMP = _rows.LMP


def mean(quantity, week):
    """INTERGROWTH-21st means [C-STD-03..06], written out independently."""
    log = np.log(week)
    return {
        "hc_mm": -28.2849 + 1.69267 * week**2 - 0.397485 * week**2 * log,
        "bpd_mm": 5.60878 + 0.158369 * week**2 - 0.00256379 * week**3,
        "ac_mm": -81.3243 + 11.6772 * week - 0.000561865 * week**3,
        "fl_mm": -39.9616 + 4.32298 * week - 0.0380156 * week**2,
    }[quantity]


def hc_sd(week):
    log = np.log(week)
    return 1.98735 + 0.0136772 * week**3 - 0.00726264 * week**3 * log + 0.000976253 * week**3 * log**2


def record(*scans, extra=None):
    """scans: (gestational day, {quantity: mm}); local times two hours ahead of UTC."""
    rows = []
    for day, sizes in scans:
        local = datetime.combine(LMP, datetime.min.time()) + timedelta(days=day, hours=10)
        for q, v in sizes.items():
            rows.append(
                {
                    "time_utc": (local - timedelta(hours=2)).isoformat() + "Z",
                    "time_local": local,
                    "quantity": q,
                    "value": v,
                    "source": f"{q}@{day}",
                }
            )
    return build_record("p", {"biometry": rows} | (extra or {}))


@pytest.mark.parametrize("week", [16.0, 20.0, 24.0, 28.0, 32.0, 34.0])
def test_a_typical_fetus_is_dated_by_its_size(week):
    sizes = {q: float(mean(q, week)) for q in ("hc_mm", "fl_mm", "bpd_mm")}
    lmp, sd = date_from_biometry(record((week * 7, sizes)))
    # growth slows, so late dates are less certain than early ones: the mean lies a little beyond the mode
    assert abs((lmp - LMP).days) <= max(2.0, 0.4 * sd)
    assert 2.0 < sd < 16.0


@pytest.mark.parametrize("week", [18.0, 22.0, 26.0, 30.0])
def test_uncertainty_is_the_delta_method_in_mid_range(week):
    slope = (mean("hc_mm", week + 0.5) - mean("hc_mm", week - 0.5)) / 7.0
    _, sd = date_from_biometry(record((week * 7, {"hc_mm": float(mean("hc_mm", week))})))
    assert sd == pytest.approx(hc_sd(week) / slope, rel=0.12)


def test_uncertainty_grows_with_gestation_and_not_with_the_number_of_measurements():
    sds = [
        date_from_biometry(record((w * 7, {"hc_mm": float(mean("hc_mm", w))})))[1] for w in (16, 22, 28, 34)
    ]
    assert sds == sorted(sds)
    alone = date_from_biometry(record((196, {"hc_mm": float(mean("hc_mm", 28.0))})))[1]
    both = date_from_biometry(
        record((196, {"hc_mm": float(mean("hc_mm", 28.0)), "fl_mm": float(mean("fl_mm", 28.0))}))
    )[1]
    assert both > 0.7 * alone


def test_the_earliest_scan_dates_and_ac_only_when_alone():
    typical = {"hc_mm": float(mean("hc_mm", 20.0)), "ac_mm": 200.0}
    lmp, _ = date_from_biometry(record((140, typical), (224, {"hc_mm": 330.0})))
    assert abs((lmp - LMP).days) <= 2
    lmp, _ = date_from_biometry(record((140, {"ac_mm": float(mean("ac_mm", 20.0))})))
    assert abs((lmp - LMP).days) <= 2


def test_a_large_fetus_at_term_is_not_dated_beyond_the_possible():
    big = {"hc_mm": 360.0, "fl_mm": 82.0}
    lmp, sd = date_from_biometry(record((270, big)))
    on = LMP + timedelta(days=270)
    assert 259 <= (on - lmp).days <= 287 and sd > 4


def test_bpd_convention_is_converted():
    outer = float(mean("bpd_mm", 28.0))
    plain = record((196, {"bpd_mm": (outer - 0.555934) / 1.027318})).biometry.assign(method="outer-inner")
    lmp, _ = date_from_biometry(build_record("p", {"biometry": plain}))
    assert abs((lmp - LMP).days) <= 1


def test_a_dated_record_is_left_alone_and_an_empty_one_stays_undated(whole_record):
    assert with_dating(whole_record) is whole_record
    empty = build_record("p", {})
    assert date_from_biometry(empty) is None and with_dating(empty) is empty


def test_dated_from_late_biometry_the_gate_withholds_size_for_dates():
    late = with_dating(record((217, {"hc_mm": float(mean("hc_mm", 31.0))})))
    assert late.facts.dating_method == "biometry" and late.facts.dating_sd_days > 6
    assert late.biometry["gestational_day"].iloc[0] == pytest.approx(217, abs=3)
    gate = scope_gate(late, 220.0, SiteSettings())
    assert gate.status == "partial" and "lga_90" in gate.withheld


def test_looking_back_dates_again_from_the_scans_known_then():
    both = with_dating(record((140, {"hc_mm": float(mean("hc_mm", 20.0))}), (224, {"hc_mm": 280.0})))
    then = known_at(both, LMP + timedelta(days=150))
    assert len(then.biometry) == 1 and then.facts.dating_method == "biometry"
    before = known_at(both, LMP + timedelta(days=100))
    assert before.facts.lmp_equivalent is None
    assert isinstance(then.facts.lmp_equivalent, date)
