"""Fetal growth and the newborn without diabetes: spread by week, tracking, scan errors, fat and lean at birth."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cohorts.evidence.designs.course import meets_iadpsg
from cohorts.evidence.statistics import slope, standardised
from cohorts.population.birth import between, births
from cohorts.population.engine import Arm, Lanes, Numbers, fasting, latents_of, pregnancy, tolerance_test
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Who, Women
from twin.encode import SCAN_SD
from twin.growth_standards import efw_g, formula_needs
from twin.inference.priors import Prior
from twin.observation.blocks import SCAN_CORE, SCAN_DF
from twin.physiology.fetus import MEASURES, latent_ln_biometry
from twin.physiology.parameters import FetalParams

WEEKS = (14.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0, 40.0)
AT_WEEKS = np.array(WEEKS, dtype=np.float32)[:, None]
HEALTHY = Who(bmi=(18.5, 30.0), smoking=0.0, hypertension=0.0, nulliparous=0.6)
INTERGROWTH_READINGS = 3  # each measure from three images, the mean taken (Papageorghiou 2014, RECALLED)
FAT_ENERGY, LEAN_ENERGY = 9.3, 1.0  # kcal/g [C-EN-03, RECALLED]


@functools.partial(jax.jit, static_argnames="prior")
def biometry(
    prior: Prior, numbers: Numbers, who: Lanes, L: jax.Array, F: jax.Array, weeks: jax.Array
) -> tuple[jax.Array, jax.Array, FetalParams]:
    """ln of the four measures with the fetus's own shape, (measure, week, woman); ln weight; the fetus.

    weeks : recorded, (week, 1) or (week, woman); a fetus is measured at its true age.
    """
    latents = latents_of(prior, numbers, who)
    week = weeks + latents.dating_shift_weeks[None]
    measures = latent_ln_biometry(L, F, week, latents.fetus.q_scale[None], who.data.table)
    return measures + latents.shape[: len(MEASURES), None], jnp.log(L + F), latents.fetus


#: share of a measure's spread that is the fetus's own: the rest is its centre's habit, the same for all of one study
#: (own and centre SD in %: HC 0.6, 1.0; AC 1.7, 1.5; FL 1.9, 1.2; BPD 2.0, 2.1; EFW all centre: evidence-1)
OWN_SHARE = {"hc_mm": 0.51, "ac_mm": 0.75, "fl_mm": 0.845, "bpd_mm": 0.69}


def one_centre(population: Population) -> dict[str, float]:
    """SDs of the shape latents in a study with one protocol."""
    sd = {x.name: x.sd for x in population.prior.latents}
    names = {q: f"shape_{q}" for q in OWN_SHARE}
    return {f"sd.{n}": OWN_SHARE[q] * population.numbers.get(f"sd.{n}", sd[n]) for q, n in names.items()}


def scanned(
    women: Women, true: np.ndarray, first: int, observers: float = 1.0, readings: int = 1
) -> np.ndarray:
    """Measured ln biometry: Student t errors from readings `first` on, one per measure and week.

    observers : their error over that of one, where women are scanned by different ones. readings : by one observer,
    of which the mean is taken; what is between observers stays.
    """
    times = np.sqrt(max(observers**2 - 1.0, 0.0) + 1.0 / readings)
    size = int(np.prod(true.shape[:2]))
    rng = np.random.default_rng([7, first])
    chi = rng.chisquare(SCAN_DF, (size, len(women))) / SCAN_DF
    normal = rng.standard_normal((size, len(women)))
    sd = np.array([SCAN_SD[q] for q in MEASURES])[:, None, None]
    return np.asarray(true + times * sd * SCAN_CORE * (normal / np.sqrt(chi)).reshape(true.shape))


def simulate(population: Population, n: int, seed: int = 3, who: Who = HEALTHY) -> Arrays:
    prior = population.prior
    numbers = {**population.numbers, **one_centre(population)}
    observers = float(beside(numbers, "measure.observers"))

    def look(women: Women, lanes: Lanes) -> Arrays:
        weeks = pregnancy(prior, numbers, lanes, Arm(), False)
        L, F = (np.stack([between(x, np.full(len(women), w)) for w in WEEKS]) for x in (weeks.L, weeks.F))
        measures, ln_weight, _ = biometry(
            prior, numbers, lanes, jnp.asarray(L, jnp.float32), jnp.asarray(F, jnp.float32), AT_WEEKS
        )
        test, _ = tolerance_test(
            prior, numbers, lanes, 26.0, women.test_day[0], 75.0, (0.0, 60.0, 120.0)
        )  # fmt: skip
        true = np.asarray(measures)
        return {
            "true": true,
            "scan": scanned(women, true, 0, observers),
            "mean_scan": scanned(women, true, 0, observers, INTERGROWTH_READINGS),
            "one": scanned(women, true, 1),
            "again": scanned(women, true, 2),
            "ln_weight": ln_weight,
            "edges_L": weeks.L,
            "edges_F": weeks.F,
            "gdm": meets_iadpsg(np.asarray(test)),
            "fasting": fasting(prior, numbers, lanes, (15.0, 31.0)).G,
            "observers": np.full(len(women), observers),
            **births(women, weeks, population.standard),
        }

    return gather(population, seed, n, look, who)


def efw_ln(ln: np.ndarray, formula: str = "hadlock3") -> np.ndarray:
    """ln EFW of ln measures (measure, ...)."""
    named = {q: jnp.asarray(np.exp(ln[i])) for i, q in enumerate(MEASURES)}
    return np.log(np.asarray(efw_g(formula, **{q: named[q] for q in formula_needs(formula)})))


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    at = {w: i for i, w in enumerate(WEEKS)}
    apart = _bradford(c, at)
    healthy = ~c["gdm"]
    c = {k: v[..., healthy] for k, v in c.items()}
    scan, one, again, ln_w = c["scan"], c["one"], c["again"], c["ln_weight"]
    row = {q: MEASURES.index(q) for q in MEASURES}
    efw = efw_ln(scan)
    boy, day = c["male"], c["birth_day"]
    observers = float(c["observers"][0])
    late = [at[w] for w in (28.0, 32.0, 36.0, 40.0)]

    def cv(q: str) -> tuple[float, ...]:
        x = np.exp(c["mean_scan"][row[q]])
        return tuple(float(100.0 * x[at[w]].std() / x[at[w]].mean()) for w in (20.0, 28.0, 32.0, 36.0))

    def error(formula: str) -> float:
        off = np.expm1(efw_ln(scan[:, at[36.0]], formula) - ln_w[at[36.0]])
        return float(100.0 * off.std())

    def limits(q: str) -> float:
        d = 100.0 * np.expm1(one[row[q]] - again[row[q]])
        return float(1.96 * d[[at[20.0], at[28.0], at[36.0]]].std())

    def r(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    def spread(formula: str) -> tuple[float, ...]:
        ln = efw_ln(c["mean_scan"], formula)
        return tuple(float(np.diff(np.quantile(ln[i], [0.1, 0.9]))[0]) for i in late)

    z_birth = standardised(c["birth_weight_g"], day, boy)
    change = (efw_true := np.asarray(ln_w))[at[32.0]] - efw_true[at[28.0]]
    change = 100.0 * (change - change.mean())

    newborn = {b: _by_day(c["birth_weight_g"][boy == b], day[boy == b]) for b in (True, False)}

    def born(week: float, boys: bool, q: float = 0.5) -> float:
        return newborn[boys](week, q)

    def mass(which: str, week: float, boys: bool) -> np.ndarray:
        return between(c[f"edges_{which}"], np.full(len(boy), week))[boy == boys]

    def fat_percent(week: float, boys: bool) -> np.ndarray:
        F, L = mass("F", week, boys), mass("L", week, boys)
        return np.asarray(100.0 * F / (F + L))

    def p(x: np.ndarray, *q: float) -> list[float]:
        return [float(v) for v in np.quantile(x, q)]

    def band(x: np.ndarray) -> float:
        return float(np.diff(np.quantile(x, [0.1, 0.9]))[0])

    fats = {b: [mass("F", w, b) for w in (38.0, 40.0)] for b in (True, False)}
    leans = {b: [mass("L", w, b) for w in (38.0, 40.0)] for b in (True, False)}
    percents = {b: [fat_percent(w, b) for w in (38.0, 40.0)] for b in (True, False)}

    def energy(week: float) -> float:
        low, high = (np.full(len(boy), week + s) for s in (-0.5, 0.5))
        F, L = ((between(c[f"edges_{k}"], high) - between(c[f"edges_{k}"], low)).mean() for k in ("F", "L"))
        return float(100.0 * FAT_ENERGY * F / (FAT_ENERGY * F + LEAN_ENERGY * L))

    gains = [(born(w + 1.0, True) - born(w, True)) / 1000.0 for w in (37.0, 38.0, 39.0, 40.0)]
    term = (day >= 38 * 7) & (day < 41 * 7)
    rise = (c["fasting"][1] - c["fasting"][0]) / 18.0156
    # one scan at 32 weeks with covariates and the day of birth
    X = np.column_stack(
        [np.ones(len(day)), efw[at[32.0]], day, boy, c["parity"] > 0, c["bmi"], c["height_cm"]]
    )
    fit = X @ np.linalg.lstsq(X, c["birth_weight_g"], rcond=None)[0]
    explained = 1.0 - float(((c["birth_weight_g"] - fit) ** 2).mean() / c["birth_weight_g"].var())
    repeats = np.expm1(efw_ln(one) - efw_ln(again))[late[:3]]
    variance = {
        q: (np.exp(one[row[q]]).var(), np.exp(one[row[q]] - again[row[q]]).var() / 2.0) for q in MEASURES
    }
    within = {
        q: float(1.0 - np.mean((np.exp(one[row[q]]) - np.exp(again[row[q]])) ** 2) / 2.0 / variance[q][0])
        for q in MEASURES
    }
    return {
        "C-EFW-01": (error("hadlock4"),),
        "C-EFW-02": (error("hadlock3"),),
        "C-EFW-03": (error("hadlock2"),),
        "C-EFW-04": (error("hadlock1"),),
        "C-EFW-05": (error("shepard"),),
        "C-EFW-09": (error("hadlock4"),),
        "C-EFW-10": (
            float(100.0 * repeats.std() / np.sqrt(2.0)),
            observers * float(100.0 * repeats.std() / np.sqrt(2.0)),
        ),
        "C-EFW-14": (error("hadlock4"),),
        "C-STD-01": (float(np.mean([100.0 * (np.exp(efw[i]).std() / np.exp(efw[i]).mean()) for i in late])),),
        "C-STD-02": (float(np.mean([efw[i].std() for i in late])),),
        "C-STD-03": cv("hc_mm"),
        "C-STD-04": cv("bpd_mm"),
        "C-STD-05": cv("ac_mm"),
        "C-STD-06": cv("fl_mm"),
        "C-STD-08": spread("intergrowth21"),
        "C-STD-09": spread("hadlock3"),
        "C-STD-12": tuple(p(c["birth_weight_g"][term], 0.25, 0.5, 0.75)),
        "C-STD-13": tuple(born(40.14, b, q) / 1000.0 for b in (True, False) for q in (0.1, 0.5, 0.9)),
        "C-STD-14": tuple((born(w, True) - born(w, False)) / 1000.0 for w in (37.14, 40.14)),
        "C-BC-01": (*(float(np.median(x)) for x in fats[True]), *(band(x) for x in fats[True])),
        "C-BC-02": (*(float(np.median(x)) for x in fats[False]), *(band(x) for x in fats[False])),
        "C-BC-03": (
            *(float(np.median(leans[b][i])) for i in (0, 1) for b in (True, False)),
            *(band(leans[b][1]) for b in (True, False)),
        ),
        "C-BC-04": (
            *(float(np.median(percents[b][i])) for i in (0, 1) for b in (True, False)),
            *(band(percents[b][1]) for b in (True, False)),
        ),
        "C-BC-09": (float(np.median(np.concatenate([percents[True][1], percents[False][1]]))),),
        "C-BC-12": (energy(27.0), energy(39.5)),
        "C-ERR-01": (limits("hc_mm"),),
        "C-ERR-02": (limits("ac_mm"),),
        "C-ERR-03": (limits("fl_mm"),),
        "C-ERR-04": tuple(observers * limits(q) for q in ("hc_mm", "ac_mm", "fl_mm")),
        "C-ERR-05": tuple(within[q] for q in ("bpd_mm", "ac_mm", "hc_mm", "fl_mm")),
        "C-LONG-02": (
            r(efw[at[28.0]], efw[at[32.0]]),
            r(efw[at[28.0]], efw[at[36.0]]),
            r(efw[at[20.0]], efw[at[36.0]]),
        ),
        "C-LONG-03": (r(efw[at[32.0]], z_birth), r(efw[at[36.0]], z_birth)),
        "C-LONG-04": (float(np.quantile(np.abs(change), 0.8)),),
        "C-LONG-05": (explained,),
        "C-BMI-01": (slope(z_birth, c["bmi"]),),
        "C-BMI-02": (slope(z_birth, c["extra_gain_kg"], c["bmi"]),),
        "C-BMI-03": (slope(z_birth, rise, c["bmi"], c["extra_gain_kg"]),),
        "D-BWGA-01": tuple(gains),
    } | apart


def _by_day(weight: np.ndarray, day: np.ndarray) -> Callable[[float, float], float]:
    """Centiles of newborns by exact week of birth: a curve through ln weight from 36 to 42 weeks, residuals alike."""
    here = (day >= 36 * 7) & (day < 42 * 7)
    curve = np.polynomial.Polynomial.fit(day[here] / 7.0, np.log(weight[here]), 3)
    residual = np.log(weight[here]) - curve(day[here] / 7.0)

    def centile(week: float, q: float) -> float:
        return float(np.exp(curve(week) + np.quantile(residual, q)))

    return centile


def _bradford(c: Arrays, at: dict[float, int]) -> dict[str, tuple[float, ...]]:
    """GDM less none; the first scan of the study, at 12 weeks, is compared at 14, where the model begins."""
    gdm = c["gdm"]

    def less(x: np.ndarray) -> float:
        return float(x[gdm].mean() - x[~gdm].mean())

    def measure(q: str, week: float) -> float:
        return less(np.exp(c["true"][MEASURES.index(q), at[week]]))

    def weight(week: float) -> float:
        return less(np.exp(c["ln_weight"][at[week]]))

    return {
        "D-BIB-01": (weight(24.0), measure("hc_mm", 24.0), measure("ac_mm", 24.0)),
        "D-BIB-02": (measure("hc_mm", 14.0), measure("ac_mm", 16.0), weight(16.0)),
    }
