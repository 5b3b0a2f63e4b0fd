"""A second generator of pregnancies with other physics, to judge inference on women it was not made for."""

from cohorts.synthetic.other.simulate import GENERATOR_ID, simulate_other

__all__ = ["GENERATOR_ID", "simulate_other"]
