"""Decision curves."""

import numpy as np
import pytest

from cohorts.validate.bootstrap import Resamples
from cohorts.validate.decisions import ALL, DECISIONS, NONE, decision_curves
from tests.cohorts.validate.tables import chances, yes_no


def curves(ours, y, outcome="over_4000_g", **theirs):
    case = {"estimand": "forecast", "outcome": outcome, "as_of": "36+0"}
    models = {"twin": yes_no(ours, y, outcome)} | {
        k: yes_no(p, y, outcome, model=k) for k, p in theirs.items()
    }
    return decision_curves(case, models, Resamples.of(models["twin"]["woman"], 400, seed=0), "twin")


def test_which_outcome_belongs_to_which_decision():
    p, y = chances(np.random.default_rng(0), 200)
    for outcome, names in (
        ("over_4000_g", ["scan", "induction discussion"]),
        ("over_4500_g", ["mode of birth, > 4500 g"]),
        ("sga", ["scan"]),
    ):
        assert [c.decision for c in curves(p, y, outcome)] == names
    for d in DECISIONS:
        c = curves(p, y, d.outcomes[0])
        found = next(x for x in c if x.decision == d.name)
        assert (found.thresholds[0], found.thresholds[-1]) == (d.low, d.high)


def test_net_benefit_by_hand():
    """Ten women, two events, one flagged at 10 % with four others: 1/10 - 4/10 x 1/9."""
    y = np.repeat([1.0, 0.0], [2, 8])
    p = np.array([0.5, 0.01, 0.3, 0.3, 0.3, 0.3, 0.01, 0.01, 0.01, 0.01])
    scan = curves(p, y)[0]
    at = int(np.flatnonzero(scan.thresholds == 0.10)[0])
    assert scan.net_benefit["twin"][at] == pytest.approx(0.1 - 0.4 / 9)
    assert scan.net_benefit[ALL][at] == pytest.approx(0.2 - 0.8 / 9)
    assert scan.best_other[at] == ALL
    assert scan.gain[at] == pytest.approx(0.1 - 0.4 / 9 - (0.2 - 0.8 / 9))


def test_nobody_is_best_where_everybody_else_does_harm():
    y = np.repeat([1.0, 0.0], [2, 98])
    scan = curves(np.full(100, 0.01), y)[0]
    assert scan.best_other[-1] == NONE and scan.gain[-1] == 0.0
    assert scan.net_benefit[ALL][-1] == pytest.approx(0.02 - 0.98 / 4)


def test_knowing_the_outcome_gains_what_there_is_to_gain():
    p, y = chances(np.random.default_rng(1), 500)
    for curve in curves(y, y, EFW=p):
        assert curve.net_benefit["twin"] == pytest.approx(np.full(len(curve.thresholds), y.mean()))
        assert (curve.band_95[0] > 0.0).all()


def test_the_same_model_under_another_name_gains_nothing():
    """The band is of paired differences: where the double is the best other, it has no width."""
    p, y = chances(np.random.default_rng(2), 400)
    for curve in curves(p, y, double=p):
        same = np.array(curve.best_other) == "double"
        assert same.any() and (curve.band_95[:, same] == 0.0).all() and (curve.gain[same] == 0.0).all()
        assert (curve.band_95[0] <= curve.band_90[0]).all() and (curve.band_90[1] <= curve.band_95[1]).all()


def test_only_women_that_all_models_have():
    p, y = chances(np.random.default_rng(3), 300)
    case = {"estimand": "forecast", "outcome": "sga", "as_of": "36+0"}
    models = {"twin": yes_no(p, y, "sga"), "EFW": yes_no(p, y, "sga", model="EFW").iloc[50:]}
    (curve,) = decision_curves(case, models, Resamples.of(models["twin"]["woman"], 50, seed=0), "twin")
    assert (curve.n, curve.events) == (250, int(y[50:].sum()))
