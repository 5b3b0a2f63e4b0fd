"""The packaged learnt prior: whole, the default, and what its own log says of it, simulated again."""

import json
import subprocess
import sys
from importlib import resources

import jax
import numpy as np
import pytest

from cohorts.evidence.rules import load_rules
from cohorts.ladder.artefact import learnt_population
from cohorts.ladder.fit import errors
from cohorts.ladder.steps import TOGETHER
from twin.inference.priors import DEFAULT_PRIOR, START_PRIOR, load_prior


@pytest.fixture(scope="module")
def told():
    return json.loads((resources.files("twin.inference") / "data" / f"{DEFAULT_PRIOR}.json").read_text())


@pytest.fixture(autouse=True)
def ranks_may_differ():
    with jax.numpy_rank_promotion("allow"):
        yield


def test_the_default_is_the_learnt_one_and_its_log_is_of_it(told):
    prior = load_prior()
    assert told["id"] == prior.id == DEFAULT_PRIOR and told["sha256"] == prior.sha256
    assert told["made_of"][START_PRIOR] == load_prior(START_PRIOR).sha256
    learnt = told["rungs"]["all together"]["numbers"]
    for x in prior.latents:
        if f"center.{x.name}" in learnt:
            assert x.center == pytest.approx(learnt[f"center.{x.name}"], rel=1e-4)
    assert len(told["rungs"]["all together"]["draws"]) >= 100
    assert learnt_population().numbers == told["beside"]


def test_no_race_and_no_ethnicity():
    text = (resources.files("twin.inference") / "data" / f"{DEFAULT_PRIOR}.toml").read_text().lower()
    names = {v.name for v in load_prior().covariates}
    assert {"age", "bmi", "height", "parous", "male", "smoking", "hypertension"} <= names
    assert (
        not any(word in name for name in names for word in ("race", "ethnic"))
        and "[covariate.race" not in text
    )


def test_the_log_is_found_again_by_the_same_women(told):
    """One design of the last rung, simulated as in the fit: the same residuals but for rounding (0.1 of a standard
    error, which is a quarter of a band)."""
    design = next(d for d in TOGETHER.designs if d.name == "course")
    found = design.statistics(design.simulate(learnt_population(), design.women))
    stored, rules = told["rungs"]["all together"]["residual"], load_rules()
    rows = [row for row in found if row in stored]
    assert len(rows) > 20
    for row in rows:
        again = (np.array(found[row]) - np.array(rules[row].published)) / errors(rules[row])
        np.testing.assert_allclose(again, stored[row], atol=0.1, err_msg=row)


SMALL = """
import json
from scenarios.cli import start_engine
start_engine()
from cohorts.evidence.designs import course
from cohorts.evidence.run import Design
from cohorts.ladder.steps import Rung, climb
from twin.inference.priors import START_PRIOR, load_prior
design = Design("course", course.simulate, course.statistics, 2048)
small = Rung("small", ("center.d_SI", "constant.production_rise"), (design,))
twice = [climb(load_prior(START_PRIOR), ladder=(small,)) for _ in range(2)]
print(json.dumps([[c.numbers, c.fits["small"].history] for c in twice]))
"""


def test_a_small_climb_is_the_same_every_time():
    """Two numbers by one design with few women, in a process of its own as `make prior` has it: the fit goes down,
    twice alike."""
    done = subprocess.run([sys.executable, "-c", SMALL], capture_output=True, text=True, check=True)
    (numbers, history), again = json.loads(done.stdout)
    assert [numbers, history] == again
    assert history[-1] < 0.9 * history[0] and numbers["constant.production_rise"] < 0.25
