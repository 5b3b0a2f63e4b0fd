"""What is measured, recorded and given in a simulated pregnancy: a `Design`, and the named ones.

A design says when readings are taken, never what they show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twin.errors import UnusableInput

#: SMBG slots of a day: wall clock minute and relation; 1-h readings follow the reference meals
SMBG_SLOTS: tuple[tuple[float, str], ...] = (
    (430.0, "fasting"),
    (510.0, "post_meal_1h"),
    (810.0, "post_meal_1h"),
    (1170.0, "post_meal_1h"),
)


@dataclass(frozen=True)
class PrickLapses:
    """Finger pricks that are not taken, in runs (assumed, in want of a source).

    between_women_ln_odds : SD of a woman's own adherence around the plan's. fatigue_per_week : by which it falls, as a
    rate. pause_share, pause_days : share of days in pauses without any prick, and their mean length.
    """

    between_women_ln_odds: float = 0.8
    fatigue_per_week: float = 0.03
    pause_share: float = 0.10
    pause_days: float = 4.0


@dataclass(frozen=True)
class SmbgPlan:
    """Finger pricks from one week until the record ends; each planned one is taken with chance `adherence`."""

    first_week: float
    adherence: float
    slots: tuple[tuple[float, str], ...] = SMBG_SLOTS
    every_days: int = 1
    lapses: PrickLapses | None = None


@dataclass(frozen=True)
class WearLapses:
    """A sensor that comes off for good, or stays off for hours, beside its lost signal (assumed)."""

    ends_per_day: float = 0.02
    off_per_day: float = 0.10
    off_mean_min: float = 300.0


@dataclass(frozen=True)
class CgmPlan:
    """One sensor, worn for `days` days from a gestational day on; 5-min values.

    whole_mg_dl : values to 1 mg/dL, as sensors show them. Without it the own generator's are what the model takes them
    to be: free of white noise.
    """

    start_week: float
    days: int
    whole_mg_dl: bool = True
    lapses: WearLapses | None = None


@dataclass(frozen=True)
class Forgotten:
    """Chances that a diary lacks a whole day, a main meal, a snack; she has eaten all the same (assumed)."""

    day: float = 0.08
    meal: float = 0.05
    snack: float = 0.25


@dataclass(frozen=True)
class ScanFaults:
    """What goes wrong with scans (assumed: the evidence table has no rate of any of it).

    taken : chance that a planned scan takes place. gross_errors : share of measures with a wrong plane or caliper.
    Some women, more often heavy ones, have a poor acoustic window (`lapses.poor_window_chance`).
    """

    taken: float = 0.8
    gross_errors: float = 0.01


@dataclass(frozen=True)
class InsulinPlan:
    """NPH at bedtime and rapid insulin at three meals, titrated each week from `start_week` on, to birth."""

    start_week: float


@dataclass(frozen=True)
class MetforminPlan:
    """Tablets from `start_week` to birth."""

    start_week: float
    dose_mg: float
    per_day: int


@dataclass(frozen=True)
class WalkPlan:
    """A brisk walk after dinner from `start_week` to birth, on a share of the days."""

    start_week: float
    minutes: float
    adherence: float


@dataclass(frozen=True)
class Design:
    """A schedule. Weeks are recorded gestational weeks.

    if_gdm : home monitoring, diary, sensor and drugs only for women whose tolerance test meets IADPSG.
    as_of_week : the record ends at noon of this day; the pregnancy goes on.
    bmi : bounds of the pre-pregnancy body mass index, kg/m2.
    counting_ln_sd : error of recorded carbohydrate of the own generator's meals, on top of the model's own spread of a
    meal's effect; with 0 her record is exactly what the model takes it to be.
    arms : (share, design) of women followed in different ways in one place; each woman has one of them, and what else
    this design says of measuring does not count.
    """

    name: str
    as_of_week: float
    ogtt_week: float | None = 26.0
    scan_weeks: tuple[float, ...] = (20.0, 30.0, 35.5)
    smbg: SmbgPlan | None = None
    cgm: CgmPlan | None = None
    meals_recorded: bool = False
    insulin: InsulinPlan | None = None
    metformin: MetforminPlan | None = None
    walks: WalkPlan | None = None
    if_gdm: bool = False
    bmi: tuple[float, float] = (17.0, 50.0)
    counting_ln_sd: float = 0.15  # assumed, in want of a source
    forgotten: Forgotten | None = None
    scan_faults: ScanFaults | None = None
    arms: tuple[tuple[float, Design], ...] = ()

    @property
    def as_of_day(self) -> int:
        return round(7.0 * self.as_of_week)

    @property
    def leaves(self) -> tuple[Design, ...]:
        """The designs women have."""
        return tuple(design for _, design in self.arms) or (self,)


#: women of one hospital (shares assumed): a tolerance test for all; a woman who meets IADPSG pricks her finger, some
#: wear a sensor too, keeps a diary and gets insulin by protocol, unless nobody follows her up
_TESTED = Design("hospital-test", 36.0, scan_faults=ScanFaults())
_PRICKS = Design(
    "hospital-pricks",
    36.0,
    smbg=SmbgPlan(28.0, 0.8, lapses=PrickLapses()),
    meals_recorded=True,
    insulin=InsulinPlan(30.0),
    if_gdm=True,
    forgotten=Forgotten(),
    scan_faults=ScanFaults(),
)
_SENSOR = replace(
    _PRICKS,
    name="hospital-sensor",
    smbg=SmbgPlan(28.0, 0.5, lapses=PrickLapses()),
    cgm=CgmPlan(31.0, 10, lapses=WearLapses()),
)

#: every design of `gdm-twin cohort simulate --design NAME`
DESIGNS: dict[str, Design] = {
    d.name: d
    for d in (
        Design("standard", 36.0, smbg=SmbgPlan(28.0, 0.8)),
        Design("screened", 36.0),
        Design(
            "clinic",
            36.0,
            smbg=SmbgPlan(28.0, 0.8),
            insulin=InsulinPlan(30.0),
            if_gdm=True,
        ),
        Design("sensor", 36.0, smbg=SmbgPlan(28.0, 0.5), cgm=CgmPlan(31.0, 10), meals_recorded=True),
        Design(
            "demo-diet",
            34.0,
            scan_weeks=(20.0, 28.0, 33.0),
            smbg=SmbgPlan(27.5, 0.9),
            if_gdm=True,
            bmi=(18.5, 30.0),
        ),
        Design(
            "demo-insulin",
            34.5,
            scan_weeks=(20.0, 29.0, 33.5),
            smbg=SmbgPlan(27.5, 0.85),
            cgm=CgmPlan(32.5, 10),
            meals_recorded=True,
            insulin=InsulinPlan(29.0),
            if_gdm=True,
            bmi=(20.0, 38.0),
        ),
        Design(
            "demo-large",
            35.0,
            scan_weeks=(20.0, 29.0, 34.5),
            smbg=SmbgPlan(29.0, 0.7, every_days=2),
            walks=WalkPlan(29.0, 25.0, 0.6),
            bmi=(30.0, 42.0),
        ),
        Design("demo-normal", 34.0, scan_weeks=(20.0, 32.0), bmi=(18.5, 25.0)),
        Design("hospital", 36.0, arms=((0.10, _TESTED), (0.72, _PRICKS), (0.18, _SENSOR))),
    )
}


def design_named(name: str) -> Design:
    """A design by name. Raises : UnusableInput, listing the names available."""
    if name not in DESIGNS:
        raise UnusableInput(
            "unknown-design",
            f"design {name!r} is not known; expected one of {sorted(DESIGNS)}. Nothing was simulated.",
        )
    return DESIGNS[name]
