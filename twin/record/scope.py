"""The gate before any number: refuse, answer in part and say what is withheld, or answer in full.

Every rule is a line of the clinical requirements (docs/model/record.md lists them with their codes). The gate
reads what the record says; what is not recorded is not a reason to refuse, except dating.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from twin.record.plausibility import EFW_FIRST_DAY, tenth_centile
from twin.record.tables import PatientRecord, PregnancyFacts
from twin.settings import SiteSettings
from twin.timeline import DatingStatement, date_of

FIRST_DAY = 140.0  # 20+0
LAST_DAY = 308.0  # 44+0: dating is wrong or the birth is missing
LATE_BIOMETRY_DAY = 154.0  # 22+0: a large fetus dates as older from here
STEROID_DAYS = 7
#: entry of `site_policy`: the day up to which somebody has looked at overt-range values
REVIEWED_ON = "overt_values_reviewed_on"

#: withheld when the dating follows fetal size
SIZE_FOR_DATES = ("lga_90", "sga_10", "ac_90_at_36w", "centiles")
GLUCOSE_FORECAST = "glucose_forecast"
LOWER_GLUCOSE = "lower_glucose_optimisation"


@dataclass(frozen=True)
class Scope:
    """Verdict of the gate: stable codes in `reasons`, each said for people in `messages`; outputs `withheld`.

    A full answer may still carry reasons that withhold nothing (an unknown covariate is integrated over).
    `sga_first`: show small for gestational age before anything else.
    """

    status: str  # "full" | "partial" | "refused"
    reasons: list[str]
    withheld: list[str]
    messages: dict[str, str]
    sga_first: bool = False

    def as_dict(self) -> dict[str, object]:
        """The `scope` object of `risk.json`."""
        return {
            "status": self.status,
            "reasons": list(self.reasons),
            "withheld": list(self.withheld),
            "messages": dict(self.messages),
        }


@dataclass(frozen=True)
class SuspendedWindow:
    """Local days, first to last inclusive (None: still running), whose glucose is not usual."""

    first: date
    last: date | None
    reason: str  # "steroid-course" | "oral-steroids" | "acute-illness"

    def covers(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


def suspended_windows(facts: PregnancyFacts) -> tuple[SuspendedWindow, ...]:
    """Windows whose glucose readings and forecast are withheld: first steroid dose to day 7, oral steroids
    while taken, acute illness, vomiting or admission unless marked usual."""
    course = timedelta(days=STEROID_DAYS)
    return (
        *(SuspendedWindow(d, d + course, "steroid-course") for d in facts.steroid_courses),
        *(SuspendedWindow(a, b, "oral-steroids") for a, b in facts.oral_steroids),
        *(SuspendedWindow(a, b, "acute-illness") for a, b in facts.acute_illness),
    )


def in_suspended_window(time_local: pd.Series, facts: PregnancyFacts) -> pd.Series:
    """(row,) True where a wall-clock time lies in a suspended window."""
    days = time_local.dt.normalize()
    inside = pd.Series(False, index=time_local.index)
    for w in suspended_windows(facts):
        inside |= (days >= pd.Timestamp(w.first)) & (w.last is None or days <= pd.Timestamp(w.last))
    return inside


def scope_gate(
    record: PatientRecord,
    as_of_day: float | int | None,
    settings: SiteSettings,
    *,
    tenth: Callable[[str, float], float] = tenth_centile,
    efw: Callable[[pd.DataFrame], float | None] | None = None,
) -> Scope:
    """Whether this pregnancy may be forecast on gestational day `as_of_day`.

    record : as known on that day (`as_of`), so that nothing later decides.
    tenth : (quantity, gestational day) -> 10th centile of "ac_mm" and "efw_g"; the default is
        INTERGROWTH-21st for AC and Hadlock 1991 for weight.
    efw : biometry rows of one examination, without its recorded weight -> estimated fetal weight, g, or None;
        without it only recorded weights are judged.
    """
    refused = _refusals(record, as_of_day, settings)
    if refused:
        return Scope("refused", list(refused), [], {k: f"out of scope: {v}" for k, v in refused.items()})
    assert as_of_day is not None and record.facts.lmp_equivalent is not None
    messages: dict[str, str] = {}
    withheld: list[str] = []
    if _dated_by_late_biometry(record):
        messages["dated-by-late-biometry"] = (
            "dated only by biometry after 22 weeks: a large fetus dates as older, "
            "so LGA, SGA and centiles are withheld"
        )
        withheld += SIZE_FOR_DATES
    _suspensions(record, as_of_day, messages, withheld)
    small = _small_fetus(record, tenth, efw)
    if small:
        messages["small-fetus"] = (
            f"{small}: nothing that aims at lower glucose is offered, SGA is shown first"
        )
        withheld.append(LOWER_GLUCOSE)
    status = "partial" if withheld else "full"
    for name in ("hypertension", "smoking"):
        if getattr(record.facts, name) is None:
            messages[f"{name}-unknown"] = f"{name} is not recorded: integrated over"
    return Scope(status, list(messages), withheld, messages, sga_first=bool(small))


def _refusals(record: PatientRecord, day: float | int | None, settings: SiteSettings) -> dict[str, str]:
    facts = record.facts
    out: dict[str, str] = {}
    if (facts.fetal_number or 1) > 1:
        out["multiple-fetuses"] = "more than one fetus"
    if facts.diabetes_before_pregnancy:
        out["diabetes-before-pregnancy"] = "diabetes before pregnancy"
    out |= _overt(record, settings)
    for flag, code, text in (
        (facts.bariatric_surgery, "bariatric-surgery", "bariatric surgery"),
        (facts.fetal_anomaly, "fetal-anomaly", "major fetal anomaly"),
        (facts.hydrops, "hydrops", "hydrops"),
        (facts.fetal_death, "fetal-death", "fetal death"),
        (facts.labour, "labour", "labour"),
    ):
        if flag:
            out[code] = text + _if_undated(record, code.replace("-", "_"))
    if day is None or day != day or facts.lmp_equivalent is None:
        out["not-dated"] = "the pregnancy is not dated, by dates or by a scan"
        return out
    if day < FIRST_DAY:
        out["before-20-weeks"] = "before 20 weeks"
    if day > LAST_DAY:
        out["after-44-weeks"] = "after 44 weeks: the dating is wrong or the birth is not recorded"
    if facts.delivery_day is not None and date_of(day, facts.lmp_equivalent) > facts.delivery_day:
        out["already-born"] = "the child is already born"
    return out


def _if_undated(record: PatientRecord, name: str) -> str:
    """What to say of a condition of the fetus or of labour recorded without any date."""
    said = [s for s in record.history if s.name == name and s.value is True]
    if name == "bariatric_surgery" or not said or any(s.about or s.known_on for s in said):
        return ""
    return " (recorded without a date, perhaps of an earlier pregnancy: record its onset or end if it is)"


def reviewed_on(site_policy: Mapping[str, object]) -> date | None:
    """Day up to which overt-range values are reviewed; None without one, or for anything but an ISO date."""
    text = site_policy.get(REVIEWED_ON)
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _overt(record: PatientRecord, settings: SiteSettings) -> dict[str, str]:
    """Overt-range values not reviewed yet (IADPSG 2010): laboratory plasma, never a home meter or a sensor.

    `site_policy["overt_values_reviewed_on"]` (ISO date) marks everything up to that day as reviewed; anything
    but a date reviews nothing, and the messages say so.
    """
    facts, out = record.facts, {}
    reviewed = reviewed_on(facts.site_policy)
    unread = ""
    if REVIEWED_ON in facts.site_policy and reviewed is None:
        unread = f" ({REVIEWED_ON} is not a date YYYY-MM-DD and was not used)"
    lab = record.glucose[record.glucose["kind"].isin(["lab", "ogtt"]) & (record.glucose["censor"] != "low")]
    if reviewed is not None:
        lab = lab[lab["time_local"].dt.normalize() > pd.Timestamp(reviewed)]
    value = lab["value_mg_dl"]
    fasting = (lab["relation"] == "fasting") | (lab["minutes_post_load"] == 0)
    if (fasting & (value >= settings.overt_fasting_mg_dl)).any():
        out["overt-fasting-glucose"] = (
            f"fasting plasma glucose of {settings.overt_fasting_mg_dl:g} mg/dL or more, not reviewed{unread}"
        )
    hba1c = [v for day, v in facts.hba1c_percent if reviewed is None or day > reviewed]
    if any(v >= settings.overt_hba1c_percent for v in hba1c):
        out["overt-hba1c"] = f"HbA1c of {settings.overt_hba1c_percent:g} % or more, not reviewed{unread}"
    random = lab[(lab["kind"] == "lab") & lab["relation"].isin(["", "random"]) & ~fasting]
    high = random.loc[random["value_mg_dl"] >= settings.overt_random_mg_dl, "time_local"].dt.normalize()
    if high.nunique() >= 2:
        out["overt-random-glucose"] = (
            f"random plasma glucose of {settings.overt_random_mg_dl:g} mg/dL or more on two days, "
            f"not reviewed{unread}"
        )
    return out


def _dated_by_late_biometry(record: PatientRecord) -> bool:
    facts = record.facts
    assert facts.lmp_equivalent is not None
    if facts.dating_method == "biometry":
        return not _has_early_scan(record)
    if facts.dating_method != "ultrasound":
        return False
    said = [s.value for s in record.history if isinstance(s.value, DatingStatement)]
    days = [(d.stated_on - facts.lmp_equivalent).days for d in said if d.stated_on is not None]
    if not said or any(d.method != "ultrasound" for d in said) or any(d < LATE_BIOMETRY_DAY for d in days):
        return False
    # an EDD whose scan has no date may come from a late one, unless an early scan is in the record
    return len(days) == len(said) or not _has_early_scan(record)


def _has_early_scan(record: PatientRecord) -> bool:
    scans = record.biometry.loc[record.biometry["quantity"] != "efw_g", "gestational_day"]
    return bool((scans < LATE_BIOMETRY_DAY).any())


def _suspensions(
    record: PatientRecord, as_of_day: float | int, messages: dict[str, str], withheld: list[str]
) -> None:
    facts = record.facts
    assert facts.lmp_equivalent is not None
    today = date_of(as_of_day, facts.lmp_equivalent)
    days = record.glucose["time_local"].dt.date
    text = {
        "steroid-course": "antenatal steroids: glucose from the first dose to day 7",
        "oral-steroids": "oral steroids: glucose while taken",
        "acute-illness": "acute illness, vomiting or admission: glucose of that window",
    }
    for w in suspended_windows(facts):
        now = w.covers(today)
        readings = int(((days >= w.first) & (w.last is None or days <= w.last)).sum()) if len(days) else 0
        if now and GLUCOSE_FORECAST not in withheld:
            withheld.append(GLUCOSE_FORECAST)
        if readings:
            until = w.last.isoformat() if w.last else ""
            withheld.append(f"glucose_readings:{w.reason}:{w.first.isoformat()}/{until}")
        if now or readings:
            messages[w.reason] = f"{text[w.reason]} is withheld ({readings} readings)"


def _small_fetus(
    record: PatientRecord,
    tenth: Callable[[str, float], float],
    efw: Callable[[pd.DataFrame], float | None] | None,
) -> str:
    if record.facts.fetal_growth_restriction:
        return "fetal growth restriction is recorded"
    for quantity, name in (("ac_mm", "abdominal circumference"), ("efw_g", "estimated fetal weight")):
        rows = record.biometry
        rows = rows[
            (rows["quantity"] == quantity)
            & rows["gestational_day"].notna()
            & ~rows["method"].str.contains("outside-formula-range", regex=False)
        ]
        if len(rows):
            newest = rows.iloc[-1]
            if newest["value"] < tenth(quantity, float(newest["gestational_day"])):
                return f"the newest {name} is below the 10th centile"
    computed = _computed_efw(record, efw)
    if computed is not None and computed[0] < tenth("efw_g", computed[1]):
        return "the fetal weight estimated from the newest scan's measurements is below the 10th centile"
    return ""


def _computed_efw(
    record: PatientRecord, efw: Callable[[pd.DataFrame], float | None] | None
) -> tuple[float, float] | None:
    """Estimated weight (g) and gestational day of the newest examination that allows one, within the formulas'
    range."""
    rows = record.biometry
    rows = rows[(rows["quantity"] != "efw_g") & (rows["gestational_day"] >= EFW_FIRST_DAY)]
    if efw is None:
        return None
    for scan in sorted(rows["scan"].unique(), reverse=True):
        of_it = rows[rows["scan"] == scan]
        grams = efw(of_it)
        if grams is not None:
            return grams, float(of_it["gestational_day"].iloc[-1])
    return None
