"""Which designs a number matters to: of the others nothing changes when it moves."""

import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.ladder.steps import MATTERS, TOGETHER
from cohorts.population.numbers import scales
from cohorts.population.population import Population
from twin.inference.priors import START_PRIOR, load_prior

WOMEN = 256


@pytest.mark.slow
@pytest.mark.parametrize("design", TOGETHER.designs, ids=lambda d: d.name)
def test_a_design_left_out_does_not_depend_on_the_number(design):
    """Arrays of the same women bit by bit, each number half a step away."""
    prior = load_prior(START_PRIOR)
    every = scales(prior, TOGETHER.names)
    here = {s.name: jnp.float32(s.value) for s in every}
    known = design.simulate(Population(prior, here), WOMEN)
    for s in every:
        if s.name in MATTERS and design.name not in MATTERS[s.name]:
            moved = Population(prior, {**here, s.name: jnp.float32(s.at(0.5))})
            found = design.simulate(moved, WOMEN)
            assert all(np.array_equal(known[k], found[k], equal_nan=True) for k in known), s.name


def test_every_number_matters_to_a_design():
    names = {d.name for d in TOGETHER.designs}
    assert all(set(designs) & names for designs in MATTERS.values())
