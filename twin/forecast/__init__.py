"""Posterior draws carried to birth under scenarios: a dataset with named dimensions."""

from twin.forecast.delivery import DeliveryPolicy, birth_days, week_day
from twin.forecast.ensemble import BIRTH_RESIDUAL_SD
from twin.forecast.glucose import sensor_day
from twin.forecast.plan import ScenarioPlan
from twin.forecast.profile import day_profile
from twin.forecast.run import Forecast, run

__all__ = [
    "BIRTH_RESIDUAL_SD",
    "DeliveryPolicy",
    "Forecast",
    "ScenarioPlan",
    "birth_days",
    "day_profile",
    "run",
    "sensor_day",
    "week_day",
]
