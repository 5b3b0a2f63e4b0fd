"""Days of pregnant women: meters, laboratory and sensor against published norms; walks and one meal."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cohorts.evidence.designs.course import MMOL, meets_iadpsg
from cohorts.population.engine import Arm, Lanes, Numbers, one_day, tolerance_test
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Who, Women
from twin.inference.priors import Prior, day_pattern
from twin.observation.blocks import METER_CV, METER_SD_MG_DL
from twin.observation.residual import CGM_STEP_MIN, dynamics
from twin.physiology.simulate import COARSE_STEP_MIN

NORMAL = Who(bmi=(18.5, 35.0), ln_bmi=(3.19, 0.17), smoking=0.0, hypertension=0.0)
SENSOR_CV = (
    0.08  # the sensor's own error around its level [MODEL 1.5]; what else the residual has is of her days
)
MEALS_MIN = (210.0, 510.0, 870.0)  # since 04:00, the main meals of the reference day
FASTING_MIN = 150.0
DRIVEN_MIN = 14.0  # of the residual, the prior's center
DAYS_WORN = 6  # apart from one another, simulated of each trimester: sensors were worn all along
SENSORS = 10.0  # worn one after the other by the women of a long study: their offsets and gains average out (assumed)


@functools.partial(jax.jit, static_argnames=("prior",))
def sensed(
    prior: Prior, numbers: Numbers, who: Lanes, week: jax.Array, arm: Arm
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Plasma glucose, what the sensor shows without its residual, (time, woman); CV of the residual."""
    day, latents = one_day(prior, numbers, who, week, arm)
    minute = jnp.arange(day.G.shape[0] - 1, dtype=who.z.dtype) * COARSE_STEP_MIN
    level = (
        day.IG[:-1] * (1.0 + day_pattern(latents.profile, minute))
        if latents.profile.shape[0]
        else day.IG[:-1]
    )
    return day.G[:-1], latents.sensor_gain * level + latents.sensor_offset, latents.cgm_cv


def simulate(population: Population, n: int, seed: int = 7) -> Arrays:
    prior, numbers = population.prior, population.numbers

    def look(women: Women, lanes: Lanes) -> Arrays:
        test, _ = tolerance_test(
            prior, numbers, lanes, 28.0, women.test_day[0], 75.0, (0.0, 60.0, 120.0)
        )  # fmt: skip
        found: Arrays = {"test": np.asarray(test)}
        worn = [prior.index[k] for k in ("sensor_gain", "sensor_offset")]
        many = lanes._replace(z=lanes.z.at[jnp.asarray(worn)].divide(np.sqrt(SENSORS)))
        for week in (11.0, 24.0, 28.0, 34.0, 38.0):
            G, level, cv = sensed(prior, numbers, lanes, jnp.asarray(week), Arm())
            averaged = np.asarray(sensed(prior, numbers, many, jnp.asarray(week), Arm())[1])
            found |= {f"G_{week:g}": _reads(np.asarray(G)), f"mean_{week:g}": np.asarray(G).mean(axis=0)}
            if week in (11.0, 24.0, 34.0):
                found |= {
                    f"{k}_{week:g}": v for k, v in _sensor(averaged, np.asarray(cv), round(week)).items()
                }
            if week == 34.0:
                found |= _against_plasma(np.asarray(G), np.asarray(level), women)
        # women of the walking trials are under dietary care in both arms
        diet = beside(numbers, "care.diet")
        at_32 = jnp.asarray(32.0)
        walked, *_ = sensed(prior, numbers, lanes, at_32, Arm(start_week=0.0, carbohydrate=diet, walks=1.0))
        rested, *_ = sensed(prior, numbers, lanes, at_32, Arm(start_week=0.0, carbohydrate=diet))
        awake = slice(round(150 / COARSE_STEP_MIN), round(1140 / COARSE_STEP_MIN))
        for name, G in (("walked", walked), ("rested", rested)):
            x = np.asarray(G)
            found |= {f"{name}_day": x[awake].mean(axis=0), f"{name}_reads": _reads(x)}
        return found | {"old_meter": np.full(len(women), float(beside(numbers, "measure.old_meter")))}

    return gather(population, seed, n, look, NORMAL)


def _reads(G: np.ndarray) -> np.ndarray:
    """Fasting, the means an hour and two hours after the main meals, before them, and the daily profile's mean."""

    def at(minute: float) -> np.ndarray:
        return np.asarray(G[round(minute / COARSE_STEP_MIN)])

    one, two, before = (np.mean([at(m + d) for m in MEALS_MIN], axis=0) for d in (60.0, 120.0, -10.0))
    night = np.mean([at(m) for m in (1200.0, 1380.0)], axis=0)
    profile = (at(FASTING_MIN) + 3.0 * one + 3.0 * two + 2.0 * before + 2.0 * night) / 11.0
    return np.stack([at(FASTING_MIN), one, two, before, profile])


def _sensor(level: np.ndarray, cv: np.ndarray, day: int) -> Arrays:
    """Days as the sensor shows them, residual and all; peaks within three hours of the main meals."""
    days = [_one_day(level, cv, DAYS_WORN * day + k) for k in range(DAYS_WORN)]
    return {name: np.mean([d[name] for d in days], axis=0) for name in days[0]}


def _one_day(level: np.ndarray, cv: np.ndarray, seed: int) -> Arrays:
    coarse = level[:: round(CGM_STEP_MIN / COARSE_STEP_MIN)]
    shown = coarse * np.exp(cv * _residual(len(coarse), coarse.shape[1], seed))
    peak, start = [], []
    for m in MEALS_MIN:
        first = round(m / CGM_STEP_MIN)
        peak.append(shown[first : first + 12].max(axis=0))
        start.append(shown[first])
    return {
        "sensor_mean": shown.mean(axis=0),
        "in": 100.0 * ((shown >= 63.0) & (shown <= 120.0)).mean(axis=0),
        "low": 100.0 * (shown < 63.0).mean(axis=0),
        "high": 100.0 * (shown > 120.0).mean(axis=0),
        "above": 100.0 * (shown > 140.0).mean(axis=0),
        "peak": np.mean(peak, axis=0),
        "start": np.mean(start, axis=0),
    }


def _residual(times: int, women: int, day: int) -> np.ndarray:
    """Standardised residual of ln sensor glucose at CGM_STEP_MIN (`twin.observation.residual`), (time, woman)."""
    A, fresh, stationary = dynamics(DRIVEN_MIN)
    start, step = (np.linalg.cholesky(c + 1e-12 * np.eye(3)) for c in (stationary, fresh))
    rng = np.random.default_rng([13, day])
    state, seen = start @ rng.standard_normal((3, women)), []
    for _ in range(times):
        seen.append(state[0] + state[1])
        state = A @ state + step @ rng.standard_normal((3, women))
    return np.stack(seen)


def _against_plasma(G: np.ndarray, level: np.ndarray, women: Women) -> Arrays:
    at = [round(m / COARSE_STEP_MIN) for m in np.linspace(60.0, 1380.0, 24)]
    shown, true = level[at] * np.exp(SENSOR_CV * women.reading[:24]), G[at]
    apart = np.abs(shown - true)
    near = apart <= np.where(true < 100.0, 20.0, 0.2 * true)
    return {"relative": 100.0 * (apart / true).mean(axis=0), "near": 100.0 * near.mean(axis=0)}


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    gdm = meets_iadpsg(c["test"])
    normal = ~gdm
    hernandez = normal & (c["bmi"] >= 22.0) & (c["bmi"] <= 28.0)
    slim = normal & (c["bmi"] < 30.0)
    reads = c["G_34"][:, hernandez]
    trimesters = ("11", "24", "34")

    def over(name: str, who: np.ndarray) -> np.ndarray:
        return np.mean([c[f"{name}_{t}"][who] for t in trimesters], axis=0)

    mean = over("sensor_mean", normal)
    bmi = c["bmi"][normal]
    big, lean = bmi >= 30.0, (bmi >= 18.5) & (bmi <= 25.0)
    meter_of_then = c["old_meter"][0]  # whole blood
    daily = meter_of_then * np.mean([c[f"G_{t}"][4][slim] for t in ("28", "34", "38")], axis=0)
    excursion = over("peak", normal) - over("start", normal)
    meter = np.array([max(METER_SD_MG_DL, METER_CV * g) / g for g in (80.0, 100.0, 120.0)])
    fast, _, after = c["walked_reads"][:3, gdm] - c["rested_reads"][:3, gdm]
    # nobody takes a drug in the crossover: women whose targets diet meets
    diet_alone = gdm & (c["rested_reads"][0] < 95.0) & (c["rested_reads"][1] < 140.0)
    inside = [
        float(
            np.mean(
                np.abs(np.random.default_rng(1).standard_t(4.0, 20_000) * max(METER_SD_MG_DL, METER_CV * g))
                <= max(15.0, 0.15 * g)
            )
        )
        for g in (70.0, 90.0, 120.0, 160.0)
    ]
    return {
        "B-NORM-01": (float(reads[0].mean()),),
        "B-NORM-02": (float(reads[1].mean()),),
        "B-NORM-03": (float(reads[2].mean()),),
        "B-NORM-04": (float(c["mean_34"][hernandez].mean()),),
        "B-NORM-06": (float(mean.mean()), float(mean.std())),
        "B-NORM-07": (float(np.median(over("in", normal))),),
        "B-NORM-08": tuple(float(np.median(over(k, normal))) for k in ("low", "high", "above")),
        "B-NORM-09": (float(over("peak", normal).mean()), float(excursion.mean())),
        "B-NORM-10": (float(mean[big].mean() - mean[lean].mean()), float(np.corrcoef(bmi, mean)[0, 1])),
        "B-NORM-12": (float(daily.mean()), float(daily.std())),
        "B-NORM-13": tuple(float(meter_of_then * c[f"G_{w}"][4][slim].mean()) for w in ("28", "38")),
        "A-CGM-01": (float(c["relative"].mean()), float(c["near"].mean())),
        "A-CGM-02": (float(c["near"].mean()),),
        "A-SMBG-01": (100.0 * float(np.mean(inside)),),
        "A-SMBG-02": (METER_CV * 100.0,),
        "A-SMBG-03": (100.0 * float(meter[1]),),
        "A-EX-01": (float(after.mean() / MMOL), float(fast.mean() / MMOL)),
        "A-EX-02": (
            float(c["walked_day"][diet_alone].mean() / MMOL),
            float(c["rested_day"][diet_alone].mean() / MMOL),
        ),
    }
