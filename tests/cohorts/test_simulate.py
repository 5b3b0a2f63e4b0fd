"""Simulated women: reproducible, readable as FHIR, truth apart, readings as the inference model expects them."""

import json
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest, t

from cohorts.synthetic import (
    DESIGNS,
    simulate_cohort,
    simulate_woman,
    simulated_resources,
    woman_key,
    write_simulated,
    write_truth,
)
from twin.encode import encode
from twin.fhir import read_source
from twin.inference.model import predict
from twin.inference.priors import n_deviations
from twin.record import COLUMNS, PregnancyFacts, scope_gate
from twin.settings import SiteSettings


def same_content(a, b):
    for name in COLUMNS:
        left, right = (getattr(r, name).drop(columns="source") for r in (a, b))
        keys = list(left.columns)
        left, right = (x.sort_values(keys, kind="stable", ignore_index=True) for x in (left, right))
        pd.testing.assert_frame_equal(left, right)
    for f in fields(PregnancyFacts):
        assert getattr(a.facts, f.name) == getattr(b.facts, f.name), f.name


def test_records_are_complete_and_in_scope(standard_women):
    for record, truth in standard_women:
        assert record.issues == ()
        assert set(record.glucose["kind"]) == {"smbg", "ogtt"}
        assert record.biometry["scan"].nunique() == 3
        assert record.glucose["gestational_day"].max() < truth.as_of_day + 0.5 < truth.delivery_day
        assert record.facts.delivery_day is None and record.facts.birth_weight_g is None
        scope = scope_gate(record, float(truth.as_of_day), SiteSettings())
        assert scope.status != "refused" or record.glucose["value_mg_dl"].max() >= 126


def test_truth_is_finite(standard_women):
    for _, truth in standard_women:
        numbers = [v for v in truth.row().values() if isinstance(v, float)]
        assert len(numbers) > 100 and np.isfinite(numbers).all()
        assert 1500 < truth.birth_weight_g < 6500
        assert (np.diff(truth.fetal_weight_g) > 0).all()


def test_fhir_reads_back_the_same_and_says_simulated(tmp_path, standard_women):
    records = [r for r, _ in standard_women]
    write_simulated(records, tmp_path / "women.ndjson.gz")
    result = read_source(tmp_path / "women.ndjson.gz")
    assert not result.issues and not result.quarantined
    assert [r.pseudonym for r in result.records] == [r.pseudonym for r in records]
    for back, record in zip(result.records, records, strict=True):
        same_content(back, record)
        assert not [i for i in back.issues if i.severity == "rejected"]
    for resource in simulated_resources(records[0]):
        assert "simulated" in {tag["code"] for tag in resource["meta"]["tag"]}


def test_truth_is_not_in_the_records(tmp_path, standard_women):
    """No latent, parameter or outcome appears, by name or by value (6 digits)."""
    for record, truth in standard_women:
        text = "\n".join(json.dumps(r) for r in simulated_resources(record))
        for word in ("birth_weight", "S_I", "z_", "delivery"):
            assert word not in text
        for value in [truth.birth_weight_g, *truth.z.values(), *truth.fetal_weight_g]:
            assert f"{value:.6g}" not in text
    path = tmp_path / "truth.parquet"
    assert write_truth((t for _, t in standard_women), path) == 4
    table = pd.read_parquet(path)
    assert list(table["pseudonym"]) == [r.pseudonym for r, _ in standard_women]


def test_same_seed_same_women_whatever_their_number(prior, everyone, standard_women):
    again = list(simulate_cohort(jax.random.key(12), 2, everyone, prior))
    for (a, ta), (b, tb) in zip(again, standard_women[:2], strict=True):
        same_content(a, b)
        assert ta.z == tb.z and ta.delivery_day == tb.delivery_day
        assert ta.birth_weight_g == pytest.approx(tb.birth_weight_g, rel=1e-9)
    other = next(simulate_cohort(jax.random.key(13), 2, everyone, prior))
    assert other[1].z != standard_women[0][1].z


@pytest.mark.slow
def test_a_woman_alone_is_the_woman_in_her_cohort(prior, everyone, standard_women):
    """Another program width: the same readings, truth to rounding of the sums."""
    key = woman_key(jax.random.key(12), 3)
    record, truth = simulate_woman(key, everyone, prior, pseudonym="sim-000003")
    same_content(record, standard_women[3][0])
    assert truth.birth_weight_g == pytest.approx(standard_women[3][1].birth_weight_g, rel=1e-9)


@pytest.fixture(scope="module")
def residuals(prior, standard_women):
    """Standardised residuals of each kind of reading, by inference's own path, at the true latents."""
    found = {"spot_glucose": [], "ogtt": [], "biometry": []}
    run = jax.jit(predict, static_argnums=0)
    for record, truth in standard_women[:3]:
        data = encode(record, float(truth.as_of_day), standard=truth.standard)
        n_xi = n_deviations(data)
        z = [
            v
            for name, v in truth.z.items()
            if not name.startswith("xi_") or int(name.removeprefix("xi_")) < n_xi
        ]
        blocks = run(prior, data, jnp.asarray(z)).blocks
        for name, values in found.items():
            b = blocks[name]
            values.append(np.asarray((b.value - b.loc) / b.scale)[np.asarray(b.mask)])
    return {name: np.concatenate(values) for name, values in found.items()}


def test_readings_scatter_as_inference_expects(residuals):
    """Kolmogorov-Smirnov of about 540 finger pricks against Student t (4 df): false-alarm rate 1e-4; sees a
    scale wrong by 25 % with power above 0.9. Rounding to 1 mg/dL is a tenth of the scale."""
    r = residuals["spot_glucose"]
    assert len(r) > 450
    assert kstest(r, t(4).cdf).pvalue > 1e-4


def test_tests_and_scans_scatter_as_inference_expects(residuals):
    """Share within one scale, exact binomial with false-alarm rate 1e-4: 9 laboratory values and 36 measures."""
    for name, chance in (("ogtt", 0.683), ("biometry", 2 * t(6).cdf(1 / 0.9) - 1)):
        r = residuals[name]
        low, high = binom.ppf([5e-5, 1 - 5e-5], len(r), chance)
        assert low <= (np.abs(r) < 1).sum() <= high
        assert np.abs(r).max() < 9


@pytest.mark.slow
def test_cohort_looks_like_pregnant_women(prior):
    """Orientation only, n = 256 of the prior. HAPO 75 g means 80.9/134.1/111.0, SDs 6.9/30.9/23.5 mg/dL
    [A-OGTT-01..03]; births 3300-3500 g, SD 480-560. Bounds: means of the test +- 10 %, its SDs -50 to +65 %
    (fasting is 1.4 times too wide), mean birth weight to 3800 g, SD to 700 g. The prior on the Hadlock standard
    is heavier and wider than births (500 women: 3.7 kg, SD 0.64 kg); these bounds catch gross faults only.
    """
    women = list(simulate_cohort(jax.random.key(5), 256, DESIGNS["screened"], prior))
    tests = np.array([r.glucose.sort_values("minutes_post_load")["value_mg_dl"] for r, _ in women])
    assert np.isfinite(tests).all()
    for values, mean, sd in zip(tests.T, (80.9, 134.1, 111.0), (6.9, 30.9, 23.5), strict=True):
        assert abs(values.mean() / mean - 1.0) < 0.10
        assert 0.5 < values.std() / sd < 1.65
    weight = np.array([truth.birth_weight_g for _, truth in women])
    assert 3150 < weight.mean() < 3800
    assert 430 < weight.std() < 700
