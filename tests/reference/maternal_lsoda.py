"""The same woman by SciPy LSODA, segment by segment between events: the check on the Runge-Kutta reference.

Written from the equations again (dictionary parameters, its own state order and event handling), so that a
slip in one of the two files shows as a difference. Events and parameters as in maternal_rk4.
"""

from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp

from tests.reference.closed_form import fasting_steady_state

LABELS = ["G", "X", "I", "Y", "IG", "S1", "S2", "Q", "depot", "C", "E", "E_slow"]


def _rhs(par, names, a):
    tau = [par["tau"][k] for k in names]
    bio = [par["F"][k] for k in names]
    gs_h = par["Gs"] ** par["h"]
    litres = par["V_I"] * par["BW"]

    def rhs(t, y):
        G, X, I, Y, IG, S1, S2, Q, depot, C, E, E_slow = y[:12]
        c1, c2 = y[12::2], y[13::2]
        hepatic = par["R0"] * (1 - par["E_max"] * C / (C + par["C50"]))
        Ra = par["f"] * par["k_a"] * Q / par["BW"]
        dG = (hepatic + Ra - par["U_fp"]) / par["VG"] - (par["E_G0"] + par["g_ex"] * E + X) * G
        u_sc = sum(b * second / s for b, second, s in zip(bio, c2, tau, strict=True))
        stimulus = par["B"] * par["K_d"] * dG * 0.5 * (1 + np.tanh(dG / 0.1))
        target = par["B"] * par["sigma"] / (1 + gs_h / G ** par["h"])
        dy = [
            dG,
            par["p2"] * (par["SI"] * (1 + par["s_ex"] * E_slow) * I - X),
            Y + stimulus + u_sc / litres - par["n"] * I,
            (target - Y) / par["T_s"],
            (G - IG) / par["tau_IG"],
            -par["k_e"] * S1,
            par["k_e"] * (S1 - S2),
            par["k_e"] * S2 - par["k_a"] * Q,
            -par["k_m"] * depot,
            par["F_m"] * par["k_m"] * depot - par["k_el"] * C,
            (a - E) / par["tau_ex"],
            (E - E_slow) / par["tau_slow"],
        ]
        for s, first, second in zip(tau, c1, c2, strict=True):
            dy += [-first / s, (first - second) / s]
        return dy

    return rhs


def simulate(params, events, t_end_min, out_every_min=5.0, rtol=1e-9, atol=1e-9):
    """One woman from the fasting steady state; dict of arrays t, G, X, ... as maternal_rk4.simulate."""
    names = list(params["tau"])
    cuts = {0.0, float(t_end_min)}
    for row in [*events.get("meals", ()), *events.get("doses", ()), *events.get("tablets", ())]:
        cuts.add(float(row[0]))
    for start, end, _ in events.get("activity", ()):
        cuts |= {float(start), float(end)}
    cuts = [c for c in sorted(cuts) if c <= t_end_min]

    y = np.zeros(12 + 2 * len(names))
    y[0], y[1], y[3], y[2] = fasting_steady_state(params)
    y[4] = y[0]
    grid = np.append(np.arange(0.0, t_end_min - 1e-9, out_every_min), float(t_end_min))
    blocks = [y[:, None]]
    for begin, finish in pairwise(cuts):
        for minute, grams in events.get("meals", ()):
            y[5] += 1000 * grams * (minute == begin)
        for minute, mg in events.get("tablets", ()):
            y[8] += mg * (minute == begin)
        for minute, units, name in events.get("doses", ()):
            y[12 + 2 * names.index(name)] += 1000 * units * (minute == begin)
        a = sum(level for start, end, level in events.get("activity", ()) if start <= begin < end)
        wanted = grid[(grid > begin) & (grid <= finish)]
        solution = solve_ivp(
            _rhs(params, names, a),
            (begin, finish),
            y,
            method="LSODA",
            rtol=rtol,
            atol=atol,
            t_eval=np.union1d(wanted, [finish]),
        )
        if not solution.success:
            raise RuntimeError(f"LSODA failed between minutes {begin} and {finish}: {solution.message}")
        blocks.append(solution.y[:, np.isin(solution.t, wanted)])
        y = solution.y[:, -1].copy()
    states = np.concatenate(blocks, axis=1)
    return {"t": grid} | {label: states[i] for i, label in enumerate(LABELS)}
