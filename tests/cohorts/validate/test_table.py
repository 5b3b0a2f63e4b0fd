"""What may enter a validation, and what is turned away, counted and named."""

import numpy as np
import pandas as pd
import pytest

from cohorts.validate.table import accept
from tests.cohorts.validate.tables import weights, yes_no
from twin.errors import UnusableInput


def good(n=20):
    rng = np.random.default_rng(0)
    return yes_no(rng.uniform(size=n), rng.integers(0, 2, n).astype(float))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("p", np.nan, "p missing"),
        ("p", "none", "p missing"),
        ("p", 1.001, "p outside 0 to 1"),
        ("p", -0.1, "p outside 0 to 1"),
        ("y", np.nan, "y missing"),
        ("y", 0.5, "y neither 0 nor 1"),
        ("woman", None, "woman missing"),
        ("as_of", "", "as_of missing"),
        ("outcome", "dystocia", "outcome unknown"),
        ("estimand", "guess", "estimand unknown"),
    ],
)
def test_one_bad_row_costs_one_row(column, value, reason):
    table = good().astype({column: object})
    table.loc[3, column] = value
    found = accept(table)
    assert found.counts == {reason: 1}
    assert len(found.used) == 19 and "w0003" not in set(found.used["woman"])
    if column != "woman":
        assert found.rejected.loc[0, "woman"] == "w0003"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("y", -1.0, "y not a weight"),
        ("y", np.inf, "y not a weight"),
        ("sd_ln", 0.0, "mean_ln or sd_ln missing or not above 0"),
        ("mean_ln", np.nan, "mean_ln or sd_ln missing or not above 0"),
        ("q25", 9000.0, "quantiles missing or not rising"),
        ("q95", np.nan, "quantiles missing or not rising"),
    ],
)
def test_weights_that_cannot_be(column, value, reason):
    table = weights(np.full(5, 8.1), np.full(5, 0.1), np.full(5, 3300.0))
    table.loc[2, column] = value
    assert accept(table).counts == {reason: 1}


def test_unknown_crps_is_no_reason():
    table = weights(np.full(5, 8.1), np.full(5, 0.1), np.full(5, 3300.0)).assign(crps=np.nan)
    assert accept(table).counts == {}


def test_both_rows_of_a_duplicate_go():
    table = pd.concat([good(), good().iloc[[4]].assign(p=0.5)])
    found = accept(table)
    assert found.counts == {"duplicate: which is meant is not known": 2} and len(found.used) == 19


def test_rows_of_a_woman_must_agree_on_what_happened():
    """Whichever model, as-of and estimand they are of."""
    ours, theirs = good(), good().assign(model="EFW centile", as_of="28+0", estimand="given the day of birth")
    theirs.loc[7, "y"] = 1.0 - theirs.loc[7, "y"]
    found = accept(pd.concat([ours, theirs]))
    assert found.counts == {"rows do not agree on what happened": 2} and len(found.used) == 38


def test_every_row_is_used_or_rejected():
    outside = good().assign(p=np.linspace(-0.5, 1.5, 20), as_of="32+0")
    table = pd.concat([outside, good(), good().assign(y=2.0, as_of="28+0")])
    found = accept(table)
    assert len(found.used) + len(found.rejected) == 60 == len(found.used) + sum(found.counts.values())


def test_strata_of_one_row_hold_for_all_rows_of_the_woman():
    ours, theirs = good().assign(treatment="diet"), good().assign(model="EFW centile", treatment=None)
    found = accept(pd.concat([ours, theirs]))
    assert found.strata == ["treatment"] and (found.used["treatment"] == "diet").all()


def test_nothing_usable_is_an_error_that_says_why():
    with pytest.raises(UnusableInput, match="p outside 0 to 1"):
        accept(good().assign(p=2.0))
    with pytest.raises(UnusableInput, match="no column outcome"):
        accept(good().drop(columns="outcome"))
