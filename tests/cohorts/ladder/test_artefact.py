"""The learnt prior on disk is the prior."""

import dataclasses
import json

import numpy as np
import pytest

from cohorts.ladder.artefact import DRAWS, learnt_population, observed_rules, to_json, to_toml, write
from cohorts.ladder.fit import Fitted
from twin.errors import UnusableInput
from twin.inference.priors import load_prior


def test_toml_reads_back_the_same(tmp_path):
    prior = load_prior()
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(dataclasses.replace(prior, id="mine"), "says"), encoding="utf-8")
    again = load_prior(str(path))
    assert again.id == "mine" and [x.name for x in again.latents] == [x.name for x in prior.latents]
    for a, b in zip(again.latents, prior.latents, strict=True):
        np.testing.assert_allclose((a.center, a.sd, a.center_sd), (b.center, b.sd, b.center_sd), rtol=1e-5)
        assert a.evidence == b.evidence
    assert [(e.target, e.covariate) for e in again.effects] == [
        (e.target, e.covariate) for e in prior.effects
    ]


def test_own_draws_have_the_fit_s_covariance(tmp_path):
    """Of 100 draws; each entry within 5 standard errors of a covariance: false-alarm rate 1e-5."""
    covariance = np.array([[0.5, 0.2], [0.2, 0.3]])
    fit = Fitted(np.array([1.0, -1.0]), covariance, {"a": 1.0, "b": 2.0}, {"R": (0.1,)}, [1.0])
    write(
        load_prior(), {"rung": fit}, {"a": 1.0, "care.diet": 0.8}, tmp_path / "p", seed=3, made_of={"x": "y"}
    )
    told = json.loads((tmp_path / "p.json").read_text())
    draws = np.array(told["rungs"]["rung"]["draws"])
    assert draws.shape == (DRAWS, 2) and told["beside"] == {"care.diet": 0.8}
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / np.sqrt(DRAWS)
    assert (np.abs(np.cov(draws.T) - covariance) < 5.0 * scale).all()


def test_lists_of_numbers_stand_on_one_line():
    told = {
        "says": "of [MODEL 5],\n[1,\n 2]",
        "row": [0.1, -1e-20, None, True, float(np.pi)],
        "draws": [[1.0, 2.0], [3.0, 4.0]],
        "none": [],
        "names": ["a", "b"],
        "nested": [{"x": [1, 2]}, [[]]],
    }
    text = to_json(told)
    assert json.loads(text) == told
    assert (
        '"row": [0.1, -1e-20, null, true, 3.141592653589793]' in text
        and "\n  [1.0, 2.0],\n  [3.0, 4.0]\n" in text
    )


def test_draws_are_of_the_last_rung(tmp_path):
    fit = Fitted(np.array([1.0]), np.array([[0.5]]), {"a": 1.0}, {"R": (0.1,)}, [1.0])
    write(load_prior(), {"one": fit, "together": fit}, {}, tmp_path / "p", seed=3, made_of={})
    rungs = json.loads((tmp_path / "p.json").read_text())["rungs"]
    assert "draws" not in rungs["one"] and len(rungs["together"]["draws"]) == DRAWS


def test_a_log_of_another_prior_is_not_taken(tmp_path):
    path = tmp_path / "p.toml"
    prior = load_prior()
    fit = Fitted(np.array([1.0]), np.array([[0.5]]), {"a": 1.0}, {"R": (0.1,)}, [1.0])
    write(prior, {"rung": fit}, {"care.diet": 0.8}, tmp_path / "p", seed=3, made_of={})
    assert learnt_population(str(path)).numbers == {"care.diet": 0.8}
    path.write_text(path.read_text().replace(f"value = {prior.constants[0].value:.6g}", "value = 0.123", 1))
    load_prior.cache_clear()
    for read in (learnt_population, observed_rules):
        with pytest.raises(UnusableInput, match="says how prior") as why:
            read(str(path))
        assert why.value.code == "other-log" and load_prior(str(path)).sha256 in str(why.value)
    (tmp_path / "p.json").unlink()
    assert learnt_population(str(path)).numbers == {}
