"""Numbers that are said not to matter to a design, moved: python -m tests.cohorts.ladder.apart DESIGN. A process of its
own, since numbers traced through the prior are not the floats that the tests' type checks want."""

import sys

import jax.numpy as jnp
import numpy as np

from cohorts.ladder.steps import MATTERS, TOGETHER
from cohorts.population.numbers import scales
from cohorts.population.population import Population
from scenarios.cli import start_engine
from twin.inference.priors import START_PRIOR, load_prior

WOMEN = 256


def moved_by(name: str) -> list[str]:
    """Numbers left out of the design in MATTERS that change what it simulates, each half a step away."""
    (design,) = (d for d in TOGETHER.designs if d.name == name)
    prior = load_prior(START_PRIOR)
    every = scales(prior, TOGETHER.names)
    here = {s.name: jnp.float32(s.value) for s in every}
    known = design.simulate(Population(prior, here), WOMEN)
    found = []
    for s in every:
        if s.name in MATTERS and name not in MATTERS[s.name]:
            moved = Population(prior, {**here, s.name: jnp.float32(s.at(0.5))})
            arrays = design.simulate(moved, WOMEN)
            if not all(np.array_equal(known[k], arrays[k], equal_nan=True) for k in known):
                found.append(s.name)
    return found


if __name__ == "__main__":
    start_engine()
    raise SystemExit(" ".join(moved_by(sys.argv[1])) or 0)
