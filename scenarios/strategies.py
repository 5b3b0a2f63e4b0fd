"""Treatment strategies: from what she does today to the plan of a scenario. Inputs change, equations never."""

from __future__ import annotations

import dataclasses
import math

from twin.encode import DailyPattern, meal_pattern, pattern_at, usual_meals
from twin.errors import NotAvailable, UnusableInput
from twin.forecast import DeliveryPolicy, ScenarioPlan, week_day
from twin.forecast.delivery import LAST_DAY_DIET, LAST_DAY_DRUG
from twin.record import PatientRecord

NAMES = ("as_now", "doses_fixed", "untreated")
POLICY_KEY = "latest_birth_day"  # site_policy entry, "39+6" or gestational days


def drug_class(pattern: DailyPattern) -> str:
    """What she is treated with today, in words."""
    used = [word for word, rows in (("metformin", pattern.tablets), ("insulin", pattern.doses)) if rows]
    return " and ".join(["diet", *used]) if used else "diet"


def delivery_policy(record: PatientRecord, pattern: DailyPattern, birth_day: int | None) -> DeliveryPolicy:
    """The site's policy if the record carries one, else the guideline's last day for her treatment."""
    drug = bool(pattern.doses or pattern.tablets)
    last = LAST_DAY_DRUG if drug else LAST_DAY_DIET
    name = "guideline default"
    given = record.facts.site_policy.get(POLICY_KEY)
    if given is not None:
        last, name = _day(given), "site policy"
    return DeliveryPolicy(last_day=last, given_day=birth_day, name=name)


def _day(value: object) -> int:
    if isinstance(value, int | float):
        return int(value)
    weeks, _, days = str(value).partition("+")
    try:
        return 7 * int(weeks) + int(days or 0)
    except ValueError as why:
        raise UnusableInput(
            "bad-policy",
            f"site policy {POLICY_KEY} is {value!r}; expected gestational days or WEEKS+DAYS. Nothing was forecast.",
        ) from why


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
    policy = delivery_policy(record, today, birth_day)
    treatment = drug_class(today)
    if name == "as_now":
        return ScenarioPlan(name, today, True, f"{treatment}, titrated by the site protocol", policy)
    if name == "doses_fixed":
        same = None if today.doses else "she injects no insulin, so there is no dose to hold"
        words = f"{treatment}, doses as on {week_day(as_of_day)}"
        return ScenarioPlan(name, today, False, words, policy, same)
    bare = dataclasses.replace(today, doses=(), tablets=(), bouts=(), meals=_usual_amounts(meals))
    same = None
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
