"""What studies compute: odds ratios, quantile regression, rates, on arrays of women."""

from __future__ import annotations

import warnings

import numpy as np


def odds_ratio(outcome: np.ndarray, exposure: np.ndarray, *adjust: np.ndarray) -> float:
    """Odds ratio per unit of `exposure` by logistic regression, adjusted for the others. (woman,) each."""
    return float(np.exp(_logistic(outcome, exposure, *adjust)[1]))


def _logistic(outcome: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    import statsmodels.api as sm

    X = np.column_stack([np.ones(len(outcome)), *(_centred(c) for c in columns)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation in small cohorts: the odds ratio is then what it is
        fit = sm.GLM(outcome.astype(float), X, family=sm.families.Binomial()).fit()
    return np.asarray(fit.params)


def _centred(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=float) - np.mean(x)


def slope(outcome: np.ndarray, exposure: np.ndarray, *adjust: np.ndarray) -> float:
    """Least-squares slope of `outcome` on `exposure`, adjusted for the others."""
    X = np.column_stack([np.ones(len(outcome)), exposure, *adjust]).astype(float)
    return float(np.linalg.lstsq(X, np.asarray(outcome, dtype=float), rcond=None)[0][1])


def flag_difference(weight: np.ndarray, week: np.ndarray, flag: np.ndarray, *adjust: np.ndarray) -> float:
    """Weight with the flag less without, each completed week on its own, adjusted for the others."""
    own = [week == w for w in np.unique(week)[1:]]
    return slope(weight, flag, *adjust, *own)


def above_own_centile(weight: np.ndarray, day: np.ndarray, share: float, *also: np.ndarray) -> np.ndarray:
    """Whether each weight lies above the cohort's own centile by quantile regression of ln weight on week, its square
    and `also`: the study's label [HAPO 2008]."""
    import statsmodels.api as sm

    week = day / 7.0 - 39.5
    X = np.column_stack([np.ones(len(week)), week, week**2, *also]).astype(float)
    y = np.log(weight)
    start = np.linalg.lstsq(X, y, rcond=None)[0]
    some = slice(0, 20_000)  # the centile of 20 000 women is known to 0.2 points
    fit = sm.QuantReg(y[some], X[some]).fit(q=share, max_iter=200)
    coefficients = fit.params if np.isfinite(fit.params).all() else start
    residual = y - X @ coefficients
    return np.asarray(residual > np.quantile(residual, share))


def standardised(weight: np.ndarray, day: np.ndarray, *also: np.ndarray) -> np.ndarray:
    """z of ln weight about its regression on week, its square and `also`."""
    week = day / 7.0 - 39.5
    X = np.column_stack([np.ones(len(week)), week, week**2, *also]).astype(float)
    y = np.log(weight)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return np.asarray(residual / residual.std())
