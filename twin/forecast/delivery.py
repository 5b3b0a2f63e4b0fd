"""When birth happens: onset (`twin.forecast.onset`) competing with the site's policy, given that pregnancy continues.

The policy's last day ends the wait: 40+6 on diet (NICE 2015), 39+6 on a drug (ACOG), both site settings. A given birth
day replaces all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LAST_DAY_DIET = 286  # 40+6: NICE 2015 (quoted in CLINICAL 2, decision 11)
LAST_DAY_DRUG = 279  # 39+6: ACOG, on a drug (quoted in CLINICAL 2, decision 11)
POST_TERM_DAY = 294  # 42+0, where no policy ends the wait


@dataclass(frozen=True)
class DeliveryPolicy:
    """`last_day`: gestational day by which birth is brought about; `given_day`: birth on that day, no model.

    `initiated`: whether births are brought about before as well, as often as where the hazards were fitted.
    """

    last_day: int = LAST_DAY_DIET
    given_day: int | None = None
    initiated: bool = True
    name: str = "site policy"

    def describe(self) -> str:
        if self.given_day is not None:
            return f"birth taken as given on {week_day(self.given_day)}"
        onset = "onset as in US births of 2022" if self.initiated else "spontaneous onset"
        return f"{self.name}: {onset}, birth by {week_day(self.last_day)} at the latest"


def week_day(day: float) -> str:
    """Gestational day as weeks+days."""
    whole = int(day)
    return f"{whole // 7}+{whole % 7}"


def birth_days(onset: np.ndarray, policy: DeliveryPolicy, as_of_day: float) -> np.ndarray:
    """Gestational day of birth (whole days) of the day on which the wait would end without a last day, (*batch)."""
    if policy.given_day is not None:
        return np.full(np.shape(onset), float(policy.given_day))
    return np.minimum(onset, max(float(policy.last_day), np.floor(as_of_day + 1.0))).astype(float)
