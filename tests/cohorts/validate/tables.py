"""Tables of predictions made up for tests, with what is true of them known."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from cohorts.validate.table import QUANTILES

KEY = {"as_of": "36+0", "estimand": "forecast", "model": "twin"}


def chances(rng, n, *, base=0.2, spread=1.0, slope=1.0, shift=0.0):
    """p and y, where logit P(y) = shift + slope * logit p."""
    p = expit(logit(base) + spread * rng.standard_normal(n))
    y = (rng.uniform(size=n) < expit(shift + slope * logit(p))).astype(float)
    return p, y


def yes_no(p, y, outcome="over_4000_g", **more):
    """One row per woman, w0000, w0001, ..."""
    women = [f"w{i:04d}" for i in range(len(p))]
    return pd.DataFrame({"woman": women, "outcome": outcome, "p": p, "y": y} | KEY | more)


def weights(mean_ln, sd_ln, y, **more):
    """Lognormal forecasts of birth weight."""
    women = [f"w{i:04d}" for i in range(len(y))]
    quantiles = {k: np.exp(mean_ln + sd_ln * norm.ppf(q)) for k, q in QUANTILES.items()}
    z = (np.log(y) - mean_ln) / sd_ln
    crps = sd_ln * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    columns = {"woman": women, "outcome": "birth_weight_g", "y": y, "mean_ln": mean_ln, "sd_ln": sd_ln}
    return pd.DataFrame(columns | quantiles | {"crps": crps} | KEY | more)
