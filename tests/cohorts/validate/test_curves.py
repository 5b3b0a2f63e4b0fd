"""What the pictures show."""

import numpy as np
import pytest
from scipy.stats import binom

from cohorts.validate import curves
from cohorts.validate.bootstrap import Resamples
from tests.cohorts.validate.tables import chances, weights, yes_no


def calibration_of(p, y):
    rows = yes_no(p, y)
    return curves.calibration(rows, Resamples.of(rows["woman"], 300, seed=0))


def test_band_of_right_chances_holds_the_diagonal_and_of_wrong_ones_does_not():
    """1000 women. Pointwise 95 % bands, whose points hang together: nine tenths of the diagonal inside fails on right
    chances in about one data set of five, so only its middle is asked here: 3 SE, false alarms 3e-3."""
    p, y = chances(np.random.default_rng(0), 1000, base=0.4)
    right = calibration_of(p, y)
    middle = int(np.argmin(np.abs(right.at - 0.4)))
    assert abs(right.observed[middle] - 0.4) < 3.0 * (right.high - right.low)[middle] / 3.92
    low = calibration_of(p / 2.0, y)
    middle = int(np.argmin(np.abs(low.at - 0.2)))
    assert low.low[middle] > 0.2
    assert (low.low <= low.observed).mean() > 0.9 and (low.observed <= low.high).mean() > 0.9


def test_tenths_hold_every_woman_once():
    p, y = chances(np.random.default_rng(1), 333)
    found = calibration_of(p, y).groups
    assert len(found) == 10 and sum(g.n for g in found) == 333 and sum(g.events for g in found) == y.sum()
    assert all(g.low <= g.observed <= g.high or g.events == 0 for g in found)
    assert np.diff([g.predicted for g in found]).min() > 0.0
    assert len(calibration_of(p[:199], y[:199]).groups) == 5


def test_thinned_roc_keeps_its_ends_and_its_area():
    p, y = chances(np.random.default_rng(2), 5000)
    x, d = curves.roc(yes_no(p, y))
    assert len(x) == 400 and (x[0], d[0], x[-1], d[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(d, x) == pytest.approx(float(curves.m.auc(p, y)), abs=2e-3)


def test_pit_of_half_the_right_sd():
    """The tails hold what a normal has beyond 0.822 SD: 20.6 % each side of 5 %."""
    rng = np.random.default_rng(3)
    mean_ln = rng.normal(8.1, 0.1, 4000)
    y = np.exp(rng.normal(mean_ln, 0.1))
    narrow = curves.pit(weights(mean_ln, np.full(4000, 0.05), y))
    assert narrow.share[[0, -1]] == pytest.approx([0.2055, 0.2055], abs=0.03)
    right = curves.pit(weights(mean_ln, np.full(4000, 0.1), y))
    low, high = binom.ppf([1e-5, 1 - 1e-5], 4000, right.expected[0])
    assert low <= 4000 * right.share[0] <= high
    assert right.share.sum() == pytest.approx(1.0) and right.expected.sum() == pytest.approx(1.0)
