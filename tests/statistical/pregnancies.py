"""Weekly averaging against the minute-resolution pregnancy: random pregnancies, strategies, both solvers.

The pregnancy functions (insulin sensitivity, secretion, production, uptake, weight) are the product's and are
handed to the reference as functions of the week: what is compared is averaging over days and weeks.

    python -m tests.statistical.pregnancies --out out/pregnancies.jsonl [--women 200] [--seed 5]
"""

import argparse
import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.reference import pregnancy_full
from tests.reference.women import MEDIAN, TAU_CV, lognormal, median_woman
from tests.statistical.bridge import matched, to_events, to_params
from tests.statistical.numerics import code_version, stored_lines
from twin.physiology.coupled import (
    DAY_START_MIN,
    REFERENCE_MEALS,
    WeekPlan,
    course,
    glucose_weeks,
    reference_exposure,
)
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, growth_table, table_weight
from twin.physiology.parameters import EXPOSURE_POWER, FetalParams
from twin.physiology.pregnancy import PLACENTA_EXPONENT, TEST_WEEK, PregnancyParams, at_weeks

LAST_WEEK = 40
TREATED_FROM = 28
N_CELLS = LAST_WEEK - FIRST_WEEK
STANDARD = "hadlock1991"
CV = {"BW": 0.15, "VG": 0.12, "f": 0.05, "k_e": 0.30, "k_a": 0.50, "R0": 0.08, "U_fp": 0.50, "E_G0": 0.10,
      "SI": 0.50, "p2": 0.35, "Gs": 0.08, "T_s": 0.40, "K_d": 0.40, "n": 0.25, "V_I": 0.25, "k_el": 0.30}  # fmt: skip
SLOTS = {"meals": 6, "doses": 4, "tablets": 2, "activity": 3}
STRATEGIES = ("usual", "less carbohydrate", "metformin", "basal insulin", "mealtime insulin", "walks")
CHUNK = 20


@dataclass(frozen=True)
class Pregnancy:
    """One woman at 28 weeks, the shape of her pregnancy, her fetus, her day (minutes since 04:00)."""

    params: dict
    shape: dict
    fetus: dict
    gain_kg_per_week: float
    day: dict


def _clock(minute):
    return (minute - DAY_START_MIN) % 1440.0


def draw_pregnancy(rng):
    p = median_woman()
    for name, cv in CV.items():
        p[name] = lognormal(rng, p[name], cv)
    p["f"] = min(p["f"], 1.0)
    p["B"] = math.exp(-0.55 * math.log(p["SI"] / MEDIAN["SI"]) + rng.normal(0.0, 0.30))
    if rng.random() < 1.0 / 3.0:
        p["B"] *= rng.uniform(0.4, 0.8)
    p["tau"] = {k: lognormal(rng, v, TAU_CV[k]) for k, v in MEDIAN["tau"].items()}
    shape = {
        "e1": rng.normal(0.20, 0.15),
        "d_SI": float(np.clip(rng.normal(0.55, 0.10), 0.3, 0.75)),
        "w50": rng.normal(25.0, 2.0),
        "s_w": max(rng.normal(3.5, 1.0), 1.5),
        "kappa": max(rng.normal(0.366, 0.25), 0.0),
    }
    fetus = {
        "theta": lognormal(rng, 1.0, 0.095),
        "s_L": lognormal(rng, 0.27, 0.4),
        "s_F": lognormal(rng, 1.5, 0.3),
        "tau_I": lognormal(rng, 1.5, 0.5),
    }
    appetite = lognormal(rng, 1.0, 0.2)
    meals = [
        (_clock(t + rng.normal(0.0, 15.0)), appetite * lognormal(rng, g, 0.25)) for t, g in REFERENCE_MEALS
    ]
    return Pregnancy(matched(p), shape, fetus, rng.normal(0.40, 0.15), {"meals": sorted(meals)})


def draw_pregnancies(n, seed):
    """A larger n keeps the earlier ones."""
    return [draw_pregnancy(np.random.default_rng(child)) for child in np.random.SeedSequence(seed).spawn(n)]


def treated(day, strategy):
    """The same day under a strategy; events at fractional minutes, none across the day's end."""
    meals = day["meals"]
    main = [meals[k][0] for k in (0, 2, 4)]
    changes = {
        "usual": {},
        "less carbohydrate": {"meals": [(t, 0.8 * g) for t, g in meals]},
        "metformin": {"tablets": [(main[0] + 3.3, 1000.0), (main[2] + 3.3, 1000.0)]},
        "basal insulin": {"doses": [(_clock(1320.7), 14.0, "nph")]},
        "mealtime insulin": {
            "doses": [(t - 10.4, u, "rapid") for t, u in zip(main, (5.0, 4.0, 6.0), strict=True)]
        },
        "walks": {"activity": [(t + 20.2, t + 40.2, 1.0) for t in main]},
    }
    return day | changes[strategy]


def pregnancy_params(group):
    names = ("e1", "d_SI", "w50", "s_w", "kappa")
    return PregnancyParams.reference(**{k: np.array([w.shape[k] for w in group]) for k in names})


def _full(tree, n):
    return jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, dtype=float), (n,)), tree)


def weight_kg(group, weeks):
    """(week, woman): her weight at 28 weeks and a steady gain."""
    at_test = np.array([w.params["BW"] for w in group])
    return at_test + np.outer(weeks - TEST_WEEK, [w.gain_kg_per_week for w in group])


def plan(group, strategy):
    """WeekPlan with fields (event, week, woman): treated from week 28."""
    weeks = glucose_weeks()[: LAST_WEEK - GLUCOSE_FROM_WEEK]
    usual, other = (
        to_events([(w.params, treated(w.day, s)) for w in group], SLOTS) for s in ("usual", strategy)
    )
    late = jnp.asarray(weeks > TREATED_FROM)[None, :, None]
    events = jax.tree.map(lambda a, b: jnp.where(late, b[:, None], a[:, None]), usual, other)
    return WeekPlan(events, jnp.asarray(weight_kg(group, weeks)))


@jax.jit
def full_course(p, g, fetus, week_plan, reference, table):
    """`course` of undisturbed fetuses from 14 to 40 weeks."""
    n, dtype = p.BW.shape[0], p.BW.dtype
    quiet, dating = jnp.zeros((N_CELLS, n), dtype), jnp.zeros(n, dtype)
    return course(p, g, fetus, week_plan, quiet, dating, reference, table)


def arguments(group, strategy):
    """What `full_course` takes."""
    n = len(group)
    fetus = {k: np.array([w.fetus[k] for w in group]) for k in group[0].fetus}
    return (
        _full(to_params([w.params for w in group]), n),
        _full(pregnancy_params(group), n),
        _full(FetalParams.reference(**fetus), n),
        plan(group, strategy),
        jnp.asarray(reference_exposure(STANDARD)),
        growth_table(STANDARD),
    )


def weight_at_end(run):
    return run.growth.edges.L[-1] + run.growth.edges.F[-1]


def run_fast(group, strategy):
    """Weight at 40 weeks, g, (woman,), by weekly averaging."""
    run = full_course(*arguments(group, strategy))
    assert np.asarray(run.ok).all()
    return np.asarray(weight_at_end(run))


@functools.lru_cache(maxsize=4)
def _hourly():
    return GLUCOSE_FROM_WEEK + np.arange((LAST_WEEK - GLUCOSE_FROM_WEEK) * 168 + 1) / 168.0


def weight_reference(weeks):
    return np.asarray(table_weight(growth_table(STANDARD), jnp.asarray(weeks)))


def slow_functions(group):
    """Per woman: {reference name: (weeks, values)} from the product's pregnancy functions."""
    weeks = _hourly()
    standard = weight_reference(weeks)
    at_test = weight_reference(np.array([TEST_WEEK]))[0]
    values = jax.jit(at_weeks)(
        _full(to_params([w.params for w in group]), len(group)),
        _full(pregnancy_params(group), len(group)),
        jnp.asarray(weeks)[:, None],
        jnp.asarray(standard / at_test)[:, None],
        jnp.asarray(weight_kg(group, weeks)),
    )
    moving = {"SI": values.S_I, "B": values.B, "R0": values.R0, "U_fp": values.U_fp, "BW": values.BW}
    moving = {k: np.broadcast_to(np.asarray(v), (weeks.size, len(group))) for k, v in moving.items()}
    return [{k: (weeks, v[:, lane]) for k, v in moving.items()} for lane in range(len(group))]


def run_minutes(woman, slow, strategy):
    """Weight at 40 weeks, g, by the minute-resolution reference."""
    usual = woman.day
    run = pregnancy_full.run(
        woman.params,
        [(GLUCOSE_FROM_WEEK, usual), (TREATED_FROM, treated(usual, strategy))],
        float(GLUCOSE_FROM_WEEK),
        float(LAST_WEEK),
        slow=slow,
        fetus=woman.fetus
        | {"eta": 1.0, "m": float(EXPOSURE_POWER), "M_star": 98.0, "uptake_power": PLACENTA_EXPONENT},
        W_ref=weight_reference,
        I_f0=0.0,
        euglycaemia=(glucose_weeks(), reference_exposure(STANDARD)),
    )
    return run["birth_weight_g"]


def measure(group, strategies=STRATEGIES, checked=None):
    """{strategy: (weekly g, minute g)}, each (woman,), of the first `checked` women of the group."""
    some = group[:checked]
    slow = slow_functions(some)
    return {
        s: (
            run_fast(group, s)[: len(some)],
            np.array([run_minutes(w, f, s) for w, f in zip(some, slow, strict=True)]),
        )
        for s in strategies
    }


def shortfall(effect, truth):
    """Error of a paired effect over what is allowed, 3 % or 2 g, whichever is more; at most 1 passes."""
    return np.abs(effect - truth) / np.maximum(0.03 * np.abs(truth), 2.0)


def report(result):
    """Percentiles of the relative error of birth weight, and of the paired effects."""
    weekly, minute = result["usual"]
    rows = {"women": weekly.size}
    for name, (w, m) in result.items():
        relative = np.abs(w / m - 1.0)
        row = {"error p50 %": 100 * np.median(relative), "error p99 %": 100 * np.quantile(relative, 0.99),
               "largest %": 100 * relative.max(), "bias %": 100 * np.mean(w / m - 1.0)}  # fmt: skip
        if name != "usual":
            effect, truth = w - weekly, m - minute
            short = shortfall(effect, truth)
            row |= {"effect g": np.mean(truth), "effect sd g": np.std(truth),
                    "effect error p99 g": np.quantile(np.abs(effect - truth), 0.99),
                    "mean effect ratio": np.mean(effect) / np.mean(truth),
                    "worst of allowed": short.max(), "within %": 100 * np.mean(short <= 1)}  # fmt: skip
        rows[name] = {k: round(float(v), 4) for k, v in row.items()}
    return rows


def main():
    parser = argparse.ArgumentParser(description="Weekly averaging against minute resolution.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--women", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    version = code_version()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    lines = stored_lines(chosen.out, version)
    women = draw_pregnancies(chosen.women, chosen.seed)
    gathered = []
    for first in range(0, chosen.women, CHUNK):
        group = women[first : first + CHUNK]
        key = {"code": version, "seed": chosen.seed, "first": first, "count": len(group)}
        found = [line for line in lines if line.items() >= key.items()]
        if not found:
            result = measure(group)
            found = [key | {"weights": {s: [w.tolist(), m.tolist()] for s, (w, m) in result.items()}}]
            with chosen.out.open("a") as out:
                out.write(json.dumps(found[0]) + "\n")
        gathered.append(found[0]["weights"])
    merged = {s: tuple(np.concatenate([g[s][k] for g in gathered]) for k in (0, 1)) for s in STRATEGIES}
    print(json.dumps(report(merged), indent=1))


if __name__ == "__main__":
    main()
