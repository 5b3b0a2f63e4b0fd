"""Directions of P(> 4000 g) over random women: 200 of the prior, each her own draw of the ensemble."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.one_woman import FORECAST_DRAWS, POSTERIOR_DRAWS
from twin.forecast import run
from twin.risk.outcomes import exceeds


@pytest.fixture(scope="module")
def anyone(one_posterior):
    """The same arrays with draws of the prior: every draw is another woman."""
    z = np.asarray(jax.random.normal(jax.random.key(31), (one_posterior.z.shape[0], POSTERIOR_DRAWS)))
    return dataclasses.replace(one_posterior, z=z, weights=np.full(POSTERIOR_DRAWS, 1.0 / POSTERIOR_DRAWS))


def p4000(forecast, scenario, day):
    weight = forecast.dataset["fetal_weight_g"].sel(scenario=scenario, gestational_day=day).values
    return exceeds(weight.astype(float), 4000.0)


@pytest.fixture(scope="module")
def eaten(anyone, one_record, one_plans):
    """Three amounts of carbohydrate from today on, no drug, nothing titrated."""
    base = one_plans[2]
    plans = [
        dataclasses.replace(
            base,
            name=f"x{factor}",
            pattern=dataclasses.replace(
                base.pattern, meals=tuple((t, factor * g) for t, g in base.pattern.meals)
            ),
        )
        for factor in (0.7, 1.0, 1.4)
    ]
    # a dose of nothing keeps the shape of the other forecasts
    plans[0] = dataclasses.replace(
        plans[0], pattern=dataclasses.replace(plans[0].pattern, doses=((1080.0, 0.0, "glargine"),))
    )
    return run(jax.random.key(32), anyone, one_record, plans, draws=FORECAST_DRAWS)


def test_more_carbohydrate_raises_the_risk_of_every_woman(eaten):
    low, middle, high = (p4000(eaten, f"x{f}", 273) for f in (0.7, 1.0, 1.4))
    assert (middle >= low).all() and (high >= middle).all()
    assert high.mean() - low.mean() > 0.01


def test_later_birth_raises_the_risk_of_every_woman(eaten):
    series = np.stack([p4000(eaten, "x1.0", day) for day in range(252, 294, 7)])
    assert (np.diff(series, axis=0) >= 0).all()
    assert series[-1].mean() - series[0].mean() > 0.2


def test_lower_insulin_sensitivity_raises_the_risk(eaten, anyone, one_record, one_plans):
    """One prior SD less sensitivity with the beta cell's own compensation undone half: glucose and risk rise in nearly
    every woman, and the mean rises."""
    prior = anyone.prior
    z = anyone.z.copy()
    z[prior.index["S_I"]] -= 1.0
    plans = [dataclasses.replace(one_plans[2], name=n) for n in ("x1.0", "b", "c")]
    plans[0] = dataclasses.replace(
        plans[0], pattern=dataclasses.replace(plans[0].pattern, doses=((1080.0, 0.0, "glargine"),))
    )
    less = run(jax.random.key(32), dataclasses.replace(anyone, z=z), one_record, plans, draws=FORECAST_DRAWS)
    before, after = p4000(eaten, "x1.0", 273), p4000(less, "x1.0", 273)
    assert (after >= before - 1e-9).mean() > 0.98
    assert after.mean() > before.mean()
    day = {"gestational_day": 260, "scenario": "x1.0"}
    rise = less.dataset["mean_glucose_mg_dl"].sel(day) - eaten.dataset["mean_glucose_mg_dl"].sel(day)
    assert (rise > 0).mean() > 0.98
