"""Treatment strategies: from what she does today to the plan of a scenario. Inputs change, equations never."""

from __future__ import annotations

import dataclasses
import math
import re

import pandas as pd

from twin.encode import WEEKS_BACK, DailyPattern, meal_pattern, pattern_at, usual_meals
from twin.errors import NotAvailable, UnusableInput
from twin.forecast import DeliveryPolicy, ScenarioPlan, week_day
from twin.forecast.delivery import LAST_DAY_DIET, LAST_DAY_DRUG
from twin.record import PatientRecord

NAMES = ("as_now", "doses_fixed", "untreated")
POLICY_KEY = "latest_birth_day"  # site_policy entry, "39+6" or gestational days
POLICY_FROM_DAY, POLICY_TO_DAY = 238, 308  # 34+0 to 44+0: a number outside was meant as something else


def drugs_without_doses(record: PatientRecord, pattern: DailyPattern, day: float) -> list[str]:
    """Drugs the record says she takes on a gestational day and whose doses the pattern does not hold."""
    table = record.medication
    table = table[table["gestational_day"] <= day]
    length = (table["end_local"] - table["time_local"]) / pd.Timedelta(days=1)
    goes_on = length.isna() & (table["per_day"].notna() | (table["gestational_day"] > day - 7.0 * WEEKS_BACK))
    taken = table[goes_on | (table["gestational_day"] + length >= day)]["drug"]
    names = {"insulin" if str(d).startswith("insulin") else str(d).replace("_", " ") for d in taken}
    modelled = {word for word, rows in (("metformin", pattern.tablets), ("insulin", pattern.doses)) if rows}
    return sorted(names - modelled)


def drug_class(pattern: DailyPattern, unknown: list[str] | None = None) -> str:
    """What she is treated with today, in words. unknown : `drugs_without_doses`."""
    used = [word for word, rows in (("metformin", pattern.tablets), ("insulin", pattern.doses)) if rows]
    used += [f"{drug} (doses not known, not modelled)" for drug in unknown or ()]
    return " and ".join(["diet", *used]) if used else "diet"


def delivery_policy(
    record: PatientRecord, pattern: DailyPattern, birth_day: int | None, *, on_drug: bool = False
) -> DeliveryPolicy:
    """The site's policy if the record carries one, else the guideline's last day for her treatment.

    on_drug : she takes a drug that the pattern does not hold. Raises : UnusableInput for a policy out of range.
    """
    drug = on_drug or bool(pattern.doses or pattern.tablets)
    last = LAST_DAY_DRUG if drug else LAST_DAY_DIET
    name = "guideline default"
    given = record.facts.site_policy.get(POLICY_KEY)
    if given is not None:
        last, name = _day(given), "site policy"
    return DeliveryPolicy(last_day=last, given_day=birth_day, name=name)


def _day(value: object) -> int:
    day = -1
    if isinstance(value, int | float) and not isinstance(value, bool):
        day = int(value) if math.isfinite(value) else -1
    elif isinstance(value, str) and (found := re.fullmatch(r"(\d{2})(?:\+([0-6]))?", value)):
        day = 7 * int(found[1]) + int(found[2] or 0)
    if not POLICY_FROM_DAY <= day <= POLICY_TO_DAY:
        raise UnusableInput(
            "bad-policy",
            f"site policy {POLICY_KEY} is {value!r}; expected WEEKS+DAYS or gestational days from "
            f"{week_day(POLICY_FROM_DAY)} (day {POLICY_FROM_DAY}) to {week_day(POLICY_TO_DAY)} (day {POLICY_TO_DAY}). "
            "Nothing was forecast; correct the site's policy.",
        )
    return day


def check_name(name: str) -> None:
    """Raises : UnusableInput for an unknown name; NotAvailable for a TOML file (docs/limits.md)."""
    if name.endswith(".toml"):
        raise NotAvailable(
            "scenario-files-not-built",
            f"scenario files ({name}) are not built yet; available now: {', '.join(NAMES)}. Nothing was forecast.",
        )
    if name not in NAMES:
        raise UnusableInput(
            "unknown-scenario",
            f"scenario {name!r} is not known; expected one of {', '.join(NAMES)}. Nothing was forecast.",
        )


def plan_of(name: str, record: PatientRecord, as_of_day: float, birth_day: int | None) -> ScenarioPlan:
    """The plan of one named strategy from `as_of_day` on.

    as_now : diet and drug class as today, doses titrated weekly by the site protocol. doses_fixed : today's doses
    for the rest of the pregnancy. untreated : no drug, no prescribed activity, usual diet.
    Raises : UnusableInput for an unknown name; NotAvailable for a TOML file (docs/limits.md).
    """
    check_name(name)
    meals, recorded = meal_pattern(record)
    today = pattern_at(record, math.floor(as_of_day) / 7.0, meals)
    unknown = drugs_without_doses(record, today, as_of_day)
    policy = delivery_policy(record, today, birth_day, on_drug=bool(unknown))
    treatment = drug_class(today, unknown)
    if name == "as_now":
        return ScenarioPlan(name, today, True, f"{treatment}, titrated by the site protocol", policy)
    if name == "doses_fixed":
        same = None
        if not today.doses:
            why = (
                "the doses of her insulin are not known" if "insulin" in unknown else "she injects no insulin"
            )
            same = f"{why}, so there is no dose to hold"
        words = f"{treatment}, doses as on {week_day(as_of_day)}"
        return ScenarioPlan(name, today, False, words, policy, same)
    bare = dataclasses.replace(today, doses=(), tablets=(), bouts=(), meals=_usual_amounts(meals))
    same = None
    if unknown:
        words = f"untreated: usual diet, no drug that is modelled ({', '.join(unknown)}: doses not known)"
        same = f"the doses of {' and '.join(unknown)} are not known, so leaving them out cannot be computed"
        return ScenarioPlan(name, bare, False, words, policy, same if bare == today else None)
    if bare == today:
        diet = "she eats as much as usual" if recorded else "her meals are not recorded"
        same = f"she takes no drug and {diet}, so there is nothing known to leave out"
    return ScenarioPlan(name, bare, False, "untreated: usual diet, no drug", policy, same)


def _usual_amounts(meals: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Her own meals brought back to the reference day's carbohydrate where she eats less [MODEL 1.2: 220 g]."""
    usual = sum(g for _, g in usual_meals())
    own = sum(g for _, g in meals)
    factor = max(1.0, usual / own) if own > 0 else 1.0
    return tuple((t, g * factor) for t, g in meals)
