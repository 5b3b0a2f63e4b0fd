"""NumPyro's NUTS on any log density, in coordinates that make the posterior nearly standard normal, and its verdict.

One compiled program advances the chains by a few transitions, so a second woman of the same shapes compiles nothing,
progress can be told, and two halves of the chains run at once on two cores. Results do not depend on the cores.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from twin.inference.arviz_gate import bfmi, rhat_and_ess
from twin.programs import COMPILED_FAST, stored

RHAT_LIMIT = 1.01
ESS_LIMIT = 400.0
BFMI_LIMIT = 0.3  # below it momenta hardly move the energy [Betancourt 2016, arXiv:1604.00695]
TARGET_ACCEPT = 0.8
#: in warm-up and after it. A trajectory of 7 steps is most of half a turn here, enough to adapt by and half the cost
MAX_TREE_DEPTH = (3, 8)
BLOCK = 25  # transitions in one call
HALVES = 2
Progress = Callable[[int, int], None]  # transitions done, of how many


@runtime_checkable
class LogDensity(Protocol):
    """Log density, up to a constant, at one point z (latent,). `data` : arrays. Hashable, and told apart by `repr`."""

    def __call__(self, data: Any, z: Array, /) -> Array: ...


class Place(NamedTuple):
    """z = center + spread @ u: (latent,), (latent, latent)."""

    center: Array
    spread: Array


class Chains(NamedTuple):
    """What was drawn after the warm-up, chain first."""

    z: np.ndarray  # (chain, draw, latent)
    ln_density: np.ndarray  # (chain, draw), of `LogDensity`
    energy: np.ndarray
    diverging: np.ndarray
    leapfrogs: np.ndarray
    step_size: np.ndarray  # (chain,)


@dataclass(frozen=True)
class Verdict:
    """Whether chains can be trusted, and why not. Worst over the quantities judged, or over chains."""

    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    bfmi_min: float
    divergences: int
    reasons: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.reasons


def place_at(mode: np.ndarray, factor: np.ndarray) -> Place:
    """Coordinates in which the curvature at the mode is the identity. factor : U with U U' the curvature."""
    inverse = scipy.linalg.solve_triangular(factor, np.eye(len(mode)), trans=1, lower=False)
    return Place(jnp.asarray(mode, dtype=float), jnp.asarray(inverse, dtype=float))


def _kernel(density: LogDensity) -> tuple[Callable, Callable]:
    def potential(data: Any, place: Place) -> Callable[[Array], Array]:
        return lambda u: -density(data, place.center + place.spread @ u).astype(float)

    return hmc(potential_fn_gen=potential, algo="NUTS")


def _begin(init: Callable, warmup: int, data: Any, place: Place, u: Array, key: Array) -> Any:
    """The state before the first transition. Its energy is set far too high and its gradient is the Gaussian's, so that
    the density need not be compiled once more: the first trajectory leaves it, and warm-up forgets it."""
    return init(
        ParamInfo(u, jnp.asarray(1e6, dtype=float), u),
        warmup,
        step_size=len(u) ** -0.25,
        target_accept_prob=TARGET_ACCEPT,
        max_tree_depth=MAX_TREE_DEPTH,
        model_args=(data, place),
        rng_key=key,
    )


@stored("density", "warmup", options=COMPILED_FAST)
def advance(
    density: LogDensity, warmup: int, data: Any, place: Place, state: Any
) -> tuple[Any, dict[str, Array]]:
    """BLOCK transitions of chains side by side. Returns their new state, and what they visited, (chain, draw)."""
    init, transition = _kernel(density)
    first = jax.tree.map(lambda x: x[0], state)
    _begin(init, warmup, data, place, first.z, first.rng_key)  # NumPyro keeps the settings it is given here

    def one(chain: Any) -> Any:
        return transition(chain, (data, place))

    def move(chains: Any, _: None) -> tuple[Any, dict[str, Array]]:
        chains = jax.vmap(one)(chains)
        return chains, {
            "u": chains.z,
            "ln_density": -chains.potential_energy,
            "energy": chains.energy,
            "diverging": chains.diverging,
            "leapfrogs": chains.num_steps,
        }

    state, seen = jax.lax.scan(move, state, None, length=BLOCK)
    return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), seen)


def run_chains(
    density: LogDensity,
    data: Any,
    place: Place,
    key: Array,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    progress: Progress | None = None,
) -> Chains:
    """NUTS from points around the center, 0.3 SD wide; step size and diagonal scales are adapted in each warm-up."""
    size = place.center.shape[0]
    k_start, k_run = jax.random.split(key)
    u = 0.3 * jax.random.normal(k_start, (chains, size), dtype=float)
    keys = jax.vmap(lambda k: jax.random.key_data(k))(jax.random.split(k_run, chains))
    init, _ = _kernel(density)
    start = jax.vmap(lambda u, k: _begin(init, warmup, data, place, u, k))(u, keys)
    halves = HALVES if chains % HALVES == 0 else 1
    blocks = math.ceil((warmup + draws) / BLOCK)
    done, lock = 0, threading.Lock()

    def tell() -> None:
        nonlocal done
        with lock:
            done += BLOCK * chains // halves
            if progress is not None:
                progress(done, blocks * BLOCK * chains)

    def block(state: Any, seen: list[dict[str, np.ndarray]]) -> Any:
        state, new = advance(density, warmup, data, place, state)
        seen.append(jax.tree.map(np.asarray, new))
        tell()
        return state

    def rest(state: Any, seen: list[dict[str, np.ndarray]]) -> tuple[Any, dict[str, np.ndarray]]:
        while len(seen) < blocks:
            state = block(state, seen)
        return state, {name: np.concatenate([s[name] for s in seen], axis=1) for name in seen[0]}

    parts = [jax.tree.map(lambda x: jnp.split(x, halves)[i], start) for i in range(halves)]  # noqa: B023
    told: list[list[dict[str, np.ndarray]]] = [[] for _ in parts]
    parts[0] = block(parts[0], told[0])  # compiled once, before the threads
    with ThreadPoolExecutor(halves) as pool:
        ran = list(pool.map(rest, parts, told))
    seen = {name: np.concatenate([s[name] for _, s in ran])[:, warmup : warmup + draws] for name in ran[0][1]}
    z = np.asarray(place.center) + seen.pop("u") @ np.asarray(place.spread).T
    step = np.concatenate([np.asarray(state.adapt_state.step_size) for state, _ in ran])
    return Chains(z, **seen, step_size=step)


def judge(quantities: dict[str, np.ndarray], chains: Chains, share: float = 1.0) -> Verdict:
    """Diagnostics of quantities (chain, draw) by name, constant ones left out. share : effective share of the draws
    where they are weighted."""
    quantities = {name: x for name, x in quantities.items() if np.ptp(x) != 0.0}
    rhat, bulk, tail = rhat_and_ess(quantities)
    lowest = float(bfmi(chains.energy).min())
    divergences = int(chains.diverging.sum())
    reasons = []
    worst = max(rhat, key=lambda n: np.nan_to_num(rhat[n], nan=np.inf))
    if not rhat[worst] <= RHAT_LIMIT:
        reasons.append(f"R-hat {rhat[worst]:.3f} of {worst} is above {RHAT_LIMIT}")
    least = {}
    for kind, found in (("bulk", bulk), ("tail", tail)):
        name = min(found, key=lambda n: np.nan_to_num(found[n], nan=-np.inf))
        least[kind] = share * found[name]
        if not least[kind] >= ESS_LIMIT:
            reasons.append(
                f"effective sample size ({kind}) {least[kind]:.0f} of {name} is below {ESS_LIMIT:.0f}"
            )
    if not lowest >= BFMI_LIMIT:
        reasons.append(f"E-BFMI {lowest:.2f} is below {BFMI_LIMIT}")
    if divergences:
        reasons.append(f"{divergences} divergent transitions")
    return Verdict(rhat[worst], least["bulk"], least["tail"], lowest, divergences, tuple(reasons))
