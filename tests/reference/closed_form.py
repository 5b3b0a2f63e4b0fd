"""Closed forms the integrators are checked against: chains started by one impulse, and the fasting state.

Times in minutes, carbohydrate in g, insulin in mU, metformin in mg, glucose in mg/dL, insulin in uU/mL.
Equations: shared evidence MODEL.md, sections 1.1 and 1.4. Plain numpy; nothing here imports the product.
"""

import math

import numpy as np
from scipy.optimize import brentq

SERIES_BELOW = 0.5  # |z| under which the Taylor series replaces the cancelling closed expression


def first_moment(z):
    """Integral of s exp(-z s) over s in 0..1, accurate through z = 0 (equal rates)."""
    z = np.asarray(z, float)
    series = sum((-z) ** k / (math.factorial(k) * (k + 2)) for k in range(20))
    safe = np.where(np.abs(z) < SERIES_BELOW, 1.0, z)
    direct = (1.0 - np.exp(-safe) * (1.0 + safe)) / safe**2
    return np.where(np.abs(z) < SERIES_BELOW, series, direct)


def gut_states(t, grams, k_e, k_a):
    """Contents (S1, S2, Q) in mg, t minutes after `grams` of carbohydrate entered an empty gut."""
    t = np.maximum(np.asarray(t, float), 0.0)
    mg = 1000.0 * grams
    emptied = np.exp(-k_e * t)
    z = (k_e - k_a) * t
    far = np.abs(z) >= SERIES_BELOW
    rate_gap = np.where(far, k_e - k_a, 1.0)
    # exp(-k_a t) first_moment(z) t^2, written so that neither exponential can overflow
    apart = (np.exp(-k_a * t) - emptied * (1.0 + np.where(far, z, 0.0))) / rate_gap**2
    close = np.exp(-k_a * t) * first_moment(np.where(far, 0.0, z)) * t**2
    return mg * emptied, mg * k_e * t * emptied, mg * k_e**2 * np.where(far, apart, close)


def glucose_appearance(t, grams, params):
    """Ra in mg/kg/min, t minutes after one meal (k_a == k_e included); zero before the meal."""
    _, _, q = gut_states(t, grams, params["k_e"], params["k_a"])
    return np.where(np.asarray(t) > 0.0, params["f"] * params["k_a"] * q / params["BW"], 0.0)


def subcutaneous_rate(t, units, tau, bioavailable):
    """Insulin reaching plasma, mU/min, t minutes after `units` U of one formulation."""
    t = np.maximum(np.asarray(t, float), 0.0)
    return bioavailable * 1000.0 * units * t / tau**2 * np.exp(-t / tau)


def metformin_amount(t, mg, params):
    """Metformin in the body, mg, t minutes after one tablet (Bateman; k_m == k_el included)."""
    t = np.maximum(np.asarray(t, float), 0.0)
    z = (params["k_m"] - params["k_el"]) * t
    safe = np.where(np.abs(z) < 1e-12, 1.0, z)
    ratio = np.where(np.abs(z) < 1e-12, 1.0, np.expm1(safe) / safe)
    return params["F_m"] * params["k_m"] * mg * np.exp(-params["k_m"] * t) * t * ratio


def interstitial_of_ramp(t, g_start, slope, ig_start, tau_ig):
    """IG in mg/dL when G = g_start + slope t and IG(0) = ig_start."""
    t = np.asarray(t, float)
    return g_start + slope * (t - tau_ig) + (ig_start - g_start + slope * tau_ig) * np.exp(-t / tau_ig)


def secretion(glucose, params):
    """Steady insulin secretion, uU/mL/min."""
    g_h = glucose ** params["h"]
    return params["B"] * params["sigma"] * g_h / (params["Gs"] ** params["h"] + g_h)


def fasting_steady_state(params):
    """(G, X, Y, I) at rest, nothing eaten, injected or swallowed.

    Solves (E_G0 + SI I(G)) G VG = R0 - U_fp, whose left side rises with G. ValueError if R0 <= U_fp.
    """
    supply = (params["R0"] - params["U_fp"]) / params["VG"]
    if supply <= 0.0:
        raise ValueError(f"R0 {params['R0']} must exceed U_fp {params['U_fp']}: no fasting state exists")

    def excess(g):
        return (params["E_G0"] + params["SI"] * secretion(g, params) / params["n"]) * g - supply

    g = brentq(excess, 1e-6, supply / params["E_G0"], xtol=1e-13, rtol=1e-14)
    y = secretion(g, params)
    i = y / params["n"]
    return g, params["SI"] * i, y, i
