"""Reference pregnancy at full minute resolution: every minute of many weeks, mother and fetus both ways.

No averaging over days: the maternal system of maternal_rk4 advances by 1-min Runge-Kutta steps (broken
exactly at every event), slow parameters move inside the loop, the fetus is advanced every minute by the
running 24-h power mean of glucose, and its weight feeds back on uteroplacental uptake.
Equations: shared evidence MODEL.md sections 1.3, 2.1, 3.1.
"""

import math

import numpy as np
from numba import njit

from tests.reference.maternal_rk4 import (
    SCALARS,
    U_FP,
    fasting_state,
    intensity_at,
    jumps,
    pack,
    rk4_step,
)

DAY_MIN = 1440
WEEK_MIN = 10080
# columns of the hourly table after the maternal scalars
L_REF, F_REF, W_REF, GROWTH, ACTING, EUGLYCAEMIA = range(6)
G_INDEX = 3
FETUS = ("eta", "tau_I", "theta", "s_L", "s_F", "m", "M_star", "uptake_power")

MEDIAN_FETUS = {
    "eta": 4.0,
    "tau_I": 1.5,
    "theta": 1.0,
    "s_L": 0.27,
    "s_F": 1.5,
    "m": 5.0,
    "M_star": 98.0,
    "uptake_power": 1.0,
}


def fat_fraction(w):
    """q(w): share of fetal weight that is fat (MODEL.md 2.1)."""
    return 0.125 / (1.0 + np.exp(-(np.asarray(w, float) - 35.0) / 3.0))


def hadlock_1991(w):
    """Fetal weight in g at w weeks, Hadlock 1991 [C-STD-01]."""
    w = np.asarray(w, float)
    return np.exp(0.578 + 0.332 * w - 0.00354 * w**2)


def fetus_acts(w):
    """a(w): the part of growth that listens to fetal insulin (MODEL.md 2.1)."""
    return 1.0 / (1.0 + np.exp(-(np.asarray(w, float) - 24.0)))


@njit(cache=True)
def _one_day(
    y, fetus_state, ring, ring_sum, day, seg_len, seg_activity, seg_first, jump_first, jump_state, jump_size,
    hourly, n_scalar, p, tau, bio, fetus, frozen, trace,
):  # fmt: skip
    """Advance mother and fetus through one day; `frozen` holds slow parameters and the fetus still."""
    eta, tau_i, theta, s_l, s_f, m, m_star, uptake_power = fetus
    work = np.empty((5, y.size))
    growing = 0.0 if frozen else 1.0
    for minute in range(DAY_MIN):
        now = growing * (day * DAY_MIN + minute + 0.5) / 60.0  # hours since w0, at mid-minute
        node = min(int(now), hourly.shape[0] - 2)
        part = now - node
        slow = hourly[node] + part * (hourly[node + 1] - hourly[node])
        for i in range(n_scalar):
            p[i] = slow[i]
        p[U_FP] *= ((fetus_state[0] + fetus_state[1]) / slow[n_scalar + W_REF]) ** uptake_power

        power = 0.0  # integral of (G / M_star)^m over this minute; G' has no jumps, so trapezoids do
        for s in range(seg_first[minute], seg_first[minute + 1]):
            for k in range(jump_first[s], jump_first[s + 1]):
                y[jump_state[k]] += jump_size[k]
            before = y[G_INDEX]
            rk4_step(y, seg_len[s], seg_activity[s], p, tau, bio, work)
            power += seg_len[s] * 0.5 * ((before / m_star) ** m + (y[G_INDEX] / m_star) ** m)
        ring_sum += power - ring[minute]
        ring[minute] = power
        trace[minute] = y[G_INDEX]
        if frozen:
            continue
        x = math.log(ring_sum / DAY_MIN) / m - slow[n_scalar + EUGLYCAEMIA]
        dw = 1.0 / WEEK_MIN
        insulin = fetus_state[2]
        fetus_state[2] = eta * x + (insulin - eta * x) * math.exp(-dw / tau_i)
        drive = slow[n_scalar + ACTING] * 0.5 * (insulin + fetus_state[2]) / eta
        growth = slow[n_scalar + GROWTH]
        d_ref = (hourly[node + 1] - hourly[node]) / 60.0
        fetus_state[0] += theta * d_ref[n_scalar + L_REF] * math.exp(s_l * drive + growth)
        fetus_state[1] += theta * d_ref[n_scalar + F_REF] * math.exp(s_f * drive + growth)
    return ring_sum


def _day_plan(params, events):
    """Segments of one day between whole minutes and events, with the impulses at the start of each."""
    impulses = jumps(params, events)
    edges = [e for start, end, _ in events.get("activity", ()) for e in (start, end)]
    times = [j[0] for j in impulses] + edges
    if (
        min(times, default=0.0) < 0.0
        or max([j[0] for j in impulses], default=0.0) >= DAY_MIN
        or max(edges, default=0.0) > DAY_MIN
    ):
        raise ValueError("the repeated day needs events between minutes 0 and 1440")
    nodes = np.unique(np.concatenate([np.arange(DAY_MIN + 1.0), np.asarray(times, float)]))
    starts = nodes[:-1]
    jump_times = np.array([j[0] for j in impulses], float)
    return (
        np.diff(nodes),
        intensity_at(starts, events),
        np.searchsorted(starts, np.arange(DAY_MIN + 1.0)).astype(np.int64),
        np.append(np.searchsorted(jump_times, starts), jump_times.size).astype(np.int64),
        np.array([j[1] for j in impulses], np.int64),
        np.array([j[2] for j in impulses], float),
    )


def _only_formulations_used(params, events_day):
    """Parameters without the formulations nobody injects: fewer states, the same result."""
    days = [events_day] if isinstance(events_day, dict) else [events for _, events in events_day]
    used = {name for events in days for _, _, name in events.get("doses", ())}
    return params | {k: {name: params[k][name] for name in used} for k in ("tau", "F")}


def _evaluate(source, weeks):
    """A slow function at `weeks`: a callable, a constant, or (weeks, values) interpolated linearly."""
    if callable(source):
        return np.broadcast_to(np.asarray(source(weeks), float), weeks.shape)
    if isinstance(source, tuple):
        return np.interp(weeks, *source)
    return np.full(weeks.shape, float(source))


def run(
    params, events_day, w0, w1, slow=None, fetus=None, W_ref=hadlock_1991, q=fat_fraction,
    growth_exponent=0.0, L0=None, F0=None, I_f0=None, burn_in_days=3, euglycaemia=None,
):  # fmt: skip
    """One pregnancy from gestational week w0 to w1 (whole days), the same events every day.

    params : as maternal_rk4; the values at rest of everything not in `slow`.
    events_day : events of one day, minutes 0 to 1440; or [(from_week, events), ...] to change treatment.
    slow : {parameter name: callable of w | (weeks, values) | constant}; U_fp is the uptake of the reference
        fetus and is multiplied by (L + F) / W_ref(w) to the power `uptake_power`.
    fetus : overrides of MEDIAN_FETUS (per-week rates, glucose mg/dL).  W_ref, q : callables of w.
    euglycaemia : exposure that counts as none, M*(w) in mg/dL, as `slow` values; default M_star always.
    growth_exponent : b_F n_m + xi as callable, (weeks, values) or constant.
    L0, F0 : g at w0, default theta times the reference; I_f0 default eta x of the first day.
    Returns : dict of arrays by whole week from w0 (and w1): w, L, F, I_f, weight; by day: day_w (start),
        M (power mean of that day, mg/dL), mean_glucose, U_fp (at the day's end); G_last_day by minute;
        birth_weight_g, at w1.
    """
    n_days = round((w1 - w0) * 7)
    if n_days < 1 or abs(n_days - (w1 - w0) * 7) > 1e-6:
        raise ValueError("w1 - w0 must be a whole positive number of days")
    chosen = MEDIAN_FETUS | (fetus or {})
    values = np.array([float(chosen[k]) for k in FETUS])
    weeks = w0 + np.arange(n_days * 24 + 1) / 168.0
    params = _only_formulations_used(params, events_day)
    p, tau, bio = pack(params)
    columns = [_evaluate((slow or {}).get(name, params[name]), weeks) for name in SCALARS]
    unknown = set(slow or {}) - set(SCALARS)
    if unknown:
        raise KeyError(f"slow parameters not in the model: {sorted(unknown)}")
    weight, fat = W_ref(weeks), q(weeks)
    columns += [(1.0 - fat) * weight, fat * weight, weight]
    columns += [_evaluate(growth_exponent, weeks), fetus_acts(weeks)]
    star = weeks * 0.0 + chosen["M_star"] if euglycaemia is None else _evaluate(euglycaemia, weeks)
    columns += [np.log(star / chosen["M_star"])]
    hourly = np.column_stack(columns)
    n_scalar = len(SCALARS)

    theta = chosen["theta"]
    state = np.array(
        [
            theta * hourly[0, n_scalar + L_REF] if L0 is None else L0,
            theta * hourly[0, n_scalar + F_REF] if F0 is None else F0,
            0.0,
        ]
    )
    plans = (
        [(w0, events_day)] if isinstance(events_day, dict) else sorted(events_day, key=lambda item: item[0])
    )
    plans = [(start, _day_plan(params, events)) for start, events in plans]

    at_start = dict(zip(SCALARS, hourly[0, :n_scalar], strict=True))
    at_start["U_fp"] *= ((state[0] + state[1]) / weight[0]) ** chosen["uptake_power"]
    y = fasting_state(params | at_start)
    ring, ring_sum, trace = np.zeros(DAY_MIN), 0.0, np.empty(DAY_MIN)
    rows, power_mean, mean_glucose, uptake = [], [], [], []
    for day in range(-burn_in_days, n_days):
        week = w0 + max(day, 0) / 7.0
        plan = [events for start, events in plans if start <= week + 1e-9][-1]
        if day == 0:
            ring_sum = ring.sum()
            x = math.log(ring_sum / DAY_MIN) / chosen["m"] - hourly[0, n_scalar + EUGLYCAEMIA]
            state[2] = chosen["eta"] * x if I_f0 is None else I_f0
        if day >= 0 and day % 7 == 0:
            rows.append((week, *state))
        ring_sum = _one_day(
            y, state, ring, ring_sum, max(day, 0), *plan,
            hourly, n_scalar, p, tau, bio, values, day < 0, trace,
        )  # fmt: skip
        if day >= 0:
            ring_sum = ring.sum()  # no drift of the running sum
            power_mean.append(chosen["M_star"] * (ring_sum / DAY_MIN) ** (1.0 / chosen["m"]))
            mean_glucose.append(trace.mean())
            uptake.append(p[U_FP])
    rows.append((w1, *state))
    by_week = np.array(rows)
    return {
        "w": by_week[:, 0],
        "L": by_week[:, 1],
        "F": by_week[:, 2],
        "I_f": by_week[:, 3],
        "weight": by_week[:, 1] + by_week[:, 2],
        "birth_weight_g": float(by_week[-1, 1] + by_week[-1, 2]),
        "day_w": w0 + np.arange(n_days) / 7.0,
        "M": np.array(power_mean),
        "mean_glucose": np.array(mean_glucose),
        "U_fp": np.array(uptake),
        "G_last_day": trace.copy(),
    }
