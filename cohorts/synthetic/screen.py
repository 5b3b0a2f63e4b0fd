"""A cheap look at many candidates: to which strata each would belong, untreated.

Candidate i is woman i of the plain cohort: her covariates and latents are her own, in arrays. The own generator's
outcomes are the array engine's (`cohorts.population`), in single precision, without treatment or assay error; the other
generator's are its own physics under the population's glucose.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.population.birth import births
from cohorts.population.engine import Arm, Lanes, lanes, pregnancy, template, tolerance_test
from cohorts.population.women import MOST_LATENTS, Women
from cohorts.synthetic.design import Design
from cohorts.synthetic.lapses import CHOICE, has_poor_window, stream
from cohorts.synthetic.other.simulate import screened as screened_other
from cohorts.synthetic.other.women import begin
from cohorts.synthetic.simulate import woman_key
from cohorts.synthetic.strata import CLASS_3_BMI, STRATA, of_birth, of_test
from cohorts.synthetic.women import Woman, draw_woman
from twin.encode import expected_gain_kg
from twin.forecast.delivery import LAST_DAY_DIET
from twin.inference.priors import Prior, n_deviations

BLOCK = 2048  # candidates screened at once
TEST_MINUTES = (0.0, 60.0, 120.0)


class Screened(NamedTuple):
    """marks : stratum -> (candidate,), bool. uniform : each candidate's number that decides whether she is kept."""

    marks: dict[str, np.ndarray]
    uniform: np.ndarray


def screen(
    root: Array,
    first: int,
    n: int,
    strata: Collection[str],
    design: Design,
    prior: Prior | None,
    standard: str,
) -> Screened:
    """Candidates first, first + 1, ... of the cohort with this key. prior : None for the other generator."""
    parts = _parts(root, jnp.arange(first, first + n))
    seeds = [tuple(map(int, row)) for row in np.asarray(jax.random.key_data(parts[:, 0]))]
    rngs = [np.random.default_rng([*seed, 0]) for seed in seeds]
    women = [draw_woman(rng, design) for rng in rngs]
    marks: dict[str, np.ndarray] = {}
    if any(STRATA[name].of_outcome for name in strata):
        if prior is None:
            keys = [woman_key(root, i) for i in range(first, first + n)]
            marks |= screened_other([begin(key, "candidate", design) for key in keys], design, standard)
        else:
            onset, birth = np.array([(r.uniform(1e-6, 1.0 - 1e-6), r.standard_normal()) for r in rngs]).T
            marks |= _own(women, parts[:, 1], onset, birth, strata, design, prior, standard)
    bmi = np.array([w.bmi for w in women])
    marks["class-3-obesity"] = bmi >= CLASS_3_BMI
    windows = [has_poor_window(seed, b, design) for seed, b in zip(seeds, bmi, strict=True)]
    marks["poor-window"] = np.array([bool(w) for w in windows])
    uniform = np.array([stream(seed, CHOICE).uniform() for seed in seeds])
    return Screened({name: marks[name] for name in strata}, uniform)


@jax.jit
def _parts(root: Array, index: Array) -> Array:
    """(candidate, 3): the keys that `simulate` splits of each woman's own."""
    return jax.vmap(lambda i: jax.random.split(jax.random.fold_in(root, i), 3))(index)


def _own(
    women: Sequence[Woman],
    z_keys: Array,
    onset: np.ndarray,
    birth: np.ndarray,
    strata: Collection[str],
    design: Design,
    prior: Prior,
    standard: str,
) -> dict[str, np.ndarray]:
    n_xi = len(prior.latents) + n_deviations(template(standard))
    z = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (n_xi + 3,)))(z_keys)).T
    arrays = as_arrays(women, z, onset, birth)
    side_by_side = lanes(prior, arrays, standard)
    marks: dict[str, np.ndarray] = {}
    if {"macrosomia", "growth-restriction"} & set(strata):
        weight, day = untreated_birth(prior, arrays, side_by_side, standard, design)
        marks |= of_birth(weight, day, arrays.male)
    if "overt-diabetes" in strata:
        week = next(leaf.ogtt_week for leaf in design.leaves if leaf.ogtt_week is not None)
        G, _ = tolerance_test(prior, {}, side_by_side, week, z[n_xi:], 75.0, TEST_MINUTES)
        marks["overt-diabetes"] = of_test(np.round(G))
    return marks


def untreated_birth(
    prior: Prior, women: Women, lanes_: Lanes, standard: str, design: Design
) -> tuple[np.ndarray, np.ndarray]:
    """Birth weight, g, and day, (woman,), as the simulator has them of women without drugs."""
    weeks = pregnancy(prior, {}, lanes_, Arm(), False)
    born = births(
        women, weeks, standard, LAST_DAY_DIET, as_of_day=float(design.as_of_day + 1), initiated=True
    )
    return born["birth_weight_g"], born["birth_day"]


def as_arrays(women: Sequence[Woman], z: np.ndarray, onset: np.ndarray, birth: np.ndarray) -> Women:
    """Women of the simulator as the array engine's. Her gain is that at her last weighing, for all of pregnancy."""
    n = len(women)
    day, kg = np.array([w.weights[-1] if w.weights else (140, np.nan) for w in women]).T
    pre = np.array([w.weight_pre_kg for w in women])
    gain = np.nan_to_num((kg - pre - expected_gain_kg(day / 7.0)) * 280.0 / day)

    def of(name: str) -> np.ndarray:
        return np.array([getattr(w, name) for w in women])

    return Women(
        age_y=of("age_y"),
        height_cm=of("height_cm"),
        bmi=of("bmi"),
        parity=of("parity"),
        smoking=of("smoking"),
        hypertension=of("hypertension"),
        male=of("fetal_sex") == "male",
        extra_gain_kg=gain,
        z=np.concatenate([z, np.zeros((MOST_LATENTS - len(z), n))]),
        test_day=np.zeros((3, 3, n)),
        reading=np.zeros((0, n)),
        birth=birth,
        onset=onset,
    )
