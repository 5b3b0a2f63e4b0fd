"""Days of women of the prior: the ensemble's path, and the same equations by SciPy LSODA and numba Runge-Kutta.

Six meals at fractional minutes, the same for all; parameters and appetite are each woman's own; one day from rest, no
treatment. Every way returns glucose at its own step edges. All ways take turns in one process on one core, in rounds,
and medians over rounds are compared, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks import rk4_peer
from tests.benchmarks.apart import timed, wait_for_others
from tests.reference import maternal_lsoda, maternal_rk4
from tests.reference.women import MEALS, draw_params, lognormal
from tests.statistical.bridge import matched, to_params
from tests.statistical.numerics import USES
from twin.physiology.events import DayEvents
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import COARSE_STEP_MIN, STEP_MIN, simulate_day

SEED = 20261220
DAY_MIN = 1440
#: minutes after the usual hours, so that no step has an edge at a meal
LATE_MIN = (0.37, 7.81, 3.29, 11.63, 5.17, 1.91)
LATEST = np.array([t + d for (t, _), d in zip(MEALS, LATE_MIN, strict=True)])
GRAMS = np.array([g for _, g in MEALS])
_, _, BAR = USES["ensemble"]
LOOSE = {"rtol": 1e-6, "atol": 1e-6}
DIVERGED = 1e3  # mg/dL
ROUND_S = 0.15  # of one way in one round, at least one call

Women = list[dict[str, Any]]


def draw(n: int) -> tuple[Women, np.ndarray]:
    """n women of the reference's prior and their meals, (meal, woman), mg."""
    women, appetite = [], []
    for child in np.random.SeedSequence(SEED).spawn(n):
        rng = np.random.default_rng(child)
        women.append(matched(draw_params(rng)))
        appetite.append(lognormal(rng, 1.0, 0.2))
    return women, 1000.0 * GRAMS[:, None] * np.array(appetite)


def of_reference(woman: dict[str, Any], mg: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters without insulin's states, and events, for `tests.reference`."""
    meals = [(float(t), float(g) / 1000.0) for t, g in zip(LATEST, mg, strict=True)]
    return woman | {"tau": {}, "F": {}}, {"meals": meals}


@functools.partial(jax.jit, static_argnames="h")
def fast_path(p: MaternalParams, events: DayEvents, h: float) -> tuple[jax.Array, jax.Array]:
    run = simulate_day(p, events, h=h, repeated=False)
    return run.G, run.IG


def in_lanes(women: Women, mg: np.ndarray) -> tuple[MaternalParams, DayEvents]:
    """Women side by side, (woman,), in single precision."""
    events = DayEvents.of(meals=tuple((float(t), 1.0) for t in LATEST), rank=1)
    events = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), events)
    p = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), to_params(women))
    return p, DayEvents(**{**vars(events), "meal_mg": jnp.asarray(mg, jnp.float32)})


def rk4_arrays(n: int, step_min: int) -> tuple[np.ndarray, np.ndarray]:
    edges = DAY_MIN // step_min + 1
    return np.empty((n, edges)), np.empty((n, edges))


def rk4(women: Women, mg: np.ndarray, step_min: int) -> tuple[np.ndarray, np.ndarray]:
    G, IG = rk4_arrays(len(women), step_min)
    rk4_peer.days(rk4_peer.table(women), LATEST, mg, float(step_min), G, IG)
    return G.T, IG.T


Glucose = tuple[np.ndarray, np.ndarray]  # G and IG, (edge, woman), mg/dL


def errors(truth: Glucose, found: Glucose, step_min: int) -> dict[str, float | None]:
    """Percentiles over women of the largest error of the day, mg/dL, at the edges of the way's own steps; None where
    more women than that diverge."""
    out: dict[str, float | None] = {}
    for name, exact, ours in zip(("G", "IG"), truth, found, strict=True):
        gap = np.abs(np.asarray(ours, float) - exact[::step_min, : ours.shape[1]]).max(axis=0)
        worst = np.where(np.isfinite(gap), gap, np.inf)
        for q in (50, 99):
            value = float(np.quantile(worst, q / 100.0, method="higher"))
            out[f"error_{name}_p{q}"] = value if value < DIVERGED else None
    return out


def meets(error: dict[str, float | None], names: tuple[str, ...]) -> bool:
    found = [error[f"error_{name}_p99"] for name in names]
    return all(e is not None and e <= BAR for e in found)


def largest_step(tried: dict[int, dict[str, float | None]], names: tuple[str, ...]) -> int:
    """The largest step, min, with which Runge-Kutta meets the bar in every quantity named. The error need not rise with
    the step, so every step is tried."""
    return max(h for h, error in tried.items() if meets(error, names))


def in_turns(ways: dict[str, tuple[int, Callable[[], Any]]], rounds: int) -> dict[str, tuple[float, float]]:
    """Member-days per core-second and per second of each way, medians over rounds; ways: (member-days, call)."""
    calls = {}
    for name, (_, call) in ways.items():
        call()
        calls[name] = max(1, math.ceil(ROUND_S / timed(call).core_s))
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (n, call) in ways.items():
            took = timed(lambda: [call() for _ in range(calls[name])])  # noqa: B023
            rates[name].append((n * calls[name] / took.core_s, n * calls[name] / took.wall_s))
    return {name: tuple(np.median(r, axis=0).tolist()) for name, r in rates.items()}  # type: ignore[misc]


def measure(**options: Any) -> Any:
    """Rows of the table; or, with `lanes` and `seconds`, the ensemble's rate on this core beside other processes."""
    assert not jax.config.jax_enable_x64
    return beside_others(**options) if "seconds" in options else side_by_side(**options)


def side_by_side(
    *, sizes: list[int], one_by_one: int, accuracy: int, lsoda: int, rounds: int
) -> dict[str, Any]:
    """One row a way.

    sizes : lanes. one_by_one : women of Runge-Kutta. accuracy : women whose errors are taken. lsoda : women of LSODA.
    """
    women, mg = draw(max(*sizes, one_by_one, accuracy))
    some, some_mg = women[:accuracy], mg[:, :accuracy]
    runs = [
        maternal_rk4.simulate(*of_reference(w, some_mg[:, i]), float(DAY_MIN), out_every_min=1.0)
        for i, w in enumerate(some)
    ]
    truth = tuple(np.stack([r[k] for r in runs], axis=1) for k in ("G", "IG"))
    ways: dict[str, tuple[int, Callable[[], Any]]] = {}
    about: dict[str, dict[str, Any]] = {}

    def add(name: str, n: int, call: Callable[[], Any], **facts: Any) -> None:
        ways[name], about[name] = (n, call), {"case": name, "women": n, **facts}

    for use, h in (("ensemble", COARSE_STEP_MIN), ("weights of draws", STEP_MIN)):
        error = errors(truth, fast_path(*in_lanes(some, some_mg), h=h), round(h))
        for n in sizes:
            p, events = in_lanes(women[:n], mg[:, :n])
            add(
                f"gdm-twin, {use}, float32, {n} lanes",
                n,
                functools.partial(_ready, p, events, h),
                step_min=h,
                **error,
            )
    table = rk4_peer.table(women[:one_by_one])
    tried = {h: errors(truth, rk4(some, some_mg, h), h) for h in range(1, 31) if DAY_MIN % h == 0}
    says = dict.fromkeys((1, 5), "")
    says |= {(bare := largest_step(tried, ("G",))): ", the largest step with G at the bar"}
    says |= {(peer := largest_step(tried, ("G", "IG"))): ", the largest step with G and IG at the bar"}
    for h, said in sorted(says.items()):
        G, IG = rk4_arrays(one_by_one, h)
        call = functools.partial(rk4_peer.days, table, LATEST, mg[:, :one_by_one], float(h), G, IG)
        add(f"numba RK4, {h} min{said}", one_by_one, call, step_min=float(h), **tried[h])
    chosen = range(min(lsoda, accuracy))

    def compiled() -> list[np.ndarray]:
        return [rk4_peer.lsoda_day(table[i], LATEST, mg[:, i], COARSE_STEP_MIN) for i in chosen]

    def plain() -> list[np.ndarray]:
        runs = [
            maternal_lsoda.simulate(*of_reference(women[i], mg[:, i]), float(DAY_MIN), **LOOSE)
            for i in chosen
        ]
        return [np.stack([run["G"], run["IG"]]) for run in runs]

    for name, way in (
        ("SciPy LSODA (odeint, right-hand side in numba), 1e-6", compiled),
        ("SciPy LSODA (solve_ivp, plain Python), 1e-6", plain),
    ):
        found = np.stack(way(), axis=-1)
        add(name, len(chosen), way, **errors(truth, (found[0], found[1]), round(COARSE_STEP_MIN)))
    rates = in_turns(ways, rounds)
    of_step = {facts.get("step_min"): rates[name][0] for name, facts in about.items() if "RK4" in name}
    rows = [
        about[name]
        | {
            "member_days_per_core_s": per_core_s,
            "member_days_per_s": per_s,
            "times_peer": per_core_s / of_step[peer],
            "times_peer_G": per_core_s / of_step[bare],
        }
        for name, (per_core_s, per_s) in rates.items()
    ]
    return {
        "rows": rows,
        "error_bar": BAR,
        "peer_step_min": peer,
        "peer_step_G_min": bare,
        "accuracy_women": accuracy,
        "rounds": rounds,
    }


def _ready(p: MaternalParams, events: DayEvents, h: float) -> None:
    jax.block_until_ready(fast_path(p, events, h=h))


def beside_others(*, lanes: int, seconds: float) -> dict[str, float]:
    p, events = in_lanes(*draw(lanes))
    call = functools.partial(_ready, p, events, COARSE_STEP_MIN)
    call()
    wait_for_others()
    end = time.perf_counter() + seconds

    def work() -> int:
        calls = 0
        while time.perf_counter() < end:
            call()
            calls += 1
        return calls

    took = timed(work)
    return {
        "women": lanes,
        "member_days_per_s": lanes * took.result / took.wall_s,
        "member_days_per_core_s": lanes * took.result / took.core_s,
    }
