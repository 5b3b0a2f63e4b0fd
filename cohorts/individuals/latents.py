"""What differs between people, and how it becomes the parameters of the maternal equations, outside pregnancy.

The packaged prior is given at 28 weeks. A person here is not pregnant: the middle of each latent is carried to week 0
with the ratios of `twin.physiology.pregnancy` for the reference woman, there is no uteroplacental uptake, and from
there the population learns its own middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.inference.priors import START_PRIOR, load_prior
from twin.physiology.parameters import MaternalParams
from twin.physiology.pregnancy import TEST_WEEK, PregnancyParams, beta_cell_ratio, sensitivity_ratio


@dataclass(frozen=True)
class PersonLatent:
    """One latent of a person, ln scale unless `linear`.

    middle_sd : how far the population's middle may lie from the packaged one.
    sd : typical spread between people, and `sd_doubt` how far the spread itself may be off (ln of the SD).
    """

    name: str
    middle_sd: float
    sd: float
    sd_doubt: float
    correlated: bool
    evidence: str
    linear: bool = False


#: Free, or tight, as measured: docs/model/individuals.md. T_s has no entry in the packaged prior.
LATENTS: tuple[PersonLatent, ...] = (
    PersonLatent("S_I", 0.8, 0.47, 0.4, True, "A-MM-01, CV 50 % (RECALLED)"),
    PersonLatent("B", 0.6, 0.40, 0.4, True, "MODEL 1.2"),
    PersonLatent("R0", 0.25, 0.13, 0.4, True, "A-DM-CV-EGPb"),
    PersonLatent("E_G0", 0.4, 0.15, 0.4, False, "MODEL 1.2; A-MM-03 (RECALLED)"),
    PersonLatent("K_d", 0.6, 0.45, 0.4, True, "A-MM-08, CV 60 % (RECALLED)"),
    PersonLatent("k_e", 0.4, 0.29, 0.4, True, "A-DM-CV-kmax"),
    PersonLatent("G_s", 0.2, 0.10, 0.4, True, "MODEL 1.2"),
    PersonLatent("VG", 0.15, 0.12, 0.3, False, "A-MM-05, CV 12 % (RECALLED)"),
    PersonLatent("n", 0.25, 0.20, 0.3, False, "A-MM-06, CV 25 % (RECALLED)"),
    PersonLatent("p2", 0.4, 0.30, 0.3, False, "A-MM-04, CV 40 % (RECALLED)"),
    PersonLatent("k_a", 0.4, 0.25, 0.3, False, "A-DM-N-kabs; MODEL 1.2"),
    PersonLatent("T_s", 0.4, 0.30, 0.3, False, "A-MM-09, CV 50 % (RECALLED)"),
)
#: Structural terms beside the equations, each a latent that can be left out (its ablation: docs/model/individuals.md)
TERMS: dict[str, PersonLatent] = {
    "S_b": PersonLatent("S_b", 0.7, 0.5, 0.4, False, "assumed: secretion that does not depend on glucose"),
    "decline": PersonLatent(
        "decline", 0.5, 0.5, 0.4, True, "A-DM-N-kmax, A-DM-N-kmin: emptying slows", linear=True
    ),
    "wave": PersonLatent("wave", 0.3, 0.4, 0.4, True, "assumed: emptying comes in waves", linear=True),
    "potentiation": PersonLatent(
        "potentiation",
        0.5,
        0.4,
        0.4,
        True,
        "assumed: secretion at equal glucose rises over the test",
        linear=True,
    ),
}
DEFAULT_TERMS: tuple[str, ...] = ("S_b", "decline", "wave", "potentiation")
#: only where C-peptide is measured: insulin volume over C-peptide volume and the part of insulin that passes the liver
C_PEPTIDE_LATENT = PersonLatent(
    "c_scale", 0.6, 0.25, 0.4, False, "A-DM-N-HEb 0.6; volumes A-DM-N-VI and Van Cauter (recalled)"
)
T_S_MEDIAN = 10.0  # min [A-MM-09]
S_B_START = 0.3  # uU/mL/min, assumed: about a tenth of basal secretion


def latents_for(c_peptide: bool) -> tuple[PersonLatent, ...]:
    """Latents of a person, the correlated ones first."""
    every = (*LATENTS, *TERMS.values(), *((C_PEPTIDE_LATENT,) if c_peptide else ()))
    return tuple(sorted(every, key=lambda x: not x.correlated))


def pregnancy_ratios() -> dict[str, float]:
    """Value outside pregnancy over the value at 28 weeks, of the reference woman."""
    reference = PregnancyParams.reference()
    g = jax.tree.map(lambda x: jnp.asarray(x, dtype=float).reshape(1, 1), reference)
    week = jnp.array([[0.0], [TEST_WEEK]])
    S_I = np.asarray(sensitivity_ratio(g, week)).reshape(-1)
    B = np.asarray(beta_cell_ratio(g, week)).reshape(-1)
    return {
        "S_I": float(S_I[0] / S_I[1]),
        "B": float(B[0] / B[1]),
        "R0": 1.0 / (1.0 + float(reference.rise) * TEST_WEEK / 36.0),
    }


def packaged_middles(latents: tuple[PersonLatent, ...]) -> np.ndarray:
    """The packaged centers carried outside pregnancy, ln unless the latent is linear, (latent,)."""
    prior = load_prior(START_PRIOR)
    ratio = pregnancy_ratios()
    center = {x.name: x.center for x in prior.latents}
    # insulin volume 3.5 L [A-DM-N-VI, 70 kg], C-peptide volume 4.2 L (Van Cauter, recalled), 0.4 of insulin passes
    center |= {"T_s": T_S_MEDIAN, "S_b": S_B_START, "c_scale": 3.5 / 4.2 / 0.4}
    return np.array([0.0 if x.linear else math.log(center[x.name] * ratio.get(x.name, 1.0)) for x in latents])


def to_params(theta: Array, weight_kg: Array, names: tuple[str, ...]) -> MaternalParams:
    """Parameters of people. theta : (latent, *batch), ln; weight_kg : (*batch). Latents of terms are left out."""
    ones = jnp.ones(theta.shape[1:], dtype=theta.dtype)
    value = {x.name: jnp.exp(theta[names.index(x.name)]) for x in LATENTS}
    p = MaternalParams.reference(U_fp=0.0, BW=weight_kg, **value)
    return jax.tree.map(lambda x: x * ones, p)
