"""Parameters of mother and fetus with unit, meaning and source; the symbol table in docs is made from here.

Every field broadcasts over the batch (ensemble on the trailing axis): shape `(*batch)` or ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.schema import INSULIN_FORMULATIONS

HILL = 4  # secretion steepness h, fixed [MODEL 1.2, recalled human dose-response]
SIGMA = 30.0  # maximal secretion, uU/mL/min; absorbed in B [MODEL 1.2]
EXPOSURE_POWER = 4  # m: weight of glucose peaks in the fetal exposure [MODEL 2.2, 4 to 6]


def param(unit: str, meaning: str, median: float, source: str):
    """A parameter field that carries its unit, meaning, median and source."""
    return eqx.field(
        converter=jnp.asarray,
        metadata={"unit": unit, "meaning": meaning, "median": median, "source": source},
    )


class MaternalParams(eqx.Module):
    """Glucose and insulin of the mother at one gestational week (`pregnancy.at_week` makes weekly ones)."""

    BW: Float[Array, "*#batch"] = param("kg", "body weight", 70.0, "patient")
    VG: Float[Array, "*#batch"] = param("dL/kg", "glucose distribution volume", 1.65, "A-MM-05")
    f: Float[Array, "*#batch"] = param("1", "fraction of carbohydrate absorbed", 0.90, "A-DM-N-f")
    k_e: Float[Array, "*#batch"] = param("1/min", "gastric emptying", 0.025, "MODEL 1.2")
    k_a: Float[Array, "*#batch"] = param("1/min", "intestinal absorption", 0.057, "A-DM-N-kabs")
    R0: Float[Array, "*#batch"] = param("mg/kg/min", "glucose production at no insulin", 2.41, "MODEL 1.2")
    U_fp: Float[Array, "*#batch"] = param("mg/kg/min", "uteroplacental glucose uptake", 0.12, "C-PL-05")
    E_G0: Float[Array, "*#batch"] = param("1/min", "insulin-independent clearance", 0.0103, "MODEL 1.2")
    S_I: Float[Array, "*#batch"] = param("1/min per uU/mL", "insulin sensitivity", 5.6e-4, "MODEL 1.2")
    p2: Float[Array, "*#batch"] = param("1/min", "rate of remote insulin action", 0.025, "A-MM-04")
    B: Float[Array, "*#batch"] = param("1", "beta-cell function, 1 at 28 weeks, NGT", 1.0, "MODEL 1.2")
    G_s: Float[Array, "*#batch"] = param("mg/dL", "half point of secretion", 156.0, "MODEL 1.2")
    T_s: Float[Array, "*#batch"] = param("min", "secretion delay", 10.0, "A-MM-09")
    K_d: Float[Array, "*#batch"] = param("uU/mL per mg/dL", "dynamic secretion", 6.9, "MODEL 1.2")
    n: Float[Array, "*#batch"] = param("1/min", "insulin clearance", 0.16, "A-MM-06")
    V_I: Float[Array, "*#batch"] = param("L/kg", "volume of injected insulin", 0.10, "MODEL 1.2, assumed")
    tau_IG: Float[Array, "*#batch"] = param("min", "blood to interstitium", 6.0, "A-CGM-08")
    tau_rapid: Float[Array, "*#batch"] = param("min", "absorption of rapid insulin", 55.0, "A-PK-01")
    k_el: Float[Array, "*#batch"] = param("1/min", "metformin elimination", 0.00324, "A-PK-10, A-PK-11")
    E_max: Float[Array, "*#batch"] = param(
        "1", "largest effect of metformin on R0", 0.13, "D-EME-01, D-EME-02"
    )
    s_ex: Float[Array, "*#batch"] = param(
        "1", "sensitivity gain of lasting activity", 4.0, "A-EX-01, A-EX-02"
    )
    g_ex: Float[Array, "*#batch"] = param("1/min", "clearance gain of activity", 0.003, "MODEL 1.4")

    @classmethod
    def reference(cls, **changes: object) -> MaternalParams:
        """The reference woman: normal tolerance, 28 weeks, 70 kg; `changes` replace single fields."""
        values = {name: field.metadata["median"] for name, field in cls.__dataclass_fields__.items()}
        return cls(**(values | dict(changes)))  # type: ignore[arg-type]


class FetalParams(eqx.Module):
    """Growth of one fetus."""

    theta: Float[Array, "*#batch"] = param(
        "1", "latent growth potential, covariates and sex in it", 1.0, "C-STD-13"
    )
    q_scale: Float[Array, "*#batch"] = param("1", "fat fraction relative to both sexes' mean", 1.0, "C-BC-04")
    s_L: Float[Array, "*#batch"] = param("1", "lean response per unit exposure", 0.27, "MODEL 2.2")
    s_F: Float[Array, "*#batch"] = param("1", "fat response per unit exposure", 1.5, "C-BC-05")
    tau_I: Float[Array, "*#batch"] = param("wk", "fetal beta-cell adaptation", 1.5, "MODEL 2.2, assumed")
    fatness: Float[Array, "*#batch"] = param(
        "1", "ln of her fetus's own fat accretion", 0.0, "C-BC-01, C-BC-05"
    )
    growth_shift: Float[Array, "*#batch"] = param(
        "1", "growth-rate exponent of non-glucose fuels and drugs", 0.0, "C-BMI-01"
    )
    late_shift: Float[Array, "*#batch"] = param(
        "1", "growth-rate exponent opening at 34 weeks", 0.0, "parity"
    )

    @classmethod
    def reference(cls, **changes: object) -> FetalParams:
        values = {name: field.metadata["median"] for name, field in cls.__dataclass_fields__.items()}
        return cls(**(values | dict(changes)))  # type: ignore[arg-type]


#: subcutaneous absorption: time constant per compartment, min, and bioavailable fraction [A-PK-01, 04..07]
INSULIN_TAU_MIN: Mapping[str, float] = {
    "rapid": 55.0,
    "regular": 90.0,
    "nph": 240.0,
    "detemir": 360.0,
    "glargine": 600.0,
}
INSULIN_F: Mapping[str, float] = {
    "rapid": 1.0,
    "regular": 1.0,
    "nph": 0.85,
    "detemir": 0.85,
    "glargine": 0.85,
}
assert tuple(INSULIN_TAU_MIN) == INSULIN_FORMULATIONS

METFORMIN_K_ABS = 0.5 / 60.0  # 1/min [A-PK-11]
METFORMIN_F = 0.55  # [A-PK-11]
#: metformin amount at half effect, mg: mean level at 1 g/day with the median elimination [MODEL 1.4]
METFORMIN_C50 = METFORMIN_F * 1000.0 / (1440.0 * 0.00324)
TAU_EX_MIN = 15.0  # [MODEL 1.4]
#: memory of activity. MODEL 1.4's 12 h with gain 0.3 gives a tenth of the trials' effect [A-EX-01, A-EX-02]; 24 h
#: with gain 4 gives -0.25 mmol/L of daytime mean for three 20-min walks (trial -0.22) and -0.07/-0.17 for
#: programmes (trials -0.31/-0.33, wide): docs/model/maternal_glucose.md
TAU_SLOW_MIN = 1440.0
