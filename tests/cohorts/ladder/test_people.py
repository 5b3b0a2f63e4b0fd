"""What single people teach the start of the ladder, by hand."""

import math

import pytest

from cohorts.ladder.people import LEAST_INFORMED, POPULATION_SD, TAKEN, start_from
from twin.inference.priors import load_prior


def artefact(name, middle, se, sd, sd_se, informed=0.5, to_28=0.0):
    row = {
        "name": name,
        "middle": {"mean": middle, "se": se},
        "sd": {"mean": sd, "se": sd_se},
        "informed": informed,
        "to_28_weeks": to_28,
    }
    return {"latents": [row]}


def test_weighed_by_precision():
    prior = load_prior()
    x = prior.latents[prior.index["k_e"]]
    middle, se, to_28 = math.log(0.03), 0.05, 0.1
    found, moved = start_from(prior, [artefact("k_e", middle, se, 0.4, 0.04, to_28=to_28)])
    own = max(x.center_sd * x.sd, POPULATION_SD) ** -2
    theirs = 1.0 / (se**2 + POPULATION_SD**2)
    want = math.exp((own * math.log(x.center) + theirs * (middle + to_28)) / (own + theirs))
    after = found.latents[prior.index["k_e"]]
    assert after.center == pytest.approx(want)
    assert after.center_sd * after.sd == pytest.approx((own + theirs) ** -0.5)
    assert min(x.sd, 0.4) < after.sd < max(x.sd, 0.4)
    assert [m.name for m in moved] == ["k_e"]


def test_what_tests_say_little_of_is_left_alone():
    prior = load_prior()
    weak = artefact("k_e", 0.0, 0.1, 1.0, 0.1, informed=LEAST_INFORMED / 2.0)
    other = artefact("S_I", 0.0, 0.1, 1.0, 0.1)
    found, moved = start_from(prior, [weak, other])
    assert found.sha256 == prior.sha256 and moved == [] and "S_I" not in TAKEN
