"""A few simulated women, made once."""

import jax
import pytest

from cohorts.synthetic import DESIGNS, simulate_cohort
from twin.inference.priors import load_prior

SEED = 12


@pytest.fixture(scope="session")
def prior():
    return load_prior()


@pytest.fixture(scope="session")
def standard_women(prior):
    """Four women with finger pricks, a tolerance test and three scans."""
    return list(simulate_cohort(jax.random.key(SEED), 4, DESIGNS["standard"], prior))
