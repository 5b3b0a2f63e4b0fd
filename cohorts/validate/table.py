"""The table of predictions that a validation judges: what may enter, and what was turned away and why.

One row per woman, as-of, estimand, outcome and model. Yes/no outcomes have `p` and `y` (0 or 1); birth weight has `y`
(g), `mean_ln` and `sd_ln` (of ln weight), `q05` to `q95` (g) and `crps` (of ln weight, empty where unknown). Every
other column is a stratum: of the woman at that as-of, so it may be empty in all but one of her rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from twin.errors import UnusableInput

KEY = ("woman", "as_of", "estimand", "outcome", "model")
CASE = ("estimand", "outcome", "as_of")  # what is judged together: every model on the same question
ESTIMANDS = ("given the day of birth", "forecast")
WEIGHT = "birth_weight_g"
LIMITS_G = {"over_4000_g": 4000.0, "over_4500_g": 4500.0}
YES_NO = (*LIMITS_G, "lga", "sga")
OUTCOMES = (WEIGHT, *YES_NO)
QUANTILES = {"q05": 0.05, "q10": 0.10, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q90": 0.90, "q95": 0.95}
NUMBERS = ("p", "y", "mean_ln", "sd_ln", *QUANTILES, "crps")


class Accepted(NamedTuple):
    """used : rows to be judged, numbers as floats. rejected : the other rows as they came, and `reason`."""

    used: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def strata(self) -> list[str]:
        return [c for c in self.used.columns if c not in (*KEY, *NUMBERS)]

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by reason, the most frequent first."""
        return {str(k): int(n) for k, n in self.rejected["reason"].value_counts().items()}


def accept(table: pd.DataFrame) -> Accepted:
    """Each row with the first reason against it, or without one.

    Raises : UnusableInput where a column of the key or `y` is missing, or no row is left.
    """
    missing = [c for c in (*KEY, "y") if c not in table.columns]
    if missing:
        raise UnusableInput(
            "no-such-column",
            f"the table of predictions has no column {', '.join(missing)}; expected {', '.join((*KEY, *NUMBERS))} "
            "and strata. Nothing was judged. Name the columns so.",
        )
    rows = table.reset_index(drop=True).copy()
    for name in NUMBERS:
        rows[name] = pd.to_numeric(rows[name], errors="coerce").astype(float) if name in rows else np.nan
    for name in KEY:
        rows[name] = rows[name].astype(object).where(rows[name].isna(), rows[name].astype(str))
    reason = pd.Series("", index=rows.index)
    for why, bad in _against(rows):
        reason = reason.mask(bad & (reason == ""), why)
    among = rows[reason == ""]
    disagree = among.groupby(["woman", "outcome"])["y"].transform("nunique") > 1
    reason[among.index[disagree]] = "rows do not agree on what happened"
    good = reason == ""
    if not good.any():
        raise UnusableInput(
            "nothing-usable",
            f"none of {len(rows)} rows of predictions can be used; most often: "
            f"{reason.value_counts().index[0] if len(rows) else 'there is no row'}.",
        )
    rejected = table.reset_index(drop=True)[~good].assign(reason=reason[~good])
    return Accepted(_strata_shared(rows[good].reset_index(drop=True)), rejected.reset_index(drop=True))


def cases(used: pd.DataFrame) -> Iterator[tuple[dict[str, str], dict[str, pd.DataFrame]]]:
    """Each case by name of its columns, and in it the rows of each model, women in order; as first met in the table."""
    for key, rows in used.groupby(list(CASE), sort=False):
        by_model = rows.sort_values("woman", kind="stable").groupby("model", sort=False)
        found = {str(m): r.reset_index(drop=True) for m, r in by_model}
        yield dict(zip(CASE, key, strict=True)), {m: found[m] for m in used["model"].unique() if m in found}


def events(rows: pd.DataFrame) -> int | None:
    """Of a yes/no outcome; a weight has none."""
    return None if (rows["outcome"] == WEIGHT).any() else int(rows["y"].sum())


def _against(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    weight = rows["outcome"] == WEIGHT
    for name in KEY:
        yield f"{name} missing", rows[name].isna() | (rows[name] == "")
    yield "outcome unknown", ~rows["outcome"].isin(OUTCOMES)
    yield "estimand unknown", ~rows["estimand"].isin(ESTIMANDS)
    yield "duplicate: which is meant is not known", rows.duplicated(list(KEY), keep=False)
    yield "y missing", rows["y"].isna()
    yield "y neither 0 nor 1", ~weight & ~rows["y"].isin((0.0, 1.0))
    yield "p missing", ~weight & rows["p"].isna()
    yield "p outside 0 to 1", ~weight & ~rows["p"].between(0.0, 1.0)
    yield "y not a weight", weight & ~(np.isfinite(rows["y"]) & (rows["y"] > 0.0))
    spread = np.isfinite(rows["mean_ln"]) & np.isfinite(rows["sd_ln"]) & (rows["sd_ln"] > 0.0)
    yield "mean_ln or sd_ln missing or not above 0", weight & ~spread
    q = rows[list(QUANTILES)].to_numpy()
    rising = np.isfinite(q).all(axis=1) & (q[:, 0] > 0.0) & (np.diff(q, axis=1) >= 0.0).all(axis=1)
    yield "quantiles missing or not rising", weight & ~pd.Series(rising, index=rows.index)


def _strata_shared(rows: pd.DataFrame) -> pd.DataFrame:
    """Strata of a woman at an as-of, given in any of her rows, in all of them."""
    strata = [c for c in rows.columns if c not in (*KEY, *NUMBERS)]
    if strata:
        rows[strata] = rows.groupby(["woman", "as_of"])[strata].transform("first")
    return rows
