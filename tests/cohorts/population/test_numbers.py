"""Numbers of the prior by name: a step is what it says, and the prior takes them."""

import math

import pytest

from cohorts.population.numbers import BESIDE, LEAST_CENTER_SD, SD_LN_SD, scales, with_numbers
from twin.inference.priors import load_prior


def test_steps_by_hand():
    prior = load_prior()
    x = prior.latents[prior.index["S_I"]]
    center, sd, beside = scales(prior, ["center.S_I", "sd.S_I", "care.diet_gain_kg"])
    doubt = max(x.center_sd, LEAST_CENTER_SD) * x.sd
    assert center.at(1.0) == pytest.approx(x.center * math.exp(doubt))
    assert sd.at(-2.0) == pytest.approx(x.sd * math.exp(-2.0 * SD_LN_SD))
    value, step, ln = BESIDE["care.diet_gain_kg"]
    assert not ln and beside.at(2.0) == pytest.approx(value + 2.0 * step)


def test_unknown_names_are_refused():
    with pytest.raises(KeyError):
        scales(load_prior(), ["center.nothing"])


def test_the_prior_takes_them_and_keeps_the_rest():
    prior = load_prior()
    changed = with_numbers(
        prior, {"center.B": 3.0, "sd.theta": 0.5, "constant.coupling": -0.2, "effect.S_I.bmi": -0.1}
    )
    assert changed.latents[prior.index["B"]].center == 3.0
    assert changed.latents[prior.index["theta"]].sd == 0.5
    assert changed.constant["coupling"] == -0.2
    assert {(e.target, e.covariate): e.value for e in changed.effects}["S_I", "bmi"] == -0.1
    assert with_numbers(prior, {}).sha256 == prior.sha256
