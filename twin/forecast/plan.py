"""A scenario: what the mother takes in from now on, and what is assumed about her care and the birth."""

from __future__ import annotations

from dataclasses import dataclass, field

from twin.encode import DailyPattern
from twin.forecast.delivery import DeliveryPolicy

#: a dose is raised by this share in a week whose reading is above target, and lowered when low: usual protocols
#: step by 10-20 % (RECALLED); a site setting
TITRATION_UP, TITRATION_DOWN = 1.15, 0.90
TITRATION_LOW_MG_DL = 70.0


@dataclass(frozen=True)
class ScenarioPlan:
    """One future: habits by the day, and the rule that changes doses."""

    name: str
    pattern: DailyPattern
    titrated: bool
    treatment_strategy: str
    delivery: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    same_as_now: str | None = None  # why nothing differs from `as_now`, where nothing does
