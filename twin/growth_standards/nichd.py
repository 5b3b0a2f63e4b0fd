"""NICHD fetal growth (Buck Louis 2015): lognormal curves for four groups of US women.

Every printed centile is exp(mu + z sigma) to within its rounding, so mu and sigma by week are all that is
kept; between weeks they follow a cubic spline, which meets the printed daily biometry to 0.012 mm.

No woman is assigned a group by default: the default curve, "mean", is the unweighted mean of the four groups'
mu and sigma (the geometric mean of their curves at every z). A group is used only when asked for by name.
"""

from collections.abc import Callable
from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.growth_standards._curves import Standard, lognormal
from twin.growth_standards._tables import rows

FIRST_DAY, LAST_DAY = 70, 294
QUANTITIES = ("weight_g", "ac_mm", "bpd_mm", "fl_mm", "hc_mm")
PUBLISHED_GROUPS = ("asian", "black", "hispanic", "white")
GROUPS = ("mean", *PUBLISHED_GROUPS)


@cache
def standard(quantity: str, group: str = "mean") -> Standard:
    """The NICHD curves of one quantity for one published group, or for the mean of the four."""
    groups = PUBLISHED_GROUPS if group == "mean" else (group,)
    knots = np.mean([_published(quantity, name) for name in groups], axis=0)  # (week, mu and sigma)
    kernels = lognormal(_spline(knots[:, 0]), _spline(knots[:, 1]))
    return Standard(
        "nichd", FIRST_DAY, LAST_DAY, *kernels, typical=1000.0 if quantity == "weight_g" else 100.0
    )


def _published(quantity: str, group: str) -> np.ndarray:
    return np.array(
        [
            (float(row["mu"]), float(row["sigma"]))
            for row in rows("nichd_lognormal.csv")
            if row["quantity"] == quantity and row["group"] == group
        ]
    )


def _spline(knots: np.ndarray) -> Callable[[Array], Array]:
    """Not-a-knot cubic spline through weekly knots from `FIRST_DAY` on."""
    from scipy.interpolate import CubicSpline  # half a second to load, and few need this standard

    first = FIRST_DAY // 7
    pieces = CubicSpline(first + np.arange(len(knots)), knots).c.T  # (interval, cubic .. constant)

    def at(week: Array) -> Array:
        interval = jnp.clip(jnp.floor(week).astype(int) - first, 0, len(pieces) - 1)
        c = jnp.asarray(pieces, week.dtype)[interval]
        t = week - (interval + first)
        return ((c[0] * t + c[1]) * t + c[2]) * t + c[3]

    return at
