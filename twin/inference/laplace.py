"""Laplace made honest: damped Gauss-Newton to the mode, then importance sampling around it; one woman or many at once.

The proposal has the curvature at the mode: a multivariate t of many degrees of freedom for what all days share, a
Gaussian for the single meals given that. Its importance weights are exact at the fitting step and judged by Pareto k
(`psis.pareto_smooth`). The draws come in two rounds: after the first the proposal learns center and scale from its
weighted draws. Where the weights are still poor, further rounds follow; all count together under their mixture
(deterministic-mixture adaptive importance sampling: Cornuet et al. 2012, Scand J Stat 39:798).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Array
from scipy.special import chdtri, ndtri
from scipy.stats import qmc

from twin.encode import WomanData
from twin.inference.linearise import Sweep, each_woman, stack_women, standard_mass, sweep_many
from twin.inference.model import Evaluation, Past, days_at_15_min, past_of, predict, total
from twin.inference.priors import Prior
from twin.inference.psis import effective_sample_size, pareto_smooth
from twin.programs import stored

MAX_ITERATIONS = 40
LEAST_DAMPING = 3e-3
CONVERGED = 0.05  # what a full step from here could still gain in log density, by the quadratic model
K_LIMIT = 0.7  # DESIGN 6
#: on four simulated women the worst k is 0.64, with a Gaussian 0.85
T_DF = 100.0
ESS_WANTED = 0.2  # effective draws, as a share of those asked for, below which another round is drawn;
LEAST_ESS = 50.0  # and with fewer than this the posterior is not ok
ROUNDS = 2  # that make the draws asked for, and
MAX_ROUNDS = 10  # at most: within five times the usual cost (DESIGN 6)
KEPT_FROM = 4.0  # squared standard errors from which a mean is moved to
SCALE_RANGE = (0.7, 1.6)
UNIT = 2.0**-31  # half of the finest step of the Sobol points
SWEPT = 2  # women side by side in one sweep, and
WEIGHED = 4  # when their draws are weighed: as many lanes as the processor's cache holds


class Mode(NamedTuple):
    """The posterior mode, the curvature there, and whether the search settled.

    factor : upper triangular U with U U' = H, so that z = mode + U'^-1 u has that curvature, and the first latents
    depend on the first u alone. shared : how many latents are not single meals.
    """

    z: np.ndarray
    factor: np.ndarray
    log_joint: float
    iterations: int
    converged: bool
    shared: int

    def at(self, u: np.ndarray) -> np.ndarray:
        """z, (latent, draw), of u in the coordinates in which the curvature is the identity."""
        return self.z[:, None] + scipy.linalg.solve_triangular(self.factor, u, trans=1, lower=False)


class Shape(NamedTuple):
    """What sampling learnt of one posterior, for the next with more data: (latent,) each.

    mode : z. center, scale : of the posterior, in the coordinates in which the curvature at the mode is the identity.
    """

    mode: np.ndarray
    center: np.ndarray
    scale: np.ndarray


class Draws(NamedTuple):
    """Weighted draws, (latent, draw), and how they were made. ess : of what was drawn, at most their number.

    seen : what the look of `sample_many` kept of each draw. shape : of draws of the prior both are None.
    """

    z: np.ndarray
    weights: np.ndarray
    pareto_k: float
    ess: float
    road: str  # "importance" | "adapted" | "prior"
    converged: bool
    seen: Past | Evaluation | None
    shape: Shape | None


#: log joint, (woman, draw), of draws of women of equal shapes, (woman, latent, draw), float32; and what to keep of each
#: draw, arrays (woman, ..., draw)
Look = Callable[[Sequence[WomanData], np.ndarray], tuple[np.ndarray, Any]]


def has_readings(data: WomanData) -> bool:
    """False where nothing informs the posterior: the prior is the answer."""
    masks = (data.spots.mask, data.cgm.mask, data.ogtt.mask, data.scans.mask)
    return len(data.birth_week) > 0 or any(bool(np.any(np.asarray(m))) for m in masks)


@stored("prior")
def weigh(prior: Prior, women: WomanData, z: Array) -> tuple[Array, Past]:
    """Log joint of draws of stacked women, (woman, draw), at the fitting step, and their past, woman axis first.

    z : (woman, latent, draw), float32.
    """

    def one(data: WomanData, z: Array) -> tuple[Array, Past]:
        predictions = predict(prior, data, z)
        course = predictions.course
        return total(z, predictions), past_of(course, days_at_15_min(data, course))

    return each_woman(one, women, z)


def _side_by_side(run: Callable, width: int, women: Sequence[WomanData], *along: np.ndarray) -> Any:
    """`run(stacked women, *along)`, `width` women at a time or one; the last woman fills what is left."""
    parts = []
    width = 1 if len(women) == 1 else width
    for start in range(0, len(women), width):
        rows = np.minimum(np.arange(start, start + width), len(women) - 1)
        out = run(stack_women([women[i] for i in rows]), *(a[rows] for a in along))
        parts.append(jax.tree.map(lambda x: np.asarray(x)[: len(women) - start], out))  # noqa: B023
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def find_modes(prior: Prior, women: Sequence[WomanData], start: np.ndarray | None = None) -> list[Mode]:
    """Levenberg-damped Gauss-Newton, for women of equal shapes together; steps are at most two prior SDs long.

    start : (woman, latent), zeros by default.
    """
    n, size = len(women), prior.size(women[0])

    def look(who: np.ndarray, z: np.ndarray, mass: np.ndarray) -> Sweep:
        return _side_by_side(functools.partial(sweep_many, prior), SWEPT, [women[i] for i in who], z, mass)

    z = np.zeros((n, size)) if start is None else np.array(start, dtype=float)
    return climb(look, z, np.stack([standard_mass(w) for w in women]), prior.n_shared(women[0]))


def climb(look: Callable[..., Sweep], z: np.ndarray, mass: np.ndarray, shared: int) -> list[Mode]:
    """The modes of several posteriors of one size, from z, (posterior, latent).

    look : (which posteriors, their z, their mass) to their `Sweep`; mass : what a sweep hands to the next.
    """
    n, size = z.shape
    everyone = range(n)
    z = z.copy()
    value, gradient, H, mass = (np.array(x) for x in look(np.arange(n), z, mass))
    damping, count = np.full(n, 1e-2), np.zeros(n, int)

    def to_gain(i: int) -> float:
        return float(0.5 * gradient[i] @ scipy.linalg.solve(H[i], gradient[i], assume_a="pos"))

    started = _usable(value, gradient, H)
    H[~started], gradient[~started] = (
        np.eye(size),
        0.0,
    )  # nowhere to go from: her draws will say so, not her batch
    settled = np.array([started[i] and to_gain(i) < CONVERGED for i in everyone])
    while True:
        open_ = np.flatnonzero(started & ~settled & (count < MAX_ITERATIONS) & (damping < 1e6))
        if not len(open_):
            break
        damped = H[open_] + damping[open_, None, None] * np.einsum("ijk,jk->ijk", H[open_], np.eye(size))
        move = np.linalg.solve(damped, gradient[open_][..., None])[..., 0]
        move = move / np.maximum(1.0, np.max(np.abs(move), axis=1, keepdims=True) / 2.0)
        candidate = z[open_] + move
        bend = 0.5 * np.einsum("ij,ijk,ik->i", move, H[open_], move)
        promised = np.einsum("ij,ij->i", move, gradient[open_]) - bend
        new = look(open_, candidate, mass[open_])
        usable = _usable(*(np.asarray(x) for x in (new.value, new.gradient, new.H)))
        for j, i in enumerate(open_.tolist()):
            count[i] += 1
            if usable[j] and new.value[j] > value[i]:
                kept = (
                    2.0 * (new.value[j] - value[i]) / promised[j] - 1.0
                )  # 1 where the model's promise was kept
                damping[i] = max(damping[i] * max(1.0 - kept**3, 0.2), LEAST_DAMPING)
                z[i], value[i], gradient[i], H[i], mass[i] = candidate[j], *(x[j] for x in new)
                settled[i] = to_gain(i) < CONVERGED
            else:
                damping[i] = max(6.0 * damping[i], 0.1)
    return [
        Mode(
            z[i],
            np.linalg.cholesky(H[i][::-1, ::-1])[::-1, ::-1],
            float(value[i]),
            int(count[i]),
            bool(started[i]) and bool(settled[i] or to_gain(i) < 4.0 * CONVERGED),
            shared,
        )
        for i in everyone
    ]


def _usable(value: np.ndarray, gradient: np.ndarray, H: np.ndarray) -> np.ndarray:
    """Whether a search can stand where these are, (posterior,): finite, and the curvature positive definite in the
    arithmetic at hand."""

    def definite(matrix: np.ndarray) -> bool:
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return False
        return True

    finite = np.isfinite(value) & np.isfinite(gradient).all(axis=1) & np.isfinite(H).all(axis=(1, 2))
    return np.array([f and definite(h) for f, h in zip(finite, H, strict=True)])


class _Round(NamedTuple):
    """One proposal, in the coordinates in which the curvature at the mode is the identity: (latent,) each."""

    center: np.ndarray
    scale: np.ndarray


@functools.lru_cache(maxsize=16)
def _points(size: int, log2_n: int) -> np.ndarray:
    """Scrambled Sobol points, (size, 2**log2_n): scrambling costs more than all else here, so it is done once."""
    return qmc.Sobol(size, rng=np.random.default_rng(0)).random_base2(log2_n).T


def _noise(rng: np.random.Generator, size: int, shared: int, n: int) -> np.ndarray:
    """Sobol points, shifted at random, made normal, and t by one scale a draw: between keys, quantiles and
    probabilities of birth weight vary by a fifth to a third less than with independent draws (docs/model/inference.md).
    """
    points = _points(size + 1, math.ceil(math.log2(max(n, 2))))[:, :n] + rng.random((size + 1, 1))
    points = np.clip(np.mod(points, 1.0), UNIT, 1.0 - UNIT)
    u = ndtri(points[:size])
    u[:shared] *= np.sqrt(T_DF / chdtri(T_DF, points[size]))
    return u


def _ln_density(u: np.ndarray, shared: int) -> np.ndarray:
    """ln density of `_noise`, up to a constant of the dimension."""
    t = -0.5 * (T_DF + shared) * np.log1p(np.sum(u[:shared] ** 2, axis=0) / T_DF)
    return t - 0.5 * np.sum(u[shared:] ** 2, axis=0)


def _ln_mixture(rounds: list[_Round], at: np.ndarray, shared: int) -> np.ndarray:
    """ln density of equal parts of all rounds at (latent, draw)."""
    each = [
        _ln_density((at - r.center[:, None]) / r.scale[:, None], shared) - np.sum(np.log(r.scale))
        for r in rounds
    ]
    return np.logaddexp.reduce(each, axis=0) - np.log(len(rounds))


def _learn(at: np.ndarray, weights: np.ndarray, ess: float) -> _Round:
    """Center and scale of the next round from weighted draws: only what stands out of their own noise, which over all
    latents would spoil the proposal more than it mends."""
    mean, variance = at @ weights, (at**2) @ weights
    variance = variance - mean**2
    center = mean * np.maximum(
        0.0, 1.0 - KEPT_FROM * np.maximum(variance, 1.0) / ess / np.maximum(mean**2, 1e-12)
    )
    no_change = len(at)  # draws' worth of it: what is learnt of scales is as much as there are draws for each
    scale = np.sqrt((ess * variance + no_change) / (ess + no_change))
    return _Round(center, np.clip(scale, *SCALE_RANGE))


def normalised(log_weights: np.ndarray) -> np.ndarray:
    w = np.exp(log_weights - np.max(log_weights))
    return w / w.sum()


def resample(key: Array, weights: np.ndarray, n: int) -> np.ndarray:
    """Systematic resampling: n indices whose counts follow `weights`."""
    u = (float(jax.random.uniform(key)) + np.arange(n)) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), u), len(weights) - 1)


class Sampler:
    """Adaptive importance sampling around one mode, round by round: `propose`, weigh elsewhere, `take`."""

    def __init__(self, mode: Mode, key: Array, n: int, first: Shape | None = None):
        self.mode, self.n, self.each = mode, n, -(-n // ROUNDS)
        k_noise, self.k_pick = jax.random.split(key)
        self.rng = np.random.default_rng(np.asarray(jax.random.key_data(k_noise)))
        size = len(mode.z)
        same = _Round(np.zeros(size), np.ones(size))
        self.rounds = [same if first is None else _Round(first.center, first.scale)]
        self.places: list[np.ndarray] = []
        self.found: list[np.ndarray] = []
        self.seen: list[Any] = []
        self.done = False

    def propose(self) -> np.ndarray:
        """Draws of the next round, (latent, draw)."""
        last = self.rounds[-1]
        u = _noise(self.rng, len(self.mode.z), self.mode.shared, self.each)
        self.places.append(last.center[:, None] + last.scale[:, None] * u)
        return self.mode.at(self.places[-1])

    def take(self, ln_joint: np.ndarray, seen: Any = None) -> None:
        """Log joint of the draws proposed last, and what to keep of them; plans a further round where the weights are
        poor."""
        self.found.append(np.asarray(ln_joint, dtype=float))
        self.seen.append(seen)
        self.at = np.concatenate(self.places, axis=1)
        ln_q = _ln_mixture(self.rounds, self.at, self.mode.shared)
        ln_w = np.concatenate(self.found) - ln_q
        if not np.isfinite(ln_w).any():  # the model does not hold anywhere: nothing to learn from
            self.weights = np.full(len(ln_w), 1.0 / len(ln_w))
            self.k, self.ess, self.done = float("inf"), 0.0, True
            return
        smoothed, self.k = pareto_smooth(ln_w)
        self.weights = normalised(smoothed)
        self.ess = effective_sample_size(self.weights)
        enough = self.k <= K_LIMIT and self.ess >= max(ESS_WANTED * self.n, LEAST_ESS)
        made = len(self.rounds)
        self.done = (enough and made >= ROUNDS) or made == MAX_ROUNDS
        if not self.done:
            self.rounds.append(_learn(self.at, self.weights, self.ess))

    def draws(self) -> Draws:
        """The draws asked for keep their weights; more are resampled to n equal ones."""
        if len(self.rounds) == ROUNDS:
            chosen, road = np.arange(self.n), "importance"  # without the one too many of an odd number
            weights = self.weights[chosen] / self.weights[chosen].sum()
        else:
            chosen = resample(self.k_pick, self.weights, self.n)
            weights, road = np.full(self.n, 1.0 / self.n), "adapted"
        z = self.mode.at(self.at[:, chosen])
        shape = Shape(self.mode.z, *_learn(self.at, self.weights, max(self.ess, 1.0)))
        seen = jax.tree.map(lambda *x: np.concatenate(x, axis=-1)[..., chosen], *self.seen)
        return Draws(z, weights, self.k, min(self.ess, self.n), road, self.mode.converged, seen, shape)


def sample_many(
    prior: Prior,
    women: Sequence[WomanData],
    keys: Sequence[Array],
    n: int = 1000,
    start: Sequence[Shape | None] | None = None,
    look: Look | None = None,
) -> list[tuple[Draws, Mode | None]]:
    """Posterior draws of women of equal shapes, each with its own key; see `sample`.

    start : what was learnt of each with less data (`update`). look : in place of `weigh_all`.
    """
    look = look or functools.partial(weigh_all, prior)
    found: dict[int, tuple[Draws, Mode | None]] = {}
    informed = []
    for i, (data, key) in enumerate(zip(women, keys, strict=True)):
        if has_readings(data):
            informed.append(i)
            continue
        z = np.asarray(jax.random.normal(key, (prior.size(data), n)))
        found[i] = (
            Draws(z, np.full(n, 1.0 / n), float("nan"), float(n), "prior", True, None, None),
            None,
        )
    known = [None] * len(women) if start is None else start
    modes = []
    if informed:
        begin = [np.zeros(prior.size(women[i])) if (s := known[i]) is None else s.mode for i in informed]
        modes = find_modes(prior, [women[i] for i in informed], np.stack(begin))
    samplers = {i: Sampler(mode, keys[i], n, known[i]) for i, mode in zip(informed, modes, strict=True)}
    while open_ := [i for i in informed if not samplers[i].done]:
        z = np.stack([samplers[i].propose() for i in open_]).astype(np.float32)
        rows, kept = look([women[i] for i in open_], z)
        for j, i in enumerate(open_):
            samplers[i].take(rows[j], jax.tree.map(lambda x: x[j], kept))  # noqa: B023
    return [found[i] if i in found else (samplers[i].draws(), samplers[i].mode) for i in range(len(women))]


def weigh_all(prior: Prior, women: Sequence[WomanData], z: np.ndarray) -> tuple[np.ndarray, Past]:
    """`weigh` of any number of women of equal shapes."""
    return _side_by_side(functools.partial(weigh, prior), WEIGHED, women, z)


def sample(prior: Prior, data: WomanData, key: Array, n: int = 1000) -> tuple[Draws, Mode | None]:
    """Posterior draws with normalised weights, and the mode; without readings, draws of the prior and None."""
    return sample_many(prior, [data], [key], n)[0]
