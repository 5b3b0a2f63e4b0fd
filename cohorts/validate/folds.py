"""Folds of cross-validation by a woman's id alone: the same wherever they are asked for, whoever else is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

FOLDS = 5


def fold_of(woman: str, folds: int = FOLDS) -> int:
    """The SHA-256 of the id (UTF-8), read as a number, modulo `folds`."""
    return int(hashlib.sha256(woman.encode("utf-8")).hexdigest(), 16) % folds


def folds_of(women: Iterable[str], folds: int = FOLDS) -> np.ndarray:
    """(woman,) fold of each."""
    return np.array([fold_of(str(w), folds) for w in women], dtype=int)
