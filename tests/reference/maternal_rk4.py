"""Reference day of one woman: classical Runge-Kutta, 0.1 min, steps broken exactly at every event.

Equations: shared evidence MODEL.md, sections 1.1 and 1.4, in float64. The product's physiology is checked
against this file, so it shares no code and no pre-processing with it.

params : dict of floats named as in MODEL.md section 1.2, with "tau" and "F" dicts by formulation.
events : dict of lists, every key optional, times in minutes (fractions welcome):
    meals [(minute, g)], doses [(minute, U, formulation)], tablets [(minute, mg)],
    activity [(start, end, intensity)]; activities that overlap add up.
At an output minute that is also an event, the value before the event is given.
"""

import math

import numpy as np
from numba import njit

from tests.reference.closed_form import fasting_steady_state

STATE = ("S1", "S2", "Q", "G", "X", "Y", "I", "IG", "E", "E_slow", "depot", "C")
N_STATE = len(STATE)  # then C1, C2 of each formulation, in the order of formulations(params)
SCALARS = [  # in the order of the indices below
    "BW", "VG", "f", "k_e", "k_a", "R0", "U_fp", "E_G0", "SI", "p2",
    "B", "sigma", "h", "Gs", "T_s", "K_d", "n", "V_I", "tau_IG",
    "k_m", "k_el", "F_m", "C50", "tau_ex", "tau_slow", "g_ex", "s_ex", "E_max",
]  # fmt: skip
(BW, VG, F_ABS, K_E, K_A, R0, U_FP, E_G0, SI, P2, B, SIGMA, H, GS, T_S, K_D, N_CL, V_I, TAU_IG) = range(19)
(K_M, K_EL, F_M, C50, TAU_EX, TAU_SLOW, G_EX, S_EX, E_MAX) = range(19, 28)


def formulations(params):
    """Insulin formulations in the order of their two states."""
    return sorted(params["tau"])


def pack(params):
    """(28 scalars, tau per formulation, F per formulation) as arrays for the compiled loop."""
    names = formulations(params)
    return (
        np.array([float(params[k]) for k in SCALARS]),
        np.array([float(params["tau"][k]) for k in names]),
        np.array([float(params["F"][k]) for k in names]),
    )


def fasting_state(params):
    """State vector at the fasting steady state with nothing in gut, tissue or depot."""
    y = np.zeros(N_STATE + 2 * len(params["tau"]))
    g, x, secreted, i = fasting_steady_state(params)
    y[3:8] = g, x, secreted, i, g
    return y


@njit(cache=True)
def derivative(y, activity, p, tau, bio, dy):
    """Right-hand side of the whole maternal system, written into dy."""
    u_sc = 0.0
    for j in range(tau.size):
        c1, c2 = N_STATE + 2 * j, N_STATE + 2 * j + 1
        dy[c1] = -y[c1] / tau[j]
        dy[c2] = (y[c1] - y[c2]) / tau[j]
        u_sc += bio[j] * y[c2] / tau[j]
    dy[0] = -p[K_E] * y[0]
    dy[1] = p[K_E] * (y[0] - y[1])
    dy[2] = p[K_E] * y[1] - p[K_A] * y[2]
    appearance = p[F_ABS] * p[K_A] * y[2] / p[BW]
    e_met = p[E_MAX] * y[11] / (y[11] + p[C50])
    e_si = 1.0 + p[S_EX] * y[9]
    supply = (p[R0] * (1.0 - e_met) + appearance - p[U_FP]) / p[VG]
    dg = supply - (p[E_G0] + p[G_EX] * y[8] + y[4]) * y[3]
    g_h = y[3] ** p[H]
    dy[3] = dg
    dy[4] = -p[P2] * (y[4] - p[SI] * e_si * y[6])
    dy[5] = (p[B] * p[SIGMA] * g_h / (p[GS] ** p[H] + g_h) - y[5]) / p[T_S]
    rising = dg * 0.5 * (1.0 + math.tanh(dg / 0.1))
    dy[6] = y[5] + p[B] * p[K_D] * rising + u_sc / (p[V_I] * p[BW]) - p[N_CL] * y[6]
    dy[7] = (y[3] - y[7]) / p[TAU_IG]
    dy[8] = (activity - y[8]) / p[TAU_EX]
    dy[9] = (y[8] - y[9]) / p[TAU_SLOW]
    dy[10] = -p[K_M] * y[10]
    dy[11] = p[F_M] * p[K_M] * y[10] - p[K_EL] * y[11]


@njit(cache=True)
def rk4_step(y, h, activity, p, tau, bio, work):
    """Advance y in place by h minutes; work is a (5, n_state) scratch array."""
    k1, k2, k3, k4, mid = work
    derivative(y, activity, p, tau, bio, k1)
    for i in range(y.size):
        mid[i] = y[i] + 0.5 * h * k1[i]
    derivative(mid, activity, p, tau, bio, k2)
    for i in range(y.size):
        mid[i] = y[i] + 0.5 * h * k2[i]
    derivative(mid, activity, p, tau, bio, k3)
    for i in range(y.size):
        mid[i] = y[i] + h * k3[i]
    derivative(mid, activity, p, tau, bio, k4)
    for i in range(y.size):
        y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])


@njit(cache=True)
def _integrate(y, nodes, node_output, activity, jump_time, jump_state, jump_size, step, p, tau, bio, out):
    work = np.empty((5, y.size))
    next_jump = 0
    for k in range(nodes.size):
        if node_output[k] >= 0:
            out[node_output[k]] = y
        while next_jump < jump_time.size and jump_time[next_jump] <= nodes[k]:
            y[jump_state[next_jump]] += jump_size[next_jump]
            next_jump += 1
        if k + 1 < nodes.size:
            length = nodes[k + 1] - nodes[k]
            n = max(1, math.ceil(length / step - 1e-9))
            for _ in range(n):
                rk4_step(y, length / n, activity[k], p, tau, bio, work)


def jumps(params, events):
    """(minute, state index, size) of every impulse, sorted: gut in mg, insulin in mU, metformin in mg."""
    where = {name: N_STATE + 2 * j for j, name in enumerate(formulations(params))}
    found = [(float(t), 0, 1000.0 * grams) for t, grams in events.get("meals", ())]
    found += [(float(t), where[name], 1000.0 * units) for t, units, name in events.get("doses", ())]
    found += [(float(t), STATE.index("depot"), float(mg)) for t, mg in events.get("tablets", ())]
    return sorted(found)


def intensity_at(minutes, events):
    """Activity intensity in force from each of `minutes` on."""
    total = np.zeros(len(minutes))
    for start, end, a in events.get("activity", ()):
        total += a * ((minutes >= start) & (minutes < end))
    return total


def simulate(params, events, t_end_min, y0=None, out_every_min=5.0, step_min=0.1):
    """One woman from minute 0 to t_end_min.

    y0 : state vector, or None for the fasting steady state (see fasting_state).
    Returns : dict of arrays over the output minutes 0, out_every_min, ..., t_end_min: t, every name in STATE,
        Ra (mg/kg/min), u_sc (mU/min), and "states" (n_out, n_state); "y_end" continues a run at t_end_min.
    Raises : ValueError for an event before minute 0, KeyError for an unknown formulation.
    """
    impulses = jumps(params, events)
    edges = [e for start, end, _ in events.get("activity", ()) for e in (start, end)]
    if min([j[0] for j in impulses] + edges, default=0.0) < 0.0:
        raise ValueError("events before minute 0 cannot be simulated; shift the clock")
    t_out = np.append(np.arange(0.0, t_end_min - 1e-9, out_every_min), float(t_end_min))
    inside = [t for t in [j[0] for j in impulses] + edges if t < t_end_min]
    nodes = np.unique(np.concatenate([t_out, np.asarray(inside, float)]))
    node_output = np.full(nodes.size, -1, np.int64)
    node_output[np.searchsorted(nodes, t_out)] = np.arange(t_out.size)
    kept = [j for j in impulses if j[0] < t_end_min]
    p, tau, bio = pack(params)
    y = fasting_state(params) if y0 is None else np.array(y0, float)
    out = np.empty((t_out.size, y.size))
    _integrate(
        y,
        nodes,
        node_output,
        intensity_at(nodes, events),
        np.array([j[0] for j in kept], float),
        np.array([j[1] for j in kept], np.int64),
        np.array([j[2] for j in kept], float),
        float(step_min),
        p,
        tau,
        bio,
        out,
    )
    result = {name: out[:, i] for i, name in enumerate(STATE)}
    result["Ra"] = params["f"] * params["k_a"] * result["Q"] / params["BW"]
    result["u_sc"] = out[:, N_STATE + 1 :: 2] @ (bio / tau)
    return result | {"t": t_out, "states": out, "y_end": y}
