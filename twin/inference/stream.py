"""Posteriors of any number of women, batch by batch: what is held does not grow with their number."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax

from twin.encode import WomanData
from twin.inference.calibrate import Posterior, calibrate_many
from twin.inference.priors import Prior

BATCH = 64  # women; part of what decides the last digits of a result, so a constant


class Entry(NamedTuple):
    """One woman on her way into a batch."""

    patient: str
    key: jax.Array  # her own, so that her draws do not depend on who stands beside her
    data: WomanData
    as_of_day: float


def calibrate_stream(
    women: Iterable[Entry], prior: Prior, standard: str, *, draws: int = 1000
) -> Iterator[Posterior]:
    """Posteriors in the order of `women`, read BATCH at a time: at most one batch is held.

    Sort the women (by `patient`) before: the same women in the same order give the same batches and the same bits.
    Alone or in another batch a woman's draws are the same but for single precision in her mode and weights.
    """
    rest = iter(women)
    while batch := list(itertools.islice(rest, BATCH)):
        yield from calibrate_many(
            [w.key for w in batch],
            [w.data for w in batch],
            prior,
            [w.as_of_day for w in batch],
            standard,
            [w.patient for w in batch],
            draws=draws,
        )
