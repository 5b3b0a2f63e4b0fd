"""The meal model of Dalla Man, Rizza and Cobelli (IEEE TBME 2007;54:1740): equations, fasting state, RK4 days.

A second model of the mother, kept apart from `twin.physiology` on purpose: it shares no equation, parameter or step
with it. Equations: docs/model/other_generator.md. Columns (a woman on a day) are the trailing axis of every array.
Units: gut in mg, glucose in mg/kg, insulin in pmol/kg, concentrations in mg/dL and pmol/L, time in min.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Floats = np.ndarray

STATES = ("Qsto1", "Qsto2", "Qgut", "Gp", "Gt", "Il", "Ip", "X", "I1", "Id", "Ipo", "Y", "IG")
STEP_MIN = 1.0
OUT_MIN = 5  # glucose is kept every 5 min, the sensor's step
LEAST_LOAD_MG = 1000.0  # emptying needs a load; before the first meal the stomach is empty
PMOL_PER_U = 6000.0  # 1 uU/mL = 6 pmol/L [MODEL]
#: counter-regulation, which the paper leaves out: production gained per mg/dL below a level, mg/kg/min (assumed;
#: without it 0.3 % of the day lies below 40 mg/dL, MODEL 6.2)
COUNTER_FROM_MG_DL, COUNTER_GAIN = 60.0, 0.08


class Body(NamedTuple):
    """Parameters of one column; names and units of the paper, rows A-DM-N-* and A-DM-T2-*."""

    BW: Floats  # kg
    VG: Floats  # dL/kg
    k1: Floats  # 1/min
    k2: Floats  # 1/min
    VI: Floats  # L/kg
    m1: Floats  # 1/min
    m2: Floats  # 1/min
    m4: Floats  # 1/min
    m5: Floats  # min kg/pmol
    m6: Floats  # 1
    kmax: Floats  # 1/min
    kmin: Floats  # 1/min
    kabs: Floats  # 1/min
    f: Floats  # 1
    b: Floats  # 1
    d: Floats  # 1
    kp1: Floats  # mg/kg/min
    kp2: Floats  # 1/min
    kp3: Floats  # mg/kg/min per pmol/L
    kp4: Floats  # mg/kg/min per pmol/kg
    ki: Floats  # 1/min
    Fcns: Floats  # mg/kg/min
    U_fp: Floats  # mg/kg/min, uptake of uterus and fetus; not in the paper
    Vm0: Floats  # mg/kg/min
    Vmx: Floats  # mg/kg/min per pmol/L
    Km0: Floats  # mg/kg
    p2U: Floats  # 1/min
    K: Floats  # pmol/kg per mg/dL
    alpha: Floats  # 1/min
    beta: Floats  # pmol/kg/min per mg/dL
    gamma: Floats  # 1/min
    ke1: Floats  # 1/min
    ke2: Floats  # mg/kg
    h: Floats  # mg/dL, glucose at which secretion is S_h
    S_h: Floats  # pmol/kg/min
    I_ref: Floats  # pmol/L, insulin at which X is zero
    tau_IG: Floats  # min, blood to interstitium; not in the paper


class Drive(NamedTuple):
    """What acts on the columns at one moment."""

    feeding: Floats  # mg/min of carbohydrate swallowed
    load: Floats  # mg in the stomach when the last meal began, that meal included: D of kempt
    insulin: Floats | float  # pmol/kg/min from under the skin
    sensitivity: Floats | float  # factor of the day on Vmx and kp3


def production(p: Body, Gp: Floats, Id: Floats, Ipo: Floats, sensitivity: Floats | float) -> Floats:
    """Endogenous production, mg/kg/min: the paper's line, not below zero, and counter-regulation."""
    EGP = np.maximum(p.kp1 - p.kp2 * Gp - p.kp3 * sensitivity * Id - p.kp4 * Ipo, 0.0)
    return EGP + COUNTER_GAIN * np.maximum(COUNTER_FROM_MG_DL - Gp / p.VG, 0.0)


def extraction(p: Body, S: Floats) -> Floats:
    """Hepatic extraction of insulin. The paper's line m6 - m5 S turns negative at the secretion of late pregnancy,
    so the exponential of the same value and slope at S = 0 is used (assumed)."""
    return p.m6 * np.exp(-p.m5 / p.m6 * S)


def emptying(p: Body, stomach: Floats, load: Floats) -> Floats:
    """kempt(Qsto), 1/min: fast while full, slow in the middle, fast again when nearly empty."""
    up = 2.5 / (load * (1.0 - p.b))
    down = 2.5 / (load * p.d)
    shape = np.tanh(up * (stomach - p.b * load)) - np.tanh(down * (stomach - p.d * load)) + 2.0
    return p.kmin + 0.5 * (p.kmax - p.kmin) * shape


def derivative(p: Body, y: Floats, u: Drive, out: Floats) -> Floats:
    """Right-hand side, written into `out`; y : (state, column)."""
    sto1, sto2, gut, Gp, Gt, Il, Ip, X, I1, Id, Ipo, Y, IG = y
    empty = emptying(p, sto1 + sto2, u.load)
    out[0] = u.feeding - p.kmax * sto1
    out[1] = p.kmax * sto1 - empty * sto2
    out[2] = empty * sto2 - p.kabs * gut
    appearance = p.f * p.kabs * gut / p.BW
    EGP = production(p, Gp, Id, Ipo, u.sensitivity)
    Uid = np.maximum(p.Vm0 + p.Vmx * u.sensitivity * X, 0.0) * Gt / (p.Km0 + Gt)
    E = p.ke1 * np.maximum(Gp - p.ke2, 0.0)
    exchange = p.k1 * Gp - p.k2 * Gt
    dGp = EGP + appearance - p.Fcns - p.U_fp - E - exchange
    out[3] = dGp
    out[4] = exchange - Uid
    S = p.gamma * Ipo
    HE = extraction(p, S)
    out[5] = S + p.m2 * Ip - (p.m1 / (1.0 - HE)) * Il  # m1 + m3 = m1 / (1 - HE)
    out[6] = p.m1 * Il - (p.m2 + p.m4) * Ip + u.insulin
    I = Ip / p.VI
    out[7] = p.p2U * (I - p.I_ref - X)
    out[8] = p.ki * (I - I1)
    out[9] = p.ki * (I1 - Id)
    G = Gp / p.VG
    out[10] = np.maximum(Y + p.S_h + p.K / p.VG * np.maximum(dGp, 0.0), 0.0) - S
    out[11] = p.alpha * (np.maximum(p.beta * (G - p.h), -p.S_h) - Y)
    out[12] = (G - IG) / p.tau_IG
    return out


def rk4(p: Body, y: Floats, h: float, at: tuple[Drive, Drive, Drive], work: Floats) -> None:
    """One classical Runge-Kutta step in place. at : drives at the start, the middle and the end."""
    k1, k2, k3, k4 = work
    derivative(p, y, at[0], k1)
    derivative(p, y + 0.5 * h * k1, at[1], k2)
    derivative(p, y + 0.5 * h * k2, at[1], k3)
    derivative(p, y + h * k3, at[2], k4)
    k2 += k3
    k2 *= 2.0
    k1 += k2
    k1 += k4
    y += (h / 6.0) * k1


def insulin_at(p: Body, G: Floats) -> tuple[Floats, Floats, Floats]:
    """Standing secretion (pmol/kg/min) and the masses Il, Ip (pmol/kg) at a standing glucose, mg/dL."""
    S = np.maximum(p.S_h + np.maximum(p.beta * (G - p.h), -p.S_h), 0.0)
    m13 = p.m1 / (1.0 - extraction(p, S))
    Il = S / (m13 - p.m2 * p.m1 / (p.m2 + p.m4))
    return S, Il, p.m1 * Il / (p.m2 + p.m4)


def tissue_glucose(p: Body, Gp: Floats, X: Floats, sensitivity: Floats | float) -> Floats:
    """Gt, mg/kg, at which exchange equals insulin-dependent use: the positive root of a quadratic."""
    V = np.maximum(p.Vm0 + p.Vmx * sensitivity * X, 0.0)
    half = 0.5 * (p.k2 * p.Km0 + V - p.k1 * Gp)
    return (np.sqrt(half * half + p.k2 * p.k1 * p.Km0 * Gp) - half) / p.k2


def imbalance(p: Body, G: Floats, sensitivity: Floats | float) -> Floats:
    """Production less use at standing glucose G, mg/kg/min; falls with G, so fasting glucose is its one root."""
    Gp = G * p.VG
    S, _, Ip = insulin_at(p, G)
    I = Ip / p.VI
    EGP = production(p, Gp, I, S / p.gamma, sensitivity)
    Gt = tissue_glucose(p, Gp, I - p.I_ref, sensitivity)
    exchange = p.k1 * Gp - p.k2 * Gt
    return EGP - p.Fcns - p.U_fp - p.ke1 * np.maximum(Gp - p.ke2, 0.0) - exchange


def fasting_state(p: Body, sensitivity: Floats | float = 1.0) -> Floats:
    """The stationary state with an empty gut, (state, column), by bisection on glucose (10 to 600 mg/dL)."""
    shape = np.broadcast_shapes(*(np.shape(x) for x in p), np.shape(sensitivity))
    low, high = np.full(shape, 10.0), np.full(shape, 600.0)
    for _ in range(50):
        mid = 0.5 * (low + high)
        above = imbalance(p, mid, sensitivity) > 0.0
        low, high = np.where(above, mid, low), np.where(above, high, mid)
    G = 0.5 * (low + high)
    S, Il, Ip = insulin_at(p, G)
    I = Ip / p.VI
    zero = np.zeros(shape)
    Gt = tissue_glucose(p, G * p.VG, I - p.I_ref, sensitivity)
    rows = [zero, zero, zero, G * p.VG, Gt, Il, Ip, I - p.I_ref, I, I, S / p.gamma, S - p.S_h, G]
    return np.stack([np.broadcast_to(r, shape) for r in rows])


class Intake(NamedTuple):
    """Meals and doses of columns; minutes on the clock of the run. Slots of zero size are empty."""

    meal_min: Floats  # (meal, column), whole minutes
    meal_mg: Floats
    eating_min: float  # duration of a meal
    dose_min: Floats  # (dose, column)
    dose_U: Floats
    dose_tau: Floats
    dose_F: Floats


def no_doses(columns: int) -> dict[str, Floats]:
    """The dose fields of an `Intake` without insulin."""
    return {name: np.zeros((0, columns)) for name in ("dose_min", "dose_U", "dose_tau", "dose_F")}


def absorbed_insulin(intake: Intake, BW: Floats, t: float) -> Floats | float:
    """Insulin reaching the blood, pmol/kg/min: two equal compartments in closed form, F U t/tau^2 exp(-t/tau)."""
    if not len(intake.dose_U):
        return 0.0
    since = np.maximum(t - intake.dose_min, 0.0) / intake.dose_tau
    rate = intake.dose_F * intake.dose_U * since * np.exp(-since) / intake.dose_tau
    return PMOL_PER_U * rate.sum(axis=0) / BW


def run(
    p: Body,
    intake: Intake,
    start_min: int,
    end_min: int,
    sensitivity: tuple[Floats, Floats] | None = None,
    keep: tuple[str, ...] = (),
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Glucose and interstitial glucose, mg/dL, every OUT_MIN from minute max(start, 0) to end, (time, column).

    Columns start fasting. sensitivity : factor before and after the night of minutes -240 to 0, over which it moves
    in a line. keep : states returned as well, at the same times.
    """
    columns = p.BW.shape[0]
    before, after = sensitivity if sensitivity is not None else (np.ones(columns), np.ones(columns))

    def factor(t: float) -> Floats:
        return before + (after - before) * min(max((t + 240.0) / 240.0, 0.0), 1.0)

    feeding = np.zeros((end_min - start_min + 1, columns))
    begins: dict[int, list[tuple[Floats, Floats]]] = {}
    each = np.arange(columns)
    for minute, mg in zip(intake.meal_min, intake.meal_mg, strict=True):
        first = np.round(minute).astype(int) - start_min
        real = (mg > 0.0) & (first >= 0) & (first < end_min - start_min)
        for k in range(int(intake.eating_min)):
            at = np.minimum(first + k, end_min - start_min)
            np.add.at(feeding, (at[real], each[real]), mg[real] / intake.eating_min)
        for step in np.unique(first[real]):
            here = each[real & (first == step)]
            begins.setdefault(int(step), []).append((here, mg[here]))
    y = fasting_state(p, factor(float(start_min)))
    load = np.full(columns, LEAST_LOAD_MG)
    work = np.empty((4, *y.shape))
    glucose, tissue = [], []
    kept: dict[str, list[Floats]] = {name: [] for name in keep}

    def note(t: int) -> None:
        if t >= 0 and t % OUT_MIN == 0:
            glucose.append(y[3] / p.VG)
            tissue.append(y[12].copy())
            for name in keep:
                kept[name].append(y[STATES.index(name)].copy())

    note(start_min)
    u0 = absorbed_insulin(intake, p.BW, float(start_min))
    for step in range(end_min - start_min):
        t = start_min + step
        for here, mg in begins.get(step, ()):
            load[here] = np.maximum(y[0, here] + y[1, here] + mg, LEAST_LOAD_MG)
        u1, u2 = (absorbed_insulin(intake, p.BW, t + x) for x in (0.5, 1.0))
        at = tuple(Drive(feeding[step], load, u, factor(t + x)) for u, x in ((u0, 0.0), (u1, 0.5), (u2, 1.0)))
        rk4(p, y, STEP_MIN, at, work)  # type: ignore[arg-type]
        u0 = u2
        note(t + 1)
    return np.stack(glucose), np.stack(tissue), {name: np.stack(v) for name, v in kept.items()}
