"""Models a sceptic would choose instead, each fitted on the other folds and asked about its own.

Everything is fitted within the training folds: imputation (median, with a column that says so), scaling and the model.
Inputs: one row per woman, as-of and estimand, with `woman`, `as_of`, `estimand`, the columns of `INPUTS` that there
are, and outcomes. Each as-of and estimand is a study of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from cohorts.validate.folds import folds_of
from cohorts.validate.table import ESTIMANDS, LIMITS_G, QUANTILES, WEIGHT, YES_NO
from cohorts.validate.weight_measures import crps_normal
from twin.errors import UnusableInput

MEASURED = ("ac_mm", "hc_mm", "bpd_mm", "fl_mm")
MOTHER = ("maternal_age_y", "parity", "height_cm", "bmi_pre", "smoking", "hypertension", "previous_gdm")
#: what a comparator calls `days`: from the scan to birth, which a forecast does not know, or to the day it expects
DAYS = dict(zip(ESTIMANDS, ("days_to_birth", "days_to_expected_birth"), strict=True))
#: efw_z: of the estimated weight, by a growth standard; gestational_day: of the scan
INPUTS = ("efw_g", "efw_z", "gestational_day", *DAYS.values(), *MEASURED, *MOTHER)
GRAMS_PER_DAY = 28.0  # growth late in pregnancy that clinics add to an estimate
TRAINING = 50  # women with a known outcome that a fit needs
GP_WOMEN = 800  # a Gaussian process takes time as the cube of its women: more are thinned to so many, by lot

_Q = np.array(list(QUANTILES.values()))


class Weights(NamedTuple):
    """Forecast of ln birth weight: mean and SD (woman,), quantiles (woman, 7), CRPS where it has a closed form."""

    mean: np.ndarray
    sd: np.ndarray
    quantiles: np.ndarray
    crps: Callable[[np.ndarray], np.ndarray]


Features = Callable[[pd.DataFrame], pd.DataFrame]
Chance = Callable[[Any, pd.DataFrame, np.ndarray, pd.DataFrame], np.ndarray]
Weigh = Callable[[Any, pd.DataFrame, np.ndarray, pd.DataFrame], Weights]


@dataclass(frozen=True)
class Comparator:
    """what : for the reader. needs : columns without which it is left out; `days` by the estimand. one_of : of which it
    needs one; it uses all that there are. also : that it uses if they are there. chance : of a yes/no outcome. weigh :
    birth weight. limits_by_weight : chances of passing a limit in grams come from the weight's distribution."""

    name: str
    what: str
    needs: tuple[str, ...]
    features: Features
    chance: Chance | None = None
    weigh: Weigh | None = None
    limits_by_weight: bool = False
    one_of: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def columns(self, there: Sequence[str]) -> list[str]:
        return [c for c in (*self.needs, *self.one_of, *self.also) if c in there]

    def lacking(self, there: Sequence[str]) -> str:
        """Why it cannot be fitted, or nothing."""
        missing = [c for c in self.needs if c not in there]
        if missing:
            return f"no {', '.join(missing)}"
        if self.one_of and not set(self.one_of) & set(there):
            return f"none of {', '.join(self.one_of)}"
        return ""


class Compared(NamedTuple):
    """predictions : rows as `table.accept` takes them. left_out : as_of, estimand, model, outcome, reason."""

    predictions: pd.DataFrame
    left_out: pd.DataFrame


def cross_validated(
    inputs: pd.DataFrame,
    fold: Sequence[int] | np.ndarray | None = None,
    comparators: Mapping[str, Comparator] | None = None,
) -> Compared:
    """Chances and weights for every row, by fits on the other folds.

    fold : (row,) labels; without, `folds_of` the ids.
    Raises : UnusableInput where a woman is in two folds, which would leak.
    """
    table = inputs.reset_index(drop=True)
    label = np.asarray(folds_of(table["woman"]) if fold is None else fold)
    if (pd.Series(label).groupby(table["woman"].astype(str)).nunique() > 1).any():
        raise UnusableInput("woman-in-two-folds", "a woman is in two folds: she would be taught by herself.")
    made: list[pd.DataFrame] = []
    left_out: list[dict[str, str]] = []
    for (as_of, estimand), rows in table.groupby(["as_of", "estimand"], sort=False):
        known = _inputs(rows, str(estimand))
        for comparator in (COMPARATORS if comparators is None else comparators).values():
            about = {"as_of": str(as_of), "estimand": str(estimand), "model": comparator.name}
            if reason := comparator.lacking(list(known.columns)):
                left_out.append(about | {"outcome": "", "reason": reason})
                continue
            X = known[comparator.columns(list(known.columns))]
            for outcome, found in _predicted(comparator, X, rows, label[rows.index]):
                if isinstance(found, str):
                    left_out.append(about | {"outcome": outcome, "reason": found})
                else:
                    made.append(found.assign(**about, outcome=outcome, woman=rows["woman"].to_numpy()))
    return Compared(
        pd.concat(made, ignore_index=True) if made else pd.DataFrame(),
        pd.DataFrame(left_out, columns=["as_of", "estimand", "model", "outcome", "reason"]),
    )


def _inputs(rows: pd.DataFrame, estimand: str) -> pd.DataFrame:
    """What may be looked at under the estimand, as floats; columns of which nobody's value is known are not there."""
    known = rows[[c for c in INPUTS if c in rows.columns]].astype(float)
    days = known.get(DAYS[estimand])
    known = known.drop(columns=list(DAYS.values()), errors="ignore")
    if days is not None:
        known["days"] = days
    return known.dropna(axis=1, how="all")


def _predicted(
    c: Comparator, X: pd.DataFrame, rows: pd.DataFrame, fold: np.ndarray
) -> Iterator[tuple[str, pd.DataFrame | str]]:
    """Each outcome that there is, with its predictions or the reason against them."""
    few = f"fewer than {TRAINING} women to learn from"
    weights: dict[int, Weights] | None = None
    if c.weigh and WEIGHT in rows:
        y = rows[WEIGHT].to_numpy(dtype=float)
        weights = _by_fold(partial(c.weigh, _prepare(c.features)), X, np.log(y), fold)
        yield WEIGHT, few if weights is None else _together(weights, fold, partial(_weight_rows, y=y))
    for outcome in YES_NO:
        if outcome not in rows:
            continue
        y = rows[outcome].to_numpy(dtype=float)
        if c.limits_by_weight and outcome in LIMITS_G:
            over = partial(_over, ln_limit=float(np.log(LIMITS_G[outcome])))
            why = few if WEIGHT in rows else f"no {WEIGHT} to learn from"
            yield outcome, why if weights is None else _together(weights, fold, over).assign(y=y)
        elif c.chance:
            chances = _by_fold(partial(c.chance, _prepare(c.features)), X, y, fold)
            yield outcome, few if chances is None else _together(chances, fold, _chance_rows).assign(y=y)


def _by_fold(
    fit: Callable[[pd.DataFrame, np.ndarray, pd.DataFrame], Any],
    X: pd.DataFrame,
    y: np.ndarray,
    fold: np.ndarray,
) -> dict[int, Any] | None:
    found = {}
    for f in np.unique(fold):
        learn = (fold != f) & np.isfinite(y)
        if learn.sum() < TRAINING:
            return None
        found[int(f)] = fit(X[learn], y[learn], X[fold == f])
    return found


def _together(
    found: dict[int, Any], fold: np.ndarray, rows: Callable[[Any, np.ndarray], pd.DataFrame]
) -> pd.DataFrame:
    """The folds' predictions in the order of the women."""
    parts = []
    for f, one in found.items():
        at = np.flatnonzero(fold == f)
        parts.append(rows(one, at).set_index(at))
    return pd.concat(parts).sort_index().reset_index(drop=True)


def _weight_rows(w: Weights, at: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    quantiles = dict(zip(QUANTILES, np.exp(w.quantiles).T, strict=True))
    ln_y = np.log(y[at])
    return pd.DataFrame({"y": y[at], "mean_ln": w.mean, "sd_ln": w.sd} | quantiles | {"crps": w.crps(ln_y)})


def _chance_rows(p: np.ndarray, _: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"p": p})


def _over(w: Weights, _: np.ndarray, ln_limit: float) -> pd.DataFrame:
    return pd.DataFrame({"p": norm.sf((ln_limit - w.mean) / w.sd)})


def _prepare(features: Features) -> Any:
    """Imputed, made into features, scaled: fitted as a part of the model, on the training folds alone."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(
        imputer.set_output(transform="pandas"), FunctionTransformer(features), StandardScaler()
    )


def logistic(prepare: Any, X: pd.DataFrame, y: np.ndarray, X_new: pd.DataFrame) -> np.ndarray:
    """With the ridge, of three, that does best in three parts of the training folds (log score)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    rarer = min(y.sum(), len(y) - y.sum())
    if rarer == 0:
        return _rate(y, X_new)
    found: Any = LogisticRegression(max_iter=5000)
    if rarer >= 5:
        found = GridSearchCV(found, {"C": [1.0, 10.0, 100.0]}, scoring="neg_log_loss", cv=3)
    return np.asarray(make_pipeline(prepare, found).fit(X, y).predict_proba(X_new)[:, 1])


def boosted_chance(prepare: Any, X: pd.DataFrame, y: np.ndarray, X_new: pd.DataFrame) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    if len(np.unique(y)) < 2:
        return _rate(y, X_new)
    model = make_pipeline(prepare, HistGradientBoostingClassifier(**_TREES)).fit(X, y)
    return np.asarray(model.predict_proba(X_new)[:, 1])


def _rate(y: np.ndarray, X_new: pd.DataFrame) -> np.ndarray:
    """Where nobody, or everybody, had the event: (events + 1/2) / (women + 1)."""
    return np.full(len(X_new), (y.sum() + 0.5) / (len(y) + 1.0))


def linear(prepare: Any, X: pd.DataFrame, ln_y: np.ndarray, X_new: pd.DataFrame) -> Weights:
    """Least squares of ln weight, with the SD of its residuals."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(prepare, LinearRegression()).fit(X, ln_y)
    free = len(ln_y) - 1 - model[-1].rank_
    sd = np.sqrt(np.sum((ln_y - model.predict(X)) ** 2) / free)
    return _normal(model.predict(X_new), np.full(len(X_new), sd))


def gaussian_process(prepare: Any, X: pd.DataFrame, ln_y: np.ndarray, X_new: pd.DataFrame) -> Weights:
    """A line, smooth departures from it and noise, their sizes by marginal likelihood."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
    from sklearn.pipeline import make_pipeline

    some = np.sort(np.random.default_rng(0).permutation(len(X))[:GP_WOMEN])
    kernel = (
        ConstantKernel(0.1, _WIDE) * DotProduct(1.0, "fixed")
        + ConstantKernel(0.1, _WIDE) * RBF(3.0, (0.3, 100.0))
        + WhiteKernel(0.3, _WIDE)
    )
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    model = make_pipeline(prepare, process)
    with _quiet():
        model.fit(X.iloc[some], ln_y[some])
    return _normal(*model.predict(X_new, return_std=True))


def boosted_weight(prepare: Any, X: pd.DataFrame, ln_y: np.ndarray, X_new: pd.DataFrame) -> Weights:
    """A fit per quantile, put in order; the SD is that of a normal with their 10th and 90th centiles. CRPS unknown."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline

    def fitted(**loss: Any) -> np.ndarray:
        model = make_pipeline(prepare, HistGradientBoostingRegressor(**loss, **_TREES)).fit(X, ln_y)
        return np.asarray(model.predict(X_new))

    quantiles = np.sort([fitted(loss="quantile", quantile=q) for q in _Q], axis=0).T
    spread = quantiles[:, list(QUANTILES).index("q90")] - quantiles[:, list(QUANTILES).index("q10")]
    sd = np.maximum(spread / (2.0 * norm.ppf(0.9)), 1e-3)
    return Weights(fitted(loss="squared_error"), sd, quantiles, lambda y: np.full(len(y), np.nan))


#: shallow and few: with hundreds of women deeper ones learn the women
_TREES: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_depth": 3,
    "early_stopping": False,
    "random_state": 0,
}
_WIDE = (1e-5, 1e3)


def _quiet() -> Any:
    """A size at the end of its range is an answer, not a fault."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)


def _normal(mean: np.ndarray, sd: np.ndarray) -> Weights:
    return Weights(mean, sd, mean[:, None] + sd[:, None] * norm.ppf(_Q), lambda y: crps_normal(y, mean, sd))


def _as_it_is(X: pd.DataFrame) -> pd.DataFrame:
    return X


def _with(X: pd.DataFrame, used: Sequence[str], **features: pd.Series) -> pd.DataFrame:
    """Features in place of the columns they are made from; other columns stay."""
    return pd.concat([pd.DataFrame(features), X.drop(columns=[c for c in used if c in X])], axis=1)


def _grown(X: pd.DataFrame) -> pd.DataFrame:
    ln_grown = np.log(X["efw_g"] + GRAMS_PER_DAY * X["days"])
    return _with(X, ("efw_g", "days"), ln_grown=ln_grown)


def _curved(X: pd.DataFrame) -> pd.DataFrame:
    """ln EFW and weeks, squares and product."""
    a, d = np.log(X["efw_g"] / 3000.0), X["days"] / 7.0
    return _with(X, ("efw_g", "days"), a=a, d=d, aa=a**2, dd=d**2, ad=a * d)


def _measurements(X: pd.DataFrame) -> pd.DataFrame:
    """ln of each measure and weeks, the weeks' square, and the product of the weeks with each measure."""
    there = [c for c in MEASURED if c in X]
    ln = {f"ln_{c}": np.log(X[c]) - np.log(300.0) for c in there}
    d = X["days"] / 7.0
    made = ln | {"d": d, "dd": d**2, "ln_ac_squared": ln["ln_ac_mm"] ** 2}
    return _with(X, (*there, "days"), **made, **{f"{k}_d": v * d for k, v in ln.items()})


def _with_growth(X: pd.DataFrame) -> pd.DataFrame:
    """All inputs, and the estimate grown to birth: trees cannot add."""
    return X.assign(grown=X["efw_g"] + GRAMS_PER_DAY * X["days"])


def _logs(X: pd.DataFrame) -> pd.DataFrame:
    """Sizes as ln: a Gaussian process is then linear where growth is."""
    there = [c for c in ("efw_g", *MEASURED) if c in X]
    return _with(X, there, **{f"ln_{c}": np.log(X[c]) for c in there})


_ALL = (
    Comparator(
        "EFW centile",
        "logistic on the z of the estimated weight by a growth standard",
        ("efw_z",),
        _as_it_is,
        logistic,
    ),
    Comparator(
        "EFW + g/day",
        f"estimated weight + {GRAMS_PER_DAY:g} g per day to birth, calibrated by logistic and by normal error",
        ("efw_g", "days"),
        _grown,
        logistic,
        linear,
    ),
    Comparator(
        "EFW + days, curved",
        "normal regression of ln birth weight on ln estimated weight and days, squares and product",
        ("efw_g", "days"),
        _curved,
        None,
        linear,
        limits_by_weight=True,
    ),
    Comparator(
        "EFW + days, curved, logistic",
        "logistic on the same, and on gestational age if there",
        ("efw_g", "days"),
        _curved,
        logistic,
        also=("gestational_day",),
    ),
    Comparator(
        "measurements regression",
        "normal regression of ln birth weight on ln of each measure, days, interactions, parity and age; logistic for "
        "LGA and SGA",
        ("ac_mm", "fl_mm", "days"),
        _measurements,
        logistic,
        linear,
        limits_by_weight=True,
        also=("hc_mm", "bpd_mm", "gestational_day", "parity", "maternal_age_y"),
    ),
    Comparator(
        "EFW + maternal",
        "logistic and normal regression on estimated weight, days (curved), gestational age and the mother's factors",
        ("efw_g", "days"),
        _curved,
        logistic,
        linear,
        one_of=MOTHER,
        also=("gestational_day",),
    ),
    Comparator(
        "Gaussian process",
        "Gaussian process of ln birth weight on all measures, days and the mother's factors",
        ("ac_mm", "fl_mm", "days"),
        _logs,
        None,
        gaussian_process,
        limits_by_weight=True,
        also=("hc_mm", "bpd_mm", "gestational_day", *MOTHER),
    ),
    Comparator(
        "boosted trees",
        f"gradient-boosted trees on all inputs and the estimate + {GRAMS_PER_DAY:g} g per day: a classifier, and a "
        "regression per quantile of birth weight",
        ("efw_g", "days"),
        _with_growth,
        boosted_chance,
        boosted_weight,
        also=("efw_z", *MEASURED, "gestational_day", *MOTHER),
    ),
)
COMPARATORS: Mapping[str, Comparator] = {c.name: c for c in _ALL}
