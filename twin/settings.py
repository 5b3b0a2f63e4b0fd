"""Site settings: every clinical threshold, each with its source. A site overrides them with a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from twin.errors import UnusableInput
from twin.timeline import site_zone

#: numbers a setting may have: what a record may hold at all (record/plausibility.toml), so that a wrong unit or
#: sign is found; the window is at least an hour, at most a year
_GLUCOSE = (20.0, 700.0)
_RANGES = {
    "fasting_target_mg_dl": _GLUCOSE,
    "one_hour_target_mg_dl": _GLUCOSE,
    "two_hour_target_mg_dl": _GLUCOSE,
    "range_low_mg_dl": _GLUCOSE,
    "range_high_mg_dl": _GLUCOSE,
    "alert_low_mg_dl": _GLUCOSE,
    "alert_high_mg_dl": _GLUCOSE,
    "alert_window_hours": (1.0, 8760.0),
    "overt_fasting_mg_dl": _GLUCOSE,
    "overt_hba1c_percent": (3.0, 20.0),
    "overt_random_mg_dl": _GLUCOSE,
}


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
        """Read a flat TOML file; an unknown name, a wrong type or an implausible value is an error, never ignored.

        Raises : UnusableInput "unknown-setting", naming the settings that exist; "bad-setting", naming the
            setting, its value and what was expected; "unknown-time-zone".
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
        for name, value in table.items():
            _check(name, value)
        return _ordered(replace(cls(), **table))


def _check(name: str, value: object) -> None:
    """Type and range of one setting; the names of growth standards are checked where they are used."""
    if name not in _RANGES:
        if not isinstance(value, str) or not value:
            raise _bad(f"{name} = {value!r} is not a text", "a text in quotes")
        if name == "time_zone":
            try:
                site_zone(value)
            except OSError:  # a folder of the zone database, such as "Europe"
                raise _bad(f"{name} = {value!r} is not a time zone", "a name like 'Europe/Berlin'") from None
        return
    low, high = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(
            f"{name} = {value!r} is not a number", f"a number from {low:g} to {high:g}, without quotes"
        )
    if not low <= value <= high:
        raise _bad(f"{name} = {value:g} is not plausible", f"a number from {low:g} to {high:g}")


def _ordered(settings: SiteSettings) -> SiteSettings:
    for low, high in (("range_low_mg_dl", "range_high_mg_dl"), ("alert_low_mg_dl", "alert_high_mg_dl")):
        if getattr(settings, low) >= getattr(settings, high):
            raise _bad(f"{low} is not below {high}", "the lower limit below the upper one")
    return settings


def _bad(what: str, expected: str) -> UnusableInput:
    return UnusableInput(
        "bad-setting", f"{what}; expected {expected}. No setting was applied. Correct the settings file."
    )
