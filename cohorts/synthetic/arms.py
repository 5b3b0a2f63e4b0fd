"""Women of one place who are followed in different ways: each has one arm of the design, by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from cohorts.synthetic.design import Design
from cohorts.synthetic.lapses import ARM, Seed, stream

Who = TypeVar("Who")
Made = TypeVar("Made")
#: women of one arm run together: as many as a wide program holds, else by the narrow one (`physics.WIDTHS`)
MANY, WIDE, NARROW = 48, 128, 16


def arm_of(seed: Seed, design: Design) -> Design:
    """The design she has; the design itself where it has no arms."""
    if not design.arms:
        return design
    shares = np.cumsum([share for share, _ in design.arms])
    place = np.searchsorted(shares / shares[-1], stream(seed, ARM).uniform(), side="right")
    return design.arms[min(int(place), len(design.arms) - 1)][1]


def by_arm(
    women: Sequence[Who],
    design: Design,
    seed_of: Callable[[Who], Seed],
    run: Callable[[list[Who], Design], list[Made]],
) -> list[Made]:
    """What `run` makes of women and their design, arm by arm; in the order of `women`."""
    own = [arm_of(seed_of(w), design) for w in women]
    made: dict[int, Made] = {}
    for leaf in design.leaves:
        here = [i for i, d in enumerate(own) if d is leaf]
        size = WIDE if len(here) > MANY else NARROW
        for first in range(0, len(here), size):
            some = here[first : first + size]
            made |= zip(some, run([women[i] for i in some], leaf), strict=True)
    return [made[i] for i in range(len(women))]
