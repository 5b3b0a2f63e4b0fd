"""The population prior: an artefact (TOML) of latent quantities, and how latents become parameters.

Every latent is sampled as a standard normal z (non-centred). The artefact also says how far its own centers may
be off; that, not the posterior, gives the range of a probability (DESIGN 4).
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

from twin.encode import BIOMETRY, WomanData
from twin.errors import UnusableInput
from twin.observation.residual import DRIVEN_RANGE_MIN
from twin.physiology.parameters import FetalParams, MaternalParams
from twin.physiology.pregnancy import PregnancyParams

DEFAULT_PRIOR = "evidence-1"
#: ln B = coupling * ln(S_I / median) + residual [MODEL 1.2]
SENSITIVITY_COUPLING = -0.55
XI_SD = 0.13  # stationary SD of the growth-rate deviation; MODEL 2.2 has 0.15, births are narrower (C-STD-13)
XI_TAU_WEEKS = 6.0  # [MODEL 2.2]
XI_CELLS = 2  # weekly cells that share one deviation
#: day multipliers of one tolerance test, ln SD of S_I, B and k_e: give CVs 4.9/13.2/15.6 % against 5/13/14 %
#: at 0/1/2 h with the assay inside [A-OGTT-12, RECALLED]
TEST_DAY_SD = (0.21, 0.21, 0.33)
#: SD of the day's pattern that the equations leave out, per cosine and sine of 24, 12, 8 and 6 h, of the level: 0.08 in
#: all, as people's own patterns of ln glucose have it (0.07-0.08 without diabetes, docs/model/observation.md)
PROFILE_SD = (0.06, 0.035, 0.025, 0.02)
#: latents of the fetus and the scans: the mother's days do not depend on them but through the fetal mass
OF_THE_FETUS = ("theta", "gain", "fat_share", "fatness", "head", "efw_bias", "dating")
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
class Prior:
    """The population prior: latents in file order, then growth deviations and test-day multipliers."""

    id: str
    latents: tuple[Latent, ...]

    @functools.cached_property
    def index(self) -> dict[str, int]:
        return {latent.name: i for i, latent in enumerate(self.latents)}

    @functools.cached_property
    def sha256(self) -> str:
        """Of every latent's numbers, first 16 digits: a changed prior under the same id is another prior."""
        numbers = [(x.name, x.transform, x.center, x.sd, x.center_sd) for x in self.latents]
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]

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
        fetal, shown = (*OF_THE_FETUS, "shape_", "xi_"), ("profile_", "sensor_", "cgm_cv")
        mothers = [i for i, name in enumerate(names) if not name.startswith(fetal)]
        acting = np.array([i for i in mothers if not names[i].startswith(shown)])
        return acting, np.setdiff1d(mothers, acting)

    def center_shifts(self, key: Array, n: int, size: int) -> np.ndarray:
        """Draws of the prior's own centers, (draw, size), in units of z; zero for latents without doubt."""
        sd = np.zeros(size)
        sd[: len(self.latents)] = [latent.center_sd for latent in self.latents]
        return np.asarray(jax.random.normal(key, (n, size))) * sd


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
        prior = Prior(id=table["id"], latents=latents)
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
    if name_or_path != DEFAULT_PRIOR:
        expected = load_prior().index
        wrong += [f"{name} (missing)" for name in expected if name not in prior.index]
        wrong += [f"{name} (unknown)" for name in prior.index if name not in expected]
    if wrong:
        raise UnusableInput(
            "bad-prior",
            f"prior {name_or_path!r}: {', '.join(wrong)}; expected the latents of {DEFAULT_PRIOR!r}, each with "
            "transform ln or linear, sd > 0, center_sd >= 0 and, for ln, center > 0. Nothing was run.",
        )
    return prior


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


def deviations(z: Array, n_cells: int) -> Array:
    """The growth-rate deviation of each weekly cell: stationary, correlation exp(-lag / 6 weeks)."""
    rho = float(np.exp(-XI_CELLS / XI_TAU_WEEKS))
    fresh = float(np.sqrt(1.0 - rho**2))
    # lower-triangular map from independent normals to the autoregression: fixed, so a matrix product
    n = z.shape[0]
    lag = np.arange(n)[:, None] - np.arange(n)[None, :]
    scale = np.where(np.arange(n) == 0, 1.0, fresh)
    matrix = np.where(lag >= 0, rho ** np.maximum(lag, 0), 0.0) * scale[None, :] * XI_SD
    xi = jnp.tensordot(jnp.asarray(matrix, dtype=z.dtype), z, axes=1)
    return jnp.repeat(xi, XI_CELLS, axis=0)[:n_cells]


def fetal_responses(gain: Array, fat_share: Array) -> tuple[Array, Array]:
    """(s_L, s_F): the weight response scales with `gain`; `fat_share` moves it between lean and fat at equal
    weight response."""
    s_F = 1.5 * jnp.exp(fat_share)
    total = 0.27 * (1.0 - FAT_WEIGHT_SHARE) + 1.5 * FAT_WEIGHT_SHARE
    s_L = (total - FAT_WEIGHT_SHARE * s_F) / (1.0 - FAT_WEIGHT_SHARE)
    return gain * s_L, gain * s_F


def unpack(prior: Prior, data: WomanData, z: Array) -> Latents:
    """Parameters of one woman. z : (latent, *batch), standard normal under the prior."""
    batch = z.shape[1:]
    start = len(prior.latents)

    def column(values: list[float]) -> Array:
        return jnp.asarray(values, dtype=z.dtype).reshape((start,) + (1,) * len(batch))

    center = column([latent.center for latent in prior.latents])
    step = column([latent.sd for latent in prior.latents]) * z[:start]
    is_ln = column([float(latent.transform == "ln") for latent in prior.latents]) > 0
    every = jnp.where(is_ln, center * jnp.exp(step), center + step)
    value = {latent.name: every[i] for i, latent in enumerate(prior.latents)}
    n_xi = n_deviations(data)
    tests = data.ogtt.value.shape[0]
    xi = deviations(z[start : start + n_xi], data.n_cells)
    day_sd = jnp.asarray(TEST_DAY_SD, dtype=z.dtype).reshape((1, 3) + (1,) * len(batch))
    after = start + n_xi + 3 * tests
    test_day = z[start + n_xi : after].reshape((tests, 3, *batch)) * day_sd
    shared = prior.n_shared(data)
    profile_sd = np.tile(PROFILE_SD, 2)[: shared - after]
    profile = z[after:shared] * jnp.asarray(profile_sd, dtype=z.dtype).reshape((-1,) + (1,) * len(batch))
    meal_cv = data.cgm.meal_cv.astype(z.dtype).reshape((1, -1) + (1,) * len(batch))
    shape = meal_shape(data)
    meal_amount = meal_amounts(z[shared:].reshape((*shape, *batch)), meal_cv[:, : shape[1]])

    sensitivity = value["S_I"] * jnp.exp(data.ln_S_I_shift)
    median = prior.latents[prior.index["S_I"]].center
    B = value["B"] * (sensitivity / median) ** SENSITIVITY_COUPLING
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
    pregnancy = PregnancyParams.reference(d_SI=d_SI, w50=value["w50"], kappa=value["kappa"])
    pregnancy = jax.tree.map(lambda x: x * ones, pregnancy)
    s_L, s_F = fetal_responses(value["gain"], value["fat_share"])
    theta_sd = prior.latents[prior.index["theta"]].sd
    wider = jnp.sqrt(1.0 + (data.theta_ln_extra_sd / theta_sd) ** 2)
    ln_theta = data.theta_ln_mean + wider * theta_sd * z[prior.index["theta"]]
    ln_theta = ln_theta + math.log(prior.latents[prior.index["theta"]].center)
    fetus = FetalParams.reference(
        theta=jnp.exp(ln_theta),
        q_scale=data.q_scale * ones,
        s_L=s_L,
        s_F=s_F,
        fatness=value["fatness"],
        growth_shift=data.growth_shift * ones,
        late_shift=data.late_shift * ones,
    )
    fetus = jax.tree.map(lambda x: x * ones, fetus)
    overall = data.carbohydrate_sd[0] * value["carbohydrate"]
    each = jnp.stack([value["breakfast"], value["lunch"], value["dinner"]])
    meal_factor = jnp.exp(overall[None] + data.carbohydrate_sd[1] * each[data.meal_of_slot])
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
