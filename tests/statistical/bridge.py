"""The reference's women as the product's arrays: names translated, nothing computed, no time touched.

The product fixes some constants the reference leaves free; `matched` sets those in the reference.
"""

import jax
import jax.numpy as jnp
import numpy as np

from twin.physiology.events import DayEvents
from twin.physiology.parameters import (
    INSULIN_TAU_MIN,
    METFORMIN_C50,
    METFORMIN_F,
    METFORMIN_K_ABS,
    TAU_EX_MIN,
    TAU_SLOW_MIN,
    MaternalParams,
)

SAME_NAME = (
    "BW", "VG", "f", "k_e", "k_a", "R0", "U_fp", "E_G0", "p2", "B", "T_s", "K_d", "n", "V_I", "tau_IG",
    "k_el", "E_max", "g_ex", "s_ex",
)  # fmt: skip
RENAMED = {"S_I": "SI", "G_s": "Gs"}
#: most events a woman of `tests.reference.women.draw_women` has in two days
SLOTS = {"meals": 12, "doses": 8, "tablets": 4, "activity": 6}
GAIN = {"E_max": 0.13 / 0.10, "s_ex": 4.0 / 0.3}  # medians of the product over those of the reference


def matched(params):
    """Reference parameters with the product's fixed constants, and its medians of E_max and s_ex."""
    changed = {
        "k_m": METFORMIN_K_ABS,
        "F_m": METFORMIN_F,
        "C50": METFORMIN_C50,
        "tau_ex": TAU_EX_MIN,
        "tau_slow": TAU_SLOW_MIN,
    }
    return params | changed | {name: params[name] * gain for name, gain in GAIN.items()}


def matched_women(women):
    """`draw_women`'s list with `matched` parameters."""
    return [(matched(params), events) for params, events in women]


def to_params(params):
    """MaternalParams with fields (woman,), from a list of matched dictionaries."""
    columns = {name: [p[name] for p in params] for name in SAME_NAME}
    columns |= {ours: [p[theirs] for p in params] for ours, theirs in RENAMED.items()}
    columns["tau_rapid"] = [p["tau"]["rapid"] for p in params]
    return MaternalParams(**{name: np.array(values) for name, values in columns.items()})


def _rows(women, kind, slots):
    """(slot, woman) object rows of one kind of event, None where there is none."""
    table = np.full((slots, len(women)), None, dtype=object)
    for lane, (_, events) in enumerate(women):
        rows = events.get(kind, [])
        assert len(rows) <= slots, (kind, len(rows))
        for slot, row in enumerate(rows):
            table[slot, lane] = row
    return table


def _column(table, read, absent):
    values = [[absent if row is None else read(row, lane) for lane, row in enumerate(line)] for line in table]
    return np.array(values, dtype=float).reshape(table.shape)


def to_events(women, slots=None):
    """DayEvents with fields (slot, woman); minutes, masses and each woman's own kinetics as they are."""
    slots = SLOTS if slots is None else slots
    meals, doses, tablets, bouts = (
        _rows(women, kind, slots.get(kind, 0)) for kind in ("meals", "doses", "tablets", "activity")
    )

    def tau(row, lane):  # rapid insulin is recognised by its median and follows params.tau_rapid
        return INSULIN_TAU_MIN["rapid"] if row[2] == "rapid" else women[lane][0]["tau"][row[2]]

    return DayEvents(
        meal_min=_column(meals, lambda r, _: r[0], 0.0),
        meal_mg=_column(meals, lambda r, _: 1000.0 * r[1], 0.0),
        dose_min=_column(doses, lambda r, _: r[0], 0.0),
        dose_mU=_column(doses, lambda r, _: 1000.0 * r[1], 0.0),
        dose_tau=_column(doses, tau, 55.0),
        dose_F=_column(doses, lambda r, lane: women[lane][0]["F"][r[2]], 1.0),
        tablet_min=_column(tablets, lambda r, _: r[0], 0.0),
        tablet_mg=_column(tablets, lambda r, _: r[1], 0.0),
        bout_start=_column(bouts, lambda r, _: r[0], 0.0),
        bout_end=_column(bouts, lambda r, _: r[1], 0.0),
        bout_intensity=_column(bouts, lambda r, _: r[2], 0.0),
    )


def cast(tree, dtype):
    """Every array of a tree in one precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=dtype), tree)


def to_twin(women, dtype=jnp.float64, slots=None):
    """(MaternalParams, DayEvents) of matched women in one precision."""
    return cast(to_params([p for p, _ in women]), dtype), cast(to_events(women, slots), dtype)
