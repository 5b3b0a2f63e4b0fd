"""Devices of the other generator: heavier tails and other correlations than the error models of inference.

Sensor: the published G6 model, fast autoregressions and a drift over the sensor's life. Meter: its SD with outliers.
Laboratory: assay error. Ultrasound: an operator's offset that lasts over scans, and a heavy-tailed rest.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from cohorts.synthetic.other.fetus import MEASURES
from cohorts.synthetic.readings import GAP_MEAN_MIN, GAPS_PER_DAY, SENSOR_ON_MIN, SENSOR_STEP_MIN
from cohorts.synthetic.schedule import DAY_START_MIN

Floats = np.ndarray

#: per 5 min: two autoregressive coefficients and innovation variance, (mg/dL)^2 [A-CGM-03], [A-CGM-04]
SENSOR_OWN, SENSOR_COMMON = (1.220, -0.331, 3.641), (1.34, -0.492, 5.538)
#: gain and offset (mg/dL) as polynomials of days since insertion [A-CGM-05]
SENSOR_GAIN, SENSOR_OFFSET = (1.048, -0.033, 0.002), (-6.398, 6.179, -0.448)
SENSOR_GAIN_SD, SENSOR_OFFSET_SD = 0.05, 5.0  # between sensors [MODEL 1.5]
BURN_IN = 200  # steps until the autoregressions are stationary
METER_SD_MG_DL, METER_CV = 3.0, 0.05  # the larger of the two [MODEL 1.5; A-SMBG-03]
METER_OUTLIERS, METER_OUTLIER_TIMES, METER_DF = 0.02, 3.0, 4.0  # [MODEL 1.5]; three times the SD assumed
LABORATORY_CV = 0.02  # venous plasma [MODEL 1.5]
#: single measures by one observer, and between observers, ln SD [C-ERR-01..04]; BPD between observers assumed
SCAN_LN_SD = {"hc_mm": 0.011, "ac_mm": 0.019, "fl_mm": 0.024, "bpd_mm": 0.012}
BETWEEN_LN_SD = {"hc_mm": 0.018, "ac_mm": 0.032, "fl_mm": 0.040, "bpd_mm": 0.016}
OPERATOR_SHARE = (
    0.5  # of what observers differ by, that reaches the record (assumed: a department's training)
)
OPERATOR_R = 0.5  # assumed correlation of the offset from one scan of a woman to her next
SCAN_DF = 4.0
AC_PER_BMI, AC_FROM_BMI = 0.02, 30.0  # [MODEL 2.3, assumed]


def autoregression(rng: np.random.Generator, model: tuple[float, float, float], n: int) -> Floats:
    """n steps of a stationary second-order autoregression."""
    first, second, variance = model
    noise = np.sqrt(variance) * rng.standard_normal(n + BURN_IN)
    return lfilter([1.0], [1.0, -first, -second], noise)[BURN_IN:]


def sensor_values(rng: np.random.Generator, tissue: Floats) -> tuple[Floats, Floats]:
    """(minutes since the first 04:00, mg/dL) of a worn sensor from interstitial glucose every 5 min. Insertion and
    lost signal as in the own generator."""
    minutes = np.arange(tissue.size) * SENSOR_STEP_MIN
    on = SENSOR_ON_MIN - DAY_START_MIN
    day = np.maximum(minutes - on, 0.0) / 1440.0
    gain = np.polyval(SENSOR_GAIN[::-1], day) + SENSOR_GAIN_SD * rng.standard_normal()
    offset = np.polyval(SENSOR_OFFSET[::-1], day) + SENSOR_OFFSET_SD * rng.standard_normal()
    noise = sum(autoregression(rng, model, tissue.size) for model in (SENSOR_OWN, SENSOR_COMMON))
    value = gain * tissue + offset + noise
    worn = minutes >= on
    for _ in range(rng.poisson(GAPS_PER_DAY * tissue.size * SENSOR_STEP_MIN / 1440.0)):
        start, length = rng.uniform(0.0, minutes[-1]), rng.exponential(GAP_MEAN_MIN)
        worn &= (minutes < start) | (minutes > start + length)
    return minutes[worn], value[worn]


def meter_values(rng: np.random.Generator, glucose: Floats) -> Floats:
    """Finger-prick readings, mg/dL, of plasma glucose."""
    sd = np.maximum(METER_SD_MG_DL, METER_CV * glucose)
    usual = sd * rng.standard_normal(glucose.size)
    wild = METER_OUTLIER_TIMES * sd * rng.standard_t(METER_DF, glucose.size)
    return glucose + np.where(rng.uniform(size=glucose.size) < METER_OUTLIERS, wild, usual)


def laboratory_values(rng: np.random.Generator, glucose: Floats) -> Floats:
    return glucose * np.exp(LABORATORY_CV * rng.standard_normal(glucose.size))


def scan_errors(rng: np.random.Generator, scans: int, bmi: float) -> Floats:
    """Errors in ln, (scan, measure in the order of MEASURES)."""
    own = np.array([SCAN_LN_SD[q] for q in MEASURES])
    between = np.array([BETWEEN_LN_SD[q] for q in MEASURES])
    operator_sd = np.sqrt(OPERATOR_SHARE * (between**2 - own**2))
    offset = np.zeros((scans, len(MEASURES)))
    for i in range(scans):
        fresh = rng.standard_normal(len(MEASURES))
        offset[i] = fresh if i == 0 else OPERATOR_R * offset[i - 1] + np.sqrt(1.0 - OPERATOR_R**2) * fresh
    heavy = rng.standard_t(SCAN_DF, (scans, len(MEASURES))) * np.sqrt((SCAN_DF - 2.0) / SCAN_DF)
    error = operator_sd * offset + own * heavy
    error[:, MEASURES.index("ac_mm")] *= 1.0 + AC_PER_BMI * max(bmi - AC_FROM_BMI, 0.0)
    return error
