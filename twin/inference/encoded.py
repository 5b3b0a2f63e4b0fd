"""One woman's encoded data as named arrays and back, so that a stored posterior can be forecast and updated.

Names are the fields' paths (`spots.value`). The growth table is left out: the name of the standard gives it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from twin.encode import WomanData
from twin.physiology.fetus import GrowthTable, growth_table


def _parts(kind: type) -> dict[str, Any]:
    """Field -> type of an equinox module or a named tuple; none for an array."""
    whole = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return typing.get_type_hints(kind) if whole else {}


def to_arrays(data: WomanData) -> dict[str, np.ndarray]:
    """Every array of `data` but the growth table, by path, and `n_cells`."""
    found: dict[str, np.ndarray] = {}

    def walk(kind: type, value: Any, path: str) -> None:
        parts = _parts(kind)
        if not parts:
            found[path] = np.asarray(value)
        elif kind is not GrowthTable:
            for name, part in parts.items():
                walk(part, getattr(value, name), f"{path}.{name}" if path else name)

    walk(WomanData, data, "")
    return found


def from_arrays(arrays: Mapping[str, np.ndarray], standard: str) -> WomanData:
    """The woman of `to_arrays`, with the growth table of her standard.

    Raises : KeyError naming an array that is missing.
    """

    def build(kind: type, path: str) -> Any:
        if kind is GrowthTable:
            return growth_table(standard)
        parts = _parts(kind)
        if not parts:
            return int(arrays[path]) if kind is int else jnp.asarray(arrays[path])
        return kind(**{name: build(part, f"{path}.{name}" if path else name) for name, part in parts.items()})

    found: WomanData = build(WomanData, "")
    return found
