"""A few simulated women, made once."""

from dataclasses import replace

import jax
import pytest

from cohorts.synthetic import DESIGNS, simulate_cohort
from twin.inference.priors import load_prior

SEED = 12
EVERYONE = replace(DESIGNS["demo-diet"], if_gdm=False)


@pytest.fixture(scope="session")
def everyone():
    return EVERYONE


@pytest.fixture(scope="session")
def prior():
    return load_prior()


@pytest.fixture(scope="session")
def standard_women(prior):
    """Four women with finger pricks, a tolerance test and three scans; the shapes of the packaged diet woman, so
    that one compiled program serves all tests."""
    return list(simulate_cohort(jax.random.key(SEED), 4, EVERYONE, prior))
