"""A line per number: of each model, and of the judged less another on the same women."""

import numpy as np
import pandas as pd
import pytest

from cohorts.validate.bootstrap import Resamples
from cohorts.validate.lines import as_table, of_models
from cohorts.validate.measures import auc
from cohorts.validate.table import accept, cases
from tests.cohorts.validate.tables import chances, weights, yes_no

RNG = np.random.default_rng(0)
P, Y = chances(RNG, 300)
NEAR = np.clip(P + 0.05 * RNG.standard_normal(300), 0.01, 0.99)


def table_of(*tables, resamples=200):
    used = accept(pd.concat(tables)).used
    found = Resamples.of(used["woman"], resamples, seed=0)
    return as_table([x for case, models in cases(used) for x in of_models(case, models, found, "twin")])


def pick(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_value_women_and_events():
    ours, theirs = yes_no(P, Y), yes_no(NEAR, Y, model="EFW")
    table = table_of(ours, theirs)
    one = pick(table, model="twin", measure="auc", versus="")
    assert one["value"] == pytest.approx(float(auc(P, Y))) and one["low"] < one["value"] < one["high"]
    assert (one["n"], one["events"]) == (300, int(Y.sum())) and one["stratum"] == ""
    gap = pick(table, measure="auc", versus="EFW")
    assert gap["value"] == pytest.approx(float(auc(P, Y) - auc(NEAR, Y)))
    assert gap["low"] <= gap["low_90"] < gap["high_90"] <= gap["high"]


def test_a_difference_is_of_the_women_that_both_have():
    """The other model has the first 200 only, in another order."""
    theirs = yes_no(NEAR, Y).iloc[199::-1]
    theirs = theirs.assign(model="EFW")
    gap = pick(table_of(yes_no(P, Y), theirs), measure="auc", versus="EFW")
    assert gap["n"] == 200
    assert gap["value"] == pytest.approx(float(auc(P[:200], Y[:200]) - auc(NEAR[:200], Y[:200])))


def test_rows_in_another_order_give_the_same_lines():
    a = yes_no(P, Y)
    pd.testing.assert_frame_equal(table_of(a), table_of(a.sample(frac=1.0, random_state=1)))


def test_cases_and_models_keep_their_order():
    first, second = yes_no(P, Y), weights(np.full(300, 8.1), np.full(300, 0.1), np.full(300, 3300.0))
    met = [(case["outcome"], list(models)) for case, models in cases(accept(pd.concat([first, second])).used)]
    assert met == [("over_4000_g", ["twin"]), ("birth_weight_g", ["twin"])]


def test_weights_have_no_events():
    mean_ln = RNG.normal(8.1, 0.1, 300)
    table = table_of(weights(mean_ln, np.full(300, 0.1), np.exp(RNG.normal(mean_ln, 0.1))))
    assert table["events"].isna().all() and (table["n"] == 300).all() and table["value"].notna().all()
