"""A design evaluated: Monte-Carlo errors, and a run that was stopped goes on."""

import numpy as np
import pytest

from cohorts.evidence.run import Design, evaluate, run
from cohorts.population.population import Population
from twin.inference.priors import load_prior

POPULATION = Population(load_prior())


def counted_design(calls):
    def simulate(population, n):
        calls.append(n)
        return {"x": np.random.default_rng(4).standard_normal(n)}

    return Design("normal", simulate, lambda c: {"ROW": (float(c["x"].mean()), float(c["x"].std()))}, 20_000)


def test_monte_carlo_errors_are_those_of_a_mean_and_an_sd():
    """1 / sqrt(n) and 1 / sqrt(2 n); from five groups an error is known to a factor of about two."""
    found = evaluate(counted_design([]), POPULATION, 20_000)["ROW"]
    for error, exact in zip(found.errors, (1.0 / np.sqrt(20_000), 1.0 / np.sqrt(40_000)), strict=True):
        assert exact / 5.0 < error < 3.0 * exact


def test_what_is_stored_is_not_run_again(tmp_path):
    calls: list[int] = []
    design = counted_design(calls)
    first = run(POPULATION, tmp_path, share=0.5, designs=[design])
    again = run(POPULATION, tmp_path, share=0.5, designs=[design])
    assert calls == [10_000] and again["ROW"].values == pytest.approx(first["ROW"].values)
    run(POPULATION, tmp_path, share=1.0, designs=[design])
    assert calls == [10_000, 20_000]
    run(Population(load_prior(), {"center.B": 2.0}), tmp_path, share=1.0, designs=[design])
    assert calls == [10_000, 20_000, 20_000]
