"""The population prior: an artefact (TOML) of latent quantities, and how latents become parameters.

Every latent is sampled as a standard normal z (non-centred). Constants hold for all women, effects move a woman by her
covariates, and latents of one woman may correlate. The artefact also says how far its own centers may be off; that,
not the posterior, gives the range of a probability (DESIGN 4).
"""

from __future__ import annotations

import functools
import hashlib
import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.encode import BIOMETRY, COVARIATES, WomanData
from twin.errors import UnusableInput
from twin.observation.residual import DRIVEN_RANGE_MIN
from twin.physiology.fetus import table_weight
from twin.physiology.parameters import FetalParams, MaternalParams
from twin.physiology.pregnancy import PregnancyParams

DEFAULT_PRIOR = "population-1"
START_PRIOR = "evidence-1"  # set by hand: what the learnt prior starts from
LEVEL_WEEK = (
    39.43  # at which `weight_39_g` is the median child's weight, whichever standard gives the shape of growth
)
XI_CELLS = 2  # weekly cells that share one deviation
#: SD of the day's pattern that the equations leave out, per cosine and sine of 24, 12, 8 and 6 h, of the level: 0.08 in
#: all, as people's own patterns of ln glucose have it (0.07-0.08 without diabetes, docs/model/observation.md)
PROFILE_SD = (0.06, 0.035, 0.025, 0.02)
#: latents of the fetus and the scans: the mother's days do not depend on them but through the fetal mass
OF_THE_FETUS = ("theta", "gain", "fat_share", "fatness", "head", "efw_bias", "dating")
FETAL = (*OF_THE_FETUS, "shape_", "xi_")  # the same by how names begin, with growth deviations
#: latents, by how their names begin, that move only what a meter or sensor shows of her days
SHOWN = ("profile_", "sensor_", "cgm_cv")
#: share of s_L in the weight response: weights of lean and fat at term [MODEL 2.2: s_L 0.27, s_F 1.5]
FAT_WEIGHT_SHARE = 0.105


@dataclass(frozen=True)
class Latent:
    """One latent quantity of the prior."""

    name: str
    transform: str  # "ln" | "linear"
    center: float
    sd: float
    center_sd: float
    evidence: str


@dataclass(frozen=True)
class Constant:
    """A number that is the same for all women; sd : how far it may be off."""

    name: str
    value: float
    sd: float
    evidence: str


@dataclass(frozen=True)
class Effect:
    """What one unit of a covariate adds to `target` (`TARGETS`); sd : how far it may be off."""

    target: str
    covariate: str
    value: float
    sd: float
    evidence: str


@dataclass(frozen=True)
class Covariate:
    """A covariate among all women: mean and SD (of a yes or no: the share, and the SD that follows)."""

    name: str
    mean: float
    sd: float
    evidence: str


@dataclass(frozen=True)
class Correlation:
    """How two latents go together between women, beyond coupling and covariates; sd : how far it may be off."""

    first: str
    second: str
    value: float
    sd: float
    evidence: str


#: what covariates act on: ln S_I, ln R0, ln of what she eats, ln theta, the growth-rate exponent, that from 34 weeks
#: on, the fat fraction's factor
TARGETS = ("S_I", "R0", "meals", "theta", "growth", "late_growth", "fat")
CONSTANTS = (
    "coupling", "xi_sd", "xi_weeks", "test_S_I", "test_B", "test_k_e", "early_S_I", "early_B", "production_rise",
    "weight_39_g",
)  # fmt: skip


@dataclass(frozen=True)
class Prior:
    """The population prior: latents in file order, then growth deviations and test-day multipliers."""

    id: str
    latents: tuple[Latent, ...]
    constants: tuple[Constant, ...]
    effects: tuple[Effect, ...]
    covariates: tuple[Covariate, ...]
    correlations: tuple[Correlation, ...] = ()

    @functools.cached_property
    def index(self) -> dict[str, int]:
        return {latent.name: i for i, latent in enumerate(self.latents)}

    @functools.cached_property
    def constant(self) -> dict[str, float]:
        return {c.name: c.value for c in self.constants}

    @functools.cached_property
    def sha256(self) -> str:
        """Of all its numbers, first 16 digits: a changed prior under the same id is another prior."""
        numbers = [
            *((x.name, x.transform, x.center, x.sd, x.center_sd) for x in self.latents),
            *((x.name, x.value, x.sd) for x in self.constants),
            *((x.target, x.covariate, x.value, x.sd) for x in self.effects),
            *((x.name, x.mean, x.sd) for x in self.covariates),
            *((x.first, x.second, x.value, x.sd) for x in self.correlations),
        ]
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]

    @functools.cached_property
    def mixing(self) -> tuple[np.ndarray, np.ndarray]:
        """Which latents correlate, (k,), and the lower triangular map (k, k) from independent normals to them.

        Those of the fetus come last: their normals then move nothing of the mother (`of_the_mother`).
        Raises : LinAlgError where the correlations cannot all hold.
        """
        names = {n for c in self.correlations for n in (c.first, c.second)}
        order = sorted(names, key=lambda n: (n.startswith(FETAL), self.index[n]))
        matrix = np.eye(len(order))
        for c in self.correlations:
            i, j = order.index(c.first), order.index(c.second)
            matrix[i, j] = matrix[j, i] = c.value
        return np.array([self.index[n] for n in order], dtype=int), np.linalg.cholesky(matrix)

    def deviates(self, z: Array) -> Array:
        """The latents in their own SDs from their centers, of z: (latent, *batch), without deviations and meals."""
        own = z[: len(self.latents)]
        if not self.correlations:
            return own
        at, factor = self.mixing
        return own.at[at].set(jnp.tensordot(jnp.asarray(factor, dtype=z.dtype), own[at], axes=1))

    def size(self, data: WomanData) -> int:
        meals, days = meal_shape(data)
        return self.n_shared(data) + meals * days

    def n_shared(self, data: WomanData) -> int:
        """Latents but the amounts of single meals, which come last."""
        return len(self.latents) + n_deviations(data) + 3 * data.ogtt.value.shape[0] + n_profile(data)

    def names(self, data: WomanData) -> list[str]:
        tests = data.ogtt.value.shape[0]
        meals, days = meal_shape(data)
        return (
            [latent.name for latent in self.latents]
            + [f"xi_{i}" for i in range(n_deviations(data))]
            + [f"test{t}_{part}" for t in range(tests) for part in ("S_I", "B", "k_e")]
            + [f"profile_{i}" for i in range(n_profile(data))]
            + [f"meal{m}_day{d}" for m in range(meals) for d in range(days)]
        )

    def of_the_mother(self, data: WomanData) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the shared latents that move her glucose, and of those that only move what is shown of it."""
        names = self.names(data)[: self.n_shared(data)]
        mothers = [i for i, name in enumerate(names) if not name.startswith(FETAL)]
        acting = np.array([i for i in mothers if not names[i].startswith(SHOWN)])
        return acting, np.setdiff1d(mothers, acting)

    def center_shifts(self, key: Array, n: int, size: int) -> np.ndarray:
        """Draws of the prior's own centers, (draw, size), in units of z; zero for latents without doubt."""
        sd = np.zeros(size)
        sd[: len(self.latents)] = [latent.center_sd for latent in self.latents]
        moved = np.asarray(jax.random.normal(key, (n, size))) * sd
        if self.correlations:
            at, factor = self.mixing
            moved[:, at] = np.linalg.solve(factor, moved[:, at].T).T
        return moved


@functools.lru_cache(maxsize=8)
def load_prior(name_or_path: str = DEFAULT_PRIOR) -> Prior:
    """The packaged prior of that name, or a TOML file.

    Raises : UnusableInput when neither exists or a field is missing.
    """
    packaged = resources.files("twin.inference") / "data" / f"{name_or_path}.toml"
    source = packaged if packaged.is_file() else Path(name_or_path)
    if not source.is_file():
        raise UnusableInput(
            "unknown-prior",
            f"{name_or_path!r} is neither a packaged prior ({DEFAULT_PRIOR!r}) nor a file. Nothing was run.",
        )
    try:
        table = tomllib.loads(source.read_text())
        latents = tuple(Latent(name=name, **row) for name, row in table["latent"].items())
        prior = Prior(
            id=table["id"],
            latents=latents,
            constants=tuple(Constant(name, **row) for name, row in table["constant"].items()),
            effects=tuple(
                Effect(target, covariate, **row)
                for target, rows in table["effect"].items()
                for covariate, row in rows.items()
            ),
            covariates=tuple(Covariate(name, **row) for name, row in table["covariate"].items()),
            correlations=tuple(
                Correlation(first, second, **row)
                for first, rows in table.get("correlation", {}).items()
                for second, row in rows.items()
            ),
        )
    except (KeyError, TypeError, ValueError) as why:
        raise UnusableInput(
            "bad-prior", f"prior {name_or_path!r} is not readable: {why}. Nothing was run."
        ) from why
    wrong = [
        x.name
        for x in latents
        if x.transform not in ("ln", "linear")
        or not (x.sd > 0.0 and x.center_sd >= 0.0 and math.isfinite(x.center))
        or (x.transform == "ln" and x.center <= 0.0)
    ]
    wrong += [c.name for c in prior.constants if not (math.isfinite(c.value) and c.sd >= 0.0)]
    wrong += [
        f"{e.target}.{e.covariate}"
        for e in prior.effects
        if e.target not in TARGETS
        or e.covariate not in COVARIATES
        or not (math.isfinite(e.value) and e.sd >= 0.0)
    ]
    wrong += [c.name for c in prior.covariates if not (math.isfinite(c.mean) and c.sd > 0.0)]
    for names, expected in (
        ({c.name for c in prior.constants}, CONSTANTS),
        ({c.name for c in prior.covariates}, COVARIATES),
        (set(prior.index), load_prior().index if name_or_path != DEFAULT_PRIOR else prior.index),
    ):
        wrong += [f"{name} (missing)" for name in expected if name not in names]
        wrong += [f"{name} (unknown)" for name in sorted(names) if name not in expected]
    wrong += _wrong_correlations(prior)
    if wrong:
        raise UnusableInput(
            "bad-prior",
            f"prior {name_or_path!r}: {', '.join(wrong)}; expected the latents, constants and covariates "
            f"of {DEFAULT_PRIOR!r}: transform ln or linear, sd > 0, center_sd >= 0 and, for ln, center > 0; effects of "
            f"{', '.join(COVARIATES)} on {', '.join(TARGETS)}; correlations of two latents, each pair once, between -1 "
            "and 1, all together possible, and none between what a sensor shows and the rest. Nothing was run.",
        )
    return prior


def _wrong_correlations(prior: Prior) -> list[str]:
    """A latent of the sensor correlates with none of the others: `linearise` takes the two apart."""
    pairs = [frozenset((c.first, c.second)) for c in prior.correlations]
    wrong = [
        f"correlation.{c.first}.{c.second}"
        for c, pair in zip(prior.correlations, pairs, strict=True)
        if not pair <= prior.index.keys()
        or len(pair) < 2
        or pairs.count(pair) > 1
        or c.first.startswith(SHOWN) != c.second.startswith(SHOWN)
        or not (abs(c.value) < 1.0 and c.sd >= 0.0)
    ]
    if not wrong and prior.correlations:
        try:
            prior.mixing  # noqa: B018  (built here, or refused)
        except np.linalg.LinAlgError:
            wrong.append("correlation (no population has all of them)")
    return wrong


class Latents(NamedTuple):
    """All parameters of one woman, from z. Fields (*batch) unless said."""

    maternal: MaternalParams
    pregnancy: PregnancyParams
    fetus: FetalParams
    deviation: Array  # (cell, *batch)
    dating_shift_weeks: Array
    meal_factor: Array  # (meal, *batch)
    sensor_gain: Array
    sensor_offset: Array
    cgm_cv: Array
    sensor_memory: Array  # of the residual, min
    shape: Array  # (quantity, *batch), ln; EFW's entry is the shared bias
    test_day: Array  # (test, 3, *batch), ln multipliers
    profile: Array  # (coefficient, *batch), of the level
    portion: Array  # factor of every recorded meal
    meal_amount: Array  # (meal, day, *batch), factors of the sensor days' meals


def n_deviations(data: WomanData) -> int:
    return -(-data.n_cells // XI_CELLS)


def n_profile(data: WomanData) -> int:
    return 2 * len(PROFILE_SD) if data.cgm.value.shape[0] or data.spots.value.shape[0] else 0


def meal_shape(data: WomanData) -> tuple[int, int]:
    """(meal, day) of the sensor days."""
    days = data.cgm.value.shape[0]
    return (data.cgm.events.meal_mg.shape[0], days) if days else (0, 0)


def meal_amounts(z: Array, cv: Array) -> Array:
    """Factors of median about 1 and CV near `cv`, positive, and nearly linear in z, as glucose is in them."""
    at_1 = 3.0
    one = math.log1p(math.exp(at_1))
    slope = cv * one * (1.0 + math.exp(-at_1))
    return jax.nn.softplus(at_1 + slope * z) / one


def day_pattern(coefficients: Array, minute: Array) -> Array:
    """The day's own pattern, of the level, at minutes since 04:00, (time,): (time, *batch)."""
    angle = 2.0 * np.pi / 1440.0 * minute[:, None] * np.arange(1, len(PROFILE_SD) + 1)[None]
    basis = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)
    return jnp.tensordot(basis.astype(coefficients.dtype), coefficients, axes=1)


def deviations(prior: Prior, z: Array, n_cells: int) -> Array:
    """The growth-rate deviation of each weekly cell: stationary, correlation exp(-lag / xi_weeks)."""
    rho = jnp.exp(-XI_CELLS / jnp.asarray(prior.constant["xi_weeks"], dtype=z.dtype))
    # lower-triangular map from independent normals to the autoregression: fixed, so a matrix product
    n = z.shape[0]
    lag = np.arange(n)[:, None] - np.arange(n)[None, :]
    scale = jnp.where(np.arange(n) == 0, 1.0, jnp.sqrt(1.0 - rho**2)) * prior.constant["xi_sd"]
    matrix = jnp.where(lag >= 0, rho ** np.maximum(lag, 0), 0.0) * scale[None, :]
    xi = jnp.tensordot(matrix.astype(z.dtype), z, axes=1)
    return jnp.repeat(xi, XI_CELLS, axis=0)[:n_cells]


def fetal_responses(gain: Array, fat_share: Array) -> tuple[Array, Array]:
    """(s_L, s_F): the weight response scales with `gain`; `fat_share` moves it between lean and fat at equal
    weight response."""
    s_F = 1.5 * jnp.exp(fat_share)
    total = 0.27 * (1.0 - FAT_WEIGHT_SHARE) + 1.5 * FAT_WEIGHT_SHARE
    s_L = (total - FAT_WEIGHT_SHARE * s_F) / (1.0 - FAT_WEIGHT_SHARE)
    return gain * s_L, gain * s_F


def shifts(prior: Prior, data: WomanData) -> dict[str, Array]:
    """What her covariates add to each of `TARGETS`; a covariate that is not known adds nothing."""
    apart = covariate_means(prior, data)
    out = dict.fromkeys(TARGETS, jnp.zeros_like(apart[0]))
    for e in prior.effects:
        out[e.target] = out[e.target] + e.value * apart[COVARIATES.index(e.covariate)]
    return out


def covariate_means(prior: Prior, data: WomanData) -> Array:
    """Her covariates less the population's means, (covariate, ...); 0 where not known."""
    mean = {c.name: c.mean for c in prior.covariates}
    means = jnp.stack([jnp.asarray(mean[name]) for name in COVARIATES]).astype(data.covariates.dtype)
    means = means.reshape((-1,) + (1,) * (data.covariates.ndim - 1))
    return jnp.where(data.known, data.covariates - means, 0.0)


def unknown_variance(prior: Prior, data: WomanData, target: str) -> Array:
    """Variance of what covariates that are not known would add to a target."""
    sd = {c.name: c.sd for c in prior.covariates}
    each = [
        jnp.where(data.known[COVARIATES.index(e.covariate)], 0.0, (e.value * sd[e.covariate]) ** 2)
        for e in prior.effects
        if e.target == target
    ]
    return sum(each, jnp.zeros_like(data.covariates[0]))


def unpack(prior: Prior, data: WomanData, z: Array) -> Latents:
    """Parameters of one woman. z : (latent, *batch), standard normal under the prior."""
    batch = z.shape[1:]
    start = len(prior.latents)

    def column(values: list[float]) -> Array:
        return jnp.asarray(values, dtype=z.dtype).reshape((start,) + (1,) * len(batch))

    center = column([latent.center for latent in prior.latents])
    deviate = prior.deviates(z)
    step = column([latent.sd for latent in prior.latents]) * deviate
    is_ln = column([float(latent.transform == "ln") for latent in prior.latents]) > 0
    every = jnp.where(is_ln, center * jnp.exp(step), center + step)
    value = {latent.name: every[i] for i, latent in enumerate(prior.latents)}
    n_xi = n_deviations(data)
    tests = data.ogtt.value.shape[0]
    xi = deviations(prior, z[start : start + n_xi], data.n_cells)
    constant = prior.constant
    day_sd = jnp.stack([jnp.asarray(constant[f"test_{n}"], dtype=z.dtype) for n in ("S_I", "B", "k_e")])
    day_sd = day_sd.reshape((1, 3) + (1,) * len(batch))
    after = start + n_xi + 3 * tests
    test_day = z[start + n_xi : after].reshape((tests, 3, *batch)) * day_sd
    shared = prior.n_shared(data)
    profile_sd = np.tile(PROFILE_SD, 2)[: shared - after]
    profile = z[after:shared] * jnp.asarray(profile_sd, dtype=z.dtype).reshape((-1,) + (1,) * len(batch))
    meal_cv = data.cgm.meal_cv.astype(z.dtype).reshape((1, -1) + (1,) * len(batch))
    shape = meal_shape(data)
    meal_amount = meal_amounts(z[shared:].reshape((*shape, *batch)), meal_cv[:, : shape[1]])

    shift = {target: x.astype(z.dtype) for target, x in shifts(prior, data).items()}
    sensitivity = value["S_I"] * jnp.exp(shift["S_I"])
    median = prior.latents[prior.index["S_I"]].center
    B = value["B"] * (sensitivity / median) ** constant["coupling"]
    value["R0"] = value["R0"] * jnp.exp(shift["R0"])
    ones = jnp.ones(batch, dtype=z.dtype)
    direct = {
        n: value[n]
        for n in (
            "R0",
            "E_G0",
            "K_d",
            "k_e",
            "k_a",
            "VG",
            "n",
            "p2",
            "G_s",
            "U_fp",
            "tau_rapid",
            "V_I",
            "tau_IG",
        )
    }
    maternal = MaternalParams.reference(
        S_I=sensitivity, B=B, E_max=value["E_max"], s_ex=value["s_ex"], BW=70.0 * ones, **direct
    )
    maternal = jax.tree.map(lambda x: x * ones, maternal)
    d_SI = 0.30 + 0.45 * jax.nn.sigmoid((value["d_SI"] - 0.525) / 0.1125)  # bounded 0.30-0.75 [MODEL 1.3]
    pregnancy = PregnancyParams.reference(
        d_SI=d_SI,
        w50=value["w50"],
        kappa=value["kappa"],
        e1=jnp.asarray(constant["early_S_I"], dtype=z.dtype),
        e2=jnp.asarray(constant["early_B"], dtype=z.dtype),
        rise=jnp.asarray(constant["production_rise"], dtype=z.dtype),
    )
    pregnancy = jax.tree.map(lambda x: x * ones, pregnancy)
    s_L, s_F = fetal_responses(value["gain"], value["fat_share"])
    theta = prior.latents[prior.index["theta"]]
    wider = jnp.sqrt(theta.sd**2 + unknown_variance(prior, data, "theta")).astype(z.dtype)
    level = jnp.log(constant["weight_39_g"] / table_weight(data.table, jnp.asarray(LEVEL_WEEK)))
    ln_theta = (
        jnp.log(theta.center) + level.astype(z.dtype) + shift["theta"] + wider * deviate[prior.index["theta"]]
    )
    fetus = FetalParams.reference(
        theta=jnp.exp(ln_theta),
        q_scale=1.0 + shift["fat"],
        s_L=s_L,
        s_F=s_F,
        fatness=value["fatness"],
        growth_shift=shift["growth"],
        late_shift=shift["late_growth"],
    )
    fetus = jax.tree.map(lambda x: x * ones, fetus)
    overall = data.carbohydrate_sd[0] * value["carbohydrate"]
    each = jnp.stack([value["breakfast"], value["lunch"], value["dinner"]])
    # usual meals grow with her covariates; what she has recorded is what she ate
    usual = jnp.where(data.meals_recorded, 0.0, shift["meals"])
    meal_factor = jnp.exp(usual + overall[None] + data.carbohydrate_sd[1] * each[data.meal_of_slot])
    head = {"hc_mm": value["head"], "bpd_mm": value["head"]}
    own = {q: value["efw_bias" if q == "efw_g" else f"shape_{q}"] for q in BIOMETRY}
    shape_ln = jnp.stack([own[q] + head.get(q, jnp.zeros(batch, dtype=z.dtype)) for q in BIOMETRY])
    return Latents(
        maternal,
        pregnancy,
        fetus,
        xi,
        data.dating_sd_weeks * value["dating"],
        meal_factor,
        value["sensor_gain"],
        value["sensor_offset"],
        value["cgm_cv"],
        jnp.clip(value["sensor_memory"], *DRIVEN_RANGE_MIN),
        shape_ln,
        test_day,
        profile,
        jnp.exp(overall),
        meal_amount,
    )


unpack_draws = jax.jit(unpack, static_argnames="prior")


def named_values(latents: Latents) -> dict[str, np.ndarray]:
    """What of the latents is told, in its own units, by name."""
    m, g, f = latents.maternal, latents.pregnancy, latents.fetus
    values = {
        **{
            n: getattr(m, n)
            for n in ("S_I", "B", "R0", "E_G0", "K_d", "k_e", "k_a", "VG", "n", "p2", "G_s", "U_fp")
        },
        **{n: getattr(g, n) for n in ("d_SI", "w50", "kappa")},
        **{n: getattr(f, n) for n in ("theta", "s_L", "s_F", "fatness")},
        "sensor_gain": latents.sensor_gain,
        "sensor_offset": latents.sensor_offset,
        "cgm_cv": latents.cgm_cv,
        "sensor_memory": latents.sensor_memory,
        "dating_shift_weeks": latents.dating_shift_weeks,
    }
    return {name: np.asarray(v) for name, v in values.items()}
