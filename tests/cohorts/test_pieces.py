"""Parts of the simulator without the physics: covariates, sensor noise, titration, diagnosis."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from cohorts.synthetic import DESIGNS, design_named, meets_iadpsg
from cohorts.synthetic import titration as titration_module
from cohorts.synthetic.readings import sensor_values, with_limits
from cohorts.synthetic.titration import AIM_1H, AIM_FASTING, titrate
from cohorts.synthetic.women import draw_woman
from twin.errors import UnusableInput
from twin.observation.residual import correlation


def test_iadpsg_one_value_is_enough():
    """Thresholds as printed: 92, 180, 153 mg/dL, reached counts [B-DX-01]."""
    assert not meets_iadpsg([91, 179, 152])
    for i, limit in enumerate((92, 180, 153)):
        values = [80, 130, 110]
        values[i] = limit
        assert meets_iadpsg(values)


def test_covariates_keep_the_designs_bounds():
    for name in ("demo-large", "demo-normal", "standard"):
        design = DESIGNS[name]
        women = [draw_woman(np.random.default_rng([7, i]), design) for i in range(300)]
        bmi = np.array([w.bmi for w in women])
        assert (bmi >= design.bmi[0]).all() and (bmi < design.bmi[1]).all()
        assert all(18 <= w.age_y <= 46 and 142 <= w.height_cm <= 190 and 0 <= w.parity <= 4 for w in women)


def test_shares_of_covariates():
    """Exact binomial, n = 2000: false-alarm rate 2e-4 each; sees a share off by 4 points with power > 0.8."""
    women = [draw_woman(np.random.default_rng([11, i]), DESIGNS["standard"]) for i in range(2000)]
    for hits, share in (
        (sum(w.parity == 0 for w in women), 0.342),
        (sum(w.fetal_sex == "male" for w in women), 0.512),
        (sum(w.smoking for w in women), 0.06),
    ):
        low, high = binom.ppf([1e-4, 1 - 1e-4], len(women), share)
        assert low <= hits <= high


def test_designs_share_women():
    """The same seed gives the same woman whatever is measured of her."""
    a, b = (draw_woman(np.random.default_rng(5), DESIGNS[d]) for d in ("standard", "sensor"))
    assert dataclasses.replace(a, weights=()) == dataclasses.replace(b, weights=())


def test_sensor_noise_has_the_error_models_correlation():
    """Correlation over 15 min within days and over a day, SD of ln as given, t_a of 12 min. 120 days; tolerances are 5
    standard errors, an hour's readings counted as one."""
    n = 120 * 96
    minutes, value = sensor_values(np.random.default_rng(3), np.full(n, 100.0), np.full(n, 0.1), 12.0)
    assert np.all(np.diff(minutes) >= 5.0) and minutes[0] == 360.0
    noise = np.log(value / 100.0) / 0.1
    at = np.full(n * 3, np.nan)
    at[np.round(minutes / 5.0).astype(int)] = noise
    days = at.reshape(120, 288)
    close = np.stack([days[:, :-3].ravel(), days[:, 3:].ravel()])
    close = close[:, np.isfinite(close).all(axis=0)]
    effective = 120 * 24
    assert abs(np.std(noise) - 1.0) < 5.0 / np.sqrt(2.0 * effective) + 0.02
    rho = correlation(np.array(15.0), 12.0)
    assert abs(np.corrcoef(close)[0, 1] - rho) < 5.0 * (1.0 - rho**2) / np.sqrt(effective)
    far = np.stack([days[:-1].ravel(), days[1:].ravel()])
    far = far[:, np.isfinite(far).all(axis=0)]
    assert abs(np.corrcoef(far)[0, 1]) < 5.0 / np.sqrt(effective)


def test_device_limits_become_censored_readings():
    assert with_limits({}, 33.2, (40.0, 400.0)) == {"value_mg_dl": 40.0, "censor": "low"}
    assert with_limits({}, 512.0, (40.0, 400.0)) == {"value_mg_dl": 400.0, "censor": "high"}
    assert with_limits({}, 97.6, (40.0, 400.0)) == {"value_mg_dl": 98.0}


def test_titration_finds_the_dose_of_a_linear_woman(monkeypatch):
    """Oracle in closed form: glucose falls by a fixed amount per unit, so the dose at the aim is known."""
    base = np.array([104.0, 150.0, 140.0, 100.0])  # fasting, after three meals; the last is below its aim
    per_unit = np.array([1.2, 1.5, 2.0, 1.0])

    def run(units):
        order = units[[3, 0, 1, 2]]
        levels = base[:, None, None] - per_unit[:, None, None] * order
        return np.concatenate([levels, np.full((1, *units.shape[1:]), 70.0)])

    monkeypatch.setattr(titration_module, "with_doses", lambda data, units: units)
    monkeypatch.setattr(titration_module, "ROUNDS", 80)
    data = SimpleNamespace(plan=SimpleNamespace(weight_kg=np.zeros((24, 2))))
    doses = titrate(run, data, 29.0)
    assert doses[0] is not None and doses[0] == doses[1]
    wanted = ((150 - AIM_1H) / 1.5, (140 - AIM_1H) / 2.0, 0.0, (104 - AIM_FASTING) / 1.2)
    assert min(doses[0].by_week) == 29
    for week, given in doses[0].by_week.items():
        share = 0.5 if week == 29 else 1.0
        assert np.allclose(given, share * np.array(wanted), atol=1.0), week


def test_unknown_design_names_the_known_ones():
    with pytest.raises(UnusableInput, match="standard"):
        design_named("nothing")
