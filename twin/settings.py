"""Site settings: every clinical threshold, each with its source. A site overrides them with a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from twin.errors import UnusableInput


@dataclass(frozen=True)
class SiteSettings:
    """Thresholds of one site. Defaults: the sources named beside each; glucose in mg/dL."""

    fasting_target_mg_dl: float = 95.0  # [B-TX-01] ADA/CDA, 5.3 mmol/L
    one_hour_target_mg_dl: float = 140.0  # [B-TX-01] 7.8 mmol/L
    two_hour_target_mg_dl: float = 120.0  # [B-TX-01] 6.7 mmol/L
    range_low_mg_dl: float = 63.0  # [B-TX-04] pregnancy range 63-140
    range_high_mg_dl: float = 140.0  # [B-TX-04]
    alert_low_mg_dl: float = 54.0  # [B-TX-04] level 2 low
    alert_high_mg_dl: float = 200.0  # clinical requirement: values >= 200 in the last 72 h are shown first
    alert_window_hours: float = 72.0
    overt_fasting_mg_dl: float = 126.0  # IADPSG 2010 (scope gate)
    overt_hba1c_percent: float = 6.5  # IADPSG 2010 (scope gate)
    overt_random_mg_dl: float = 200.0  # IADPSG 2010 (scope gate), needs confirmation
    growth_standard: str = "hadlock1991"
    lga_reference: str = "intergrowth21_newborn"
    time_zone: str = "UTC"  # used only where a record gives no offset at all

    @classmethod
    def from_toml(cls, path: str | Path) -> SiteSettings:
        """Read a flat TOML file; an unknown name is an error, never ignored.

        Raises : UnusableInput, naming the unknown settings and those that exist.
        """
        table = tomllib.loads(Path(path).read_text())
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(table) - known)
        if unknown:
            raise UnusableInput(
                "unknown-setting",
                f"site settings {unknown} are not known; expected any of {sorted(known)}. "
                "No setting was applied. Correct the names in the settings file.",
            )
        return replace(cls(), **table)
