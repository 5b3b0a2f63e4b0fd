"""Variants of the one woman with the same shapes: what she lacks is masked, not missing."""

import equinox as eqx
import jax.numpy as jnp
import pytest

from twin.inference.priors import load_prior


@pytest.fixture(scope="session")
def prior():
    return load_prior()


@pytest.fixture(scope="session")
def data(one_posterior):
    return one_posterior.data


def without(data, *parts):
    """The same woman with these kinds of reading masked."""
    for part in parts:
        data = eqx.tree_at(
            lambda d, part=part: getattr(d, part).mask, data, jnp.zeros_like(getattr(data, part).mask)
        )
    return data


@pytest.fixture(scope="session")
def scans_only(data):
    return without(data, "spots", "ogtt", "cgm")


@pytest.fixture(scope="session")
def nothing(data):
    return without(data, "spots", "ogtt", "cgm", "scans")
