"""Folds by a woman's id."""

import subprocess

import numpy as np
import pytest
from scipy.stats import chisquare

from cohorts.validate.folds import fold_of, folds_of


@pytest.mark.parametrize(("woman", "fold"), [("1", 0), ("2", 1), ("woman-000001", 2), ("Ärztin", 4), ("", 4)])
def test_fixed_examples(woman, fold):
    assert fold_of(woman) == fold


@pytest.mark.parametrize("woman", ["1", "2", "a woman", "Ärztin"])
def test_another_program_and_another_way_agree(woman):
    """sha256sum; and since 16 leaves 1 modulo 5, a number leaves what the sum of its hexadecimal digits leaves."""
    digits = subprocess.run(
        ["sha256sum"], input=woman.encode(), capture_output=True, check=True
    ).stdout.split()[0]
    assert fold_of(woman) == sum(int(d, 16) for d in digits.decode()) % 5


def test_folds_are_of_like_size():
    """Chi-square of 10 000 ids; the ids are fixed, so this can fail only if the folds are uneven."""
    counts = np.bincount(folds_of(f"woman-{i:06d}" for i in range(10_000)), minlength=5)
    assert chisquare(counts).pvalue > 1e-3
    assert len(np.unique(folds_of(map(str, range(100)), folds=3))) == 3
