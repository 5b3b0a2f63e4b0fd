"""Forecasts of real sensor readings, scored against a person's own climatology and a ridge regression.

The people were not pregnant: three open sensor data sets with meals, read from the shelf beside the checkout. Each is
set into an invented pregnancy whose last recorded day is 28+0 weeks, so that the twin reads them as it reads a woman.
"""
