"""The speed peer: a day of one woman after another by classical Runge-Kutta, compiled, nothing allocated in its loop.

The eight states of the mother without treatment, as evidence MODEL.md section 1.1 writes them: what a careful modeller
would write in numba, scalars only, Hill exponent 4 as a product, fast-math. A step is broken at each meal. Checked
against `tests.reference` in tests/statistical/test_benchmarks.py, and by its own error in every run.
"""

import itertools
import math

import numpy as np
from numba import njit

#: columns of the parameter table: names of `tests.reference.women`
COLUMNS = (
    "BW", "VG", "f", "k_e", "k_a", "R0", "U_fp", "E_G0", "SI", "p2", "B", "sigma", "Gs", "T_s", "K_d", "n", "tau_IG",
)  # fmt: skip


def table(params):
    """(woman, column) of a list of reference dictionaries."""
    return np.array([[float(p[name]) for name in COLUMNS] for p in params])


@njit(inline="always", fastmath=True, error_model="numpy")
def _slope(y, c):
    s1, s2, q, g, x, late, i, ig = y
    k_e, k_a, supply, per_q, e_g0, si, p2, secreted, over_gs, over_ts, dynamic, n, over_tau = c
    dg = supply + per_q * q - (e_g0 + x) * g
    r = g * over_gs
    r4 = r * r * r * r
    di = late + dynamic * dg * 0.5 * (1.0 + math.tanh(10.0 * dg)) - n * i
    return (
        -k_e * s1,
        k_e * (s1 - s2),
        k_e * s2 - k_a * q,
        dg,
        p2 * (si * i - x),
        (secreted * r4 / (1.0 + r4) - late) * over_ts,
        di,
        (g - ig) * over_tau,
    )


@njit(inline="always", fastmath=True, error_model="numpy")
def _plus(y, a, k):
    return (
        y[0] + a * k[0], y[1] + a * k[1], y[2] + a * k[2], y[3] + a * k[3],
        y[4] + a * k[4], y[5] + a * k[5], y[6] + a * k[6], y[7] + a * k[7],
    )  # fmt: skip


@njit(fastmath=True, error_model="numpy")
def _step(y, h, c):
    k1 = _slope(y, c)
    k2 = _slope(_plus(y, 0.5 * h, k1), c)
    k3 = _slope(_plus(y, 0.5 * h, k2), c)
    k4 = _slope(_plus(y, h, k3), c)
    w = h / 6.0
    return _plus(_plus(_plus(_plus(y, w, k1), 2.0 * w, k2), 2.0 * w, k3), w, k4)


@njit(fastmath=True, error_model="numpy")
def _constants(p):
    bw, vg, f, k_e, k_a, r0, u_fp, e_g0, si, p2, b, sigma, gs, t_s, k_d, n, tau_ig = p
    return (
        k_e, k_a, (r0 - u_fp) / vg, f * k_a / (bw * vg), e_g0, si, p2, b * sigma, 1.0 / gs, 1.0 / t_s, b * k_d, n,
        1.0 / tau_ig,
    )  # fmt: skip


@njit(fastmath=True, error_model="numpy")
def _fasting(c):
    """The stationary state with an empty gut, by bisection on ln G as the product does."""
    _, _, supply, _, e_g0, si, _, secreted, over_gs, _, _, n, _ = c
    high = math.log(supply / e_g0)
    low = high - 8.0
    late = 0.0
    for _ in range(40):
        g = math.exp(0.5 * (low + high))
        r4 = (g * over_gs) ** 4
        late = secreted * r4 / (1.0 + r4)
        if (e_g0 + si * late / n) * g > supply:
            high = math.log(g)
        else:
            low = math.log(g)
    g = math.exp(0.5 * (low + high))
    return (0.0, 0.0, 0.0, g, si * late / n, late, late / n, g)


@njit(fastmath=True, error_model="numpy")
def days(params, meal_min, meal_mg, step_min, G, IG):
    """One day from rest of each woman in turn, written into G and IG.

    params : (woman, column), see `table`. meal_min : (meal,), minutes, rising. meal_mg : (meal, woman).
    G, IG : (woman, edge), mg/dL, 1 + 1440 / step_min edges.
    """
    for w in range(params.shape[0]):
        row = params[w]
        c = _constants(
            (
                row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11],
                row[12], row[13], row[14], row[15], row[16],
            )
        )  # fmt: skip
        y = _fasting(c)
        meal = 0
        G[w, 0], IG[w, 0] = y[3], y[7]
        for edge in range(1, G.shape[1]):
            now, end = (edge - 1) * step_min, edge * step_min
            while meal < meal_min.size and meal_min[meal] < end:
                if meal_min[meal] > now:
                    y = _step(y, meal_min[meal] - now, c)
                    now = meal_min[meal]
                y = (y[0] + meal_mg[meal, w], y[1], y[2], y[3], y[4], y[5], y[6], y[7])
                meal += 1
            y = _step(y, end - now, c)
            G[w, edge], IG[w, edge] = y[3], y[7]


@njit(fastmath=True, error_model="numpy")
def _odeint_slope(y, t, c):
    out = np.empty(8)
    k = _slope(
        (y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7]),
        (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12]),
    )
    out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = k
    return out


def lsoda_day(row, meal_min, meal_mg, every_min, rtol=1e-6, atol=1e-6):
    """G and IG of one woman, (2, edge), by SciPy's LSODA (`odeint`), right-hand side compiled, from meal to meal.

    row : one of `table`. meal_mg : (meal,), her own. every_min : of the output.
    """
    from scipy.integrate import odeint

    c = _constants(tuple(row))
    y, out = np.array(_fasting(c)), []
    edges = np.arange(0.0, 1440.0 + 0.5 * every_min, every_min)
    cuts = [0.0, *(float(t) for t in meal_min), 1440.0]
    for k, (start, end) in enumerate(itertools.pairwise(cuts)):
        if k:
            y[0] += meal_mg[k - 1]
        inside = edges[(edges >= start) & (edges < end)]
        times = np.unique(np.concatenate([[start], inside, [end]]))
        found = odeint(_odeint_slope, y, times, args=(np.array(c),), rtol=rtol, atol=atol)
        out.append(found[np.isin(times, inside)][:, [3, 7]])
        y = found[-1].copy()
    return np.concatenate([*out, [[y[3], y[7]]]]).T
