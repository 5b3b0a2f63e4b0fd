"""`risk.json`: checked, then written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from twin.errors import TwinError
from twin.record.scope import GLUCOSE_FORECAST
from twin.report.wording import WITHHELD_BY
from twin.schema import OUTCOMES, RISK_SCHEMA

SCOPE_STATUSES = ("full", "partial", "refused")
_TOP = {
    "schema": str,
    "patient": str,
    "as_of": str,
    "scope": Mapping,
    "raw_alerts": list,
    "data": Mapping,
    "scenarios": list,
    "issued": list,
    "drivers": list,
    "issues": list,
    "provenance": Mapping,
}
_FORECAST_TOP = {"growth_standard": str, "lga_reference": str, "calibration": Mapping}  # unless refused
_SLACK = 1e-9


class InvalidRisk(TwinError):
    """A risk dictionary breaks the contract of risk.json; nothing is written and no report is made."""


def validate_risk(risk: Mapping[str, Any]) -> None:
    """Check a risk dictionary against the contract of `gdm-twin/risk/1`.

    Checks structure and types, that every probability lies in 0-1 with low <= probability <= high, that
    birth-weight quantiles are ordered, that `if_born_on` days rise, that outcomes withheld by the scope are
    absent everywhere, and that a refused pregnancy carries no forecast at all.

    Raises : InvalidRisk, listing every fault found with its place.
    """
    faults = list(_faults(risk))
    if faults:
        shown = "; ".join(faults[:20]) + (f"; and {len(faults) - 20} more" if len(faults) > 20 else "")
        raise InvalidRisk(
            "invalid-risk",
            f"the risk dictionary does not fit {RISK_SCHEMA}: {shown}. Nothing was written. "
            "Correct the step that made it; a report is never made from numbers that fail this check.",
        )


def write_risk_json(path: str | Path, risk: Mapping[str, Any]) -> None:
    """Validate and write risk.json atomically: readers see the old file or the new one, never a part.

    Raises : InvalidRisk if the dictionary breaks the contract or holds NaN or infinity.
    """
    validate_risk(risk)
    try:
        text = json.dumps(risk, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as why:
        raise InvalidRisk(
            "invalid-risk", f"the risk dictionary is not JSON: {why}. Nothing was written."
        ) from why
    write_atomically(Path(path), text)


def write_atomically(path: Path, text: str) -> None:
    """Write text beside `path`, then move it there in one step."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def withheld_outcomes(risk: Mapping[str, Any]) -> set[str]:
    """The outcomes of `schema.OUTCOMES` that the scope gate withholds from this risk dictionary."""
    withheld = set(risk["scope"].get("withheld", ()))
    return {outcome for outcome, names in WITHHELD_BY.items() if withheld & set(names)}


def _faults(risk: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(risk, Mapping):
        yield f"expected an object, got {type(risk).__name__}"
        return
    missing = [k for k in _TOP if k not in risk]
    wrong = [k for k, kind in _TOP.items() if k in risk and not isinstance(risk[k], kind)]
    yield from (f"{k} is missing" for k in missing)
    yield from (f"{k} is not {_TOP[k].__name__}" for k in wrong)
    if missing or wrong:
        return
    if risk["schema"] != RISK_SCHEMA:
        yield f"schema is {risk['schema']!r}, expected {RISK_SCHEMA!r}"
    status = risk["scope"].get("status")
    if status not in SCOPE_STATUSES:
        yield f"scope.status is {status!r}, expected one of {SCOPE_STATUSES}"
        return
    if status == "refused":
        if not risk["scope"].get("reasons"):
            yield "scope.status is refused without a reason"
        yield from (
            f"{k} must be empty when the scope is refused"
            for k in ("scenarios", "issued", "drivers")
            if risk[k]
        )
        return
    yield from (
        f"{k} is missing or not {kind.__name__}"
        for k, kind in _FORECAST_TOP.items()
        if not isinstance(risk.get(k), kind)
    )
    if not risk["scenarios"]:
        yield "scenarios is empty although the scope is not refused"
    withheld = withheld_outcomes(risk)
    fit = risk.get("calibration")
    reliable = bool(fit.get("ok", False)) if isinstance(fit, Mapping) else False
    no_glucose = GLUCOSE_FORECAST in risk["scope"].get("withheld", ())
    names = [s.get("name") for s in risk["scenarios"] if isinstance(s, Mapping)]
    if len(set(names)) != len(names):
        yield f"scenario names repeat: {names}"
    for i, scenario in enumerate(risk["scenarios"]):
        yield from _scenario_faults(f"scenarios[{i}]", scenario, withheld, reliable)
        if isinstance(scenario, Mapping):
            yield from _hours_faults(f"scenarios[{i}]", scenario.get("hypoglycaemia"), no_glucose)
    for i, past in enumerate(risk["issued"]):
        yield from _row_faults(f"issued[{i}]", past, withheld, "as_of")
    for i, driver in enumerate(risk["drivers"]):
        place = f"drivers[{i}]"
        if not isinstance(driver, Mapping) or not isinstance(driver.get("name"), str):
            yield f"{place} needs a name"
            continue
        effect = driver.get("effect_on_macrosomia_4000", "missing")
        # null: too influential to be left out by reweighting
        if effect is not None and not (_number(effect) and -1.0 <= effect <= 1.0):
            yield f"{place}.effect_on_macrosomia_4000 is {effect!r}, expected -1 to 1, or null"
    for i, issue in enumerate(risk["issues"]):
        if not isinstance(issue, Mapping) or not {"source", "code", "message"} <= set(issue):
            yield f"issues[{i}] needs source, code and message"


def _scenario_faults(place: str, scenario: Any, withheld: set[str], reliable: bool) -> Iterator[str]:
    if not isinstance(scenario, Mapping):
        yield f"{place} is not an object"
        return
    for key in ("name", "treatment_strategy", "delivery_assumption"):
        if not isinstance(scenario.get(key), str) or not scenario[key].strip():
            yield f"{place}.{key} is missing: no probability may be shown without it"
    if scenario.get("reliable", reliable) != reliable:
        yield f"{place}.reliable is {scenario['reliable']!r} where calibration.ok is {reliable!r}"
    weight = scenario.get("birth_weight_g")
    if weight is not None:
        ordered: list[Any] = (
            [weight.get(q) for q in ("q05", "q50", "q95")] if isinstance(weight, Mapping) else [None]
        )
        if not all(_number(w) and w > 0.0 for w in ordered) or sorted(ordered) != ordered:
            yield f"{place}.birth_weight_g quantiles are {ordered}, expected positive and rising"
    seen: set[str] = set()
    for j, row in enumerate(scenario.get("outcomes", ())):
        where = f"{place}.outcomes[{j}]"
        name = row.get("outcome")
        if name not in OUTCOMES or name in seen:
            yield f"{where}.outcome is {name!r}, expected each of {OUTCOMES} at most once"
            continue
        seen.add(name)
        low, p, high = (row.get(k) for k in ("low", "probability", "high"))
        if not all(_number(x) and 0.0 <= x <= 1.0 for x in (low, p, high)):
            yield f"{where} {name}: low, probability, high are {low}, {p}, {high}, expected numbers 0 to 1"
        elif not low - _SLACK <= p <= high + _SLACK:
            yield f"{where} {name}: low {low} <= probability {p} <= high {high} does not hold"
        if name in withheld:
            yield f"{where}: {name} is withheld by the scope but present"
    by_reference = scenario.get("lga_by_reference") or {}
    if by_reference and "lga_90" in withheld:
        yield f"{place}.lga_by_reference is withheld by the scope but present"
    not_covered = scenario.get("lga_not_covered") or {}
    if not isinstance(not_covered, Mapping) or not all(isinstance(w, str) for w in not_covered.values()):
        yield f"{place}.lga_not_covered is {not_covered!r}, expected the reason of each reference left out"
    for name, p in by_reference.items():
        if not _number(p) or not 0.0 <= p <= 1.0:
            yield f"{place}.lga_by_reference.{name} is {p!r}, expected 0 to 1"
    days = [row.get("gestational_day") for row in scenario.get("if_born_on", ())]
    if not all(map(_number, days)) or any(b <= a for a, b in pairwise(days)):
        yield f"{place}.if_born_on days must be numbers that rise, got {days[:5]}"
    for j, row in enumerate(scenario.get("if_born_on", ())):
        yield from _row_faults(f"{place}.if_born_on[{j}]", row, withheld, "gestational_day")


def _hours_faults(place: str, low: Any, withheld: bool) -> Iterator[str]:
    """Hours of low glucose: numbers in order, or nothing at all where the glucose forecast is withheld."""
    if low is None:
        return
    if not isinstance(low, Mapping):
        yield f"{place}.hypoglycaemia is not an object"
        return
    if withheld:
        present = [k for k, h in low.items() if h is not None]
        if present:
            yield f"{place}.hypoglycaemia: {present} are withheld by the scope but present"
        return
    hours: list[Any] = [low.get(f"hours_below_{g}_per_day") for g in (54, 63)]
    if hours[0] is None:  # the engine does not claim the depth of a low
        hours = hours[1:]
    ends: list[Any] = [low[k] for k in ("hours_below_63_q05", "hours_below_63_q95") if k in low]
    for rising in (hours, ends):
        if not all(_number(h) and 0.0 <= h <= 24.0 for h in rising) or sorted(rising) != rising:
            yield f"{place}.hypoglycaemia hours are {rising}, expected 0 to 24 and rising"


def _row_faults(place: str, row: Any, withheld: set[str], key: str) -> Iterator[str]:
    if not isinstance(row, Mapping) or key not in row:
        yield f"{place} needs {key}"
        return
    for name in OUTCOMES:
        if name not in row:
            continue
        if name in withheld:
            yield f"{place}: {name} is withheld by the scope but present"
        elif not _number(row[name]) or not 0.0 <= row[name] <= 1.0:
            yield f"{place}.{name} is {row[name]!r}, expected 0 to 1"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
