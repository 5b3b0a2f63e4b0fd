"""Shared fixtures: 64-bit floats, strict shapes, and the shelf of real data when it is there."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shelf of real data beside the checkout. Absent: skip on a user's machine, fail in CI."""
    shelf = Path(__file__).resolve().parents[2] / "shared"
    if shelf.is_dir():
        return shelf
    message = "the real-data shelf (../shared) is not beside this checkout"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
