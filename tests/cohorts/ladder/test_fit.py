"""Learning numbers from rows: the closed form of a linear model, and rows that cannot be met."""

import dataclasses
import math

import numpy as np
import pytest

from cohorts.evidence.rules import load_rules
from cohorts.ladder.fit import Fitted, errors, learn
from cohorts.population.numbers import Scale

A_RULE = next(r for r in load_rules().values() if r.counted and len(r.published) == 1)


def rule(name: str, value: float, error: float):
    """Published value with a band of four errors."""
    return dataclasses.replace(
        A_RULE, row=name, published=(value,), low=(value - 2.0 * error,), high=(value + 2.0 * error,)
    )


def test_error_is_a_quarter_of_the_band():
    assert errors(rule("a", 1.0, 0.3)) == pytest.approx([0.3])
    recalled = dataclasses.replace(rule("a", 1.0, 0.3), counted=False)
    assert errors(recalled) == pytest.approx([0.6])
    bar = dataclasses.replace(recalled, band_from="set by the project: 15 %")
    assert errors(bar) == pytest.approx([0.3])


def test_linear_model_has_its_closed_form():
    """Small residuals count by their squares: ridge regression by hand."""
    A = np.array([[1.0, 0.5], [0.2, -1.0], [0.7, 0.3]])
    y, e = np.array([0.02, -0.01, 0.015]), np.array([0.1, 0.2, 0.15])
    rules = [rule(f"r{i}", float(y[i]), float(e[i])) for i in range(3)]
    scales = [Scale("p", 0.0, 1.0, False), Scale("q", 0.0, 1.0, False)]

    def model(numbers):
        out = A @ np.array([numbers["p"], numbers["q"]])
        return {f"r{i}": (float(out[i]),) for i in range(3)}

    found = learn(model, scales, rules, rounds=20)
    weight = 1.0 / e**2
    H = (A.T * weight) @ A + np.eye(2)
    want = np.linalg.solve(H, (A.T * weight) @ y)
    np.testing.assert_allclose(found.steps, want, atol=2e-3)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(H), rtol=0.03)


def test_a_row_that_cannot_be_met_does_not_bend_the_others():
    """Nine rows say 1, one says 50, each with an error of 0.1: the number stays where nine small pulls hold one that is
    bent, r = 1 / sqrt(9^2 - 1) of 2 BEND and so on: 0.02 above 1, where least squares would go to 5.9."""
    rules = [rule(f"r{i}", 1.0, 0.2) for i in range(9)] + [rule("r9", 50.0, 0.2)]
    scales = [Scale("p", 0.0, 10.0, False)]
    found = learn(lambda n: {f"r{i}": (n["p"],) for i in range(10)}, scales, rules, rounds=40)
    assert found.numbers["p"] == pytest.approx(1.0, abs=0.1)


def test_positive_numbers_stay_positive():
    found = learn(lambda n: {"r": (n["p"],)}, [Scale("p", 2.0, 0.5, True)], [rule("r", 0.3, 0.01)], rounds=40)
    assert found.numbers["p"] == pytest.approx(0.3, abs=0.02)
    assert found.steps[0] == pytest.approx(math.log(0.3 / 2.0) / 0.5, abs=0.2)


def test_fits_are_kept_whole():
    found = learn(lambda n: {"r": (n["p"],)}, [Scale("p", 2.0, 0.5, True)], [rule("r", 1.5, 0.1)])
    again = Fitted.from_json(found.as_json())
    assert again.numbers == found.numbers and again.residual == found.residual
    np.testing.assert_array_equal(again.covariance, found.covariance)


def test_noisy_rows_say_less():
    """Two rows disagree; one is known to 0.1, the other to 0.1 and Monte-Carlo noise of 0.3: weights 100 and 10."""
    rules = [rule("a", 0.02, 0.1), rule("b", -0.02, 0.1)]
    found = learn(
        lambda n: {"a": (n["p"],), "b": (n["p"],)},
        [Scale("p", 0.0, 10.0, False)],
        rules,
        noise={"b": (0.3,)},
        rounds=20,
    )
    assert found.numbers["p"] == pytest.approx((100.0 * 0.02 - 10.0 * 0.02) / 110.0, abs=3e-4)


def test_rows_may_count_more_than_once():
    """Two rows that disagree, one counting three times: the mean weighted 3 to 1."""
    rules = [rule("a", 0.02, 0.1), rule("b", -0.02, 0.1)]
    found = learn(
        lambda n: {"a": (n["p"],), "b": (n["p"],)},
        [Scale("p", 0.0, 10.0, False)],
        rules,
        times={"a": 3.0},
        rounds=20,
    )
    assert found.numbers["p"] == pytest.approx(0.01, abs=3e-4)
