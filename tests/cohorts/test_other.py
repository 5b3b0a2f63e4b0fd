"""Women of the other generator: reproducible, in scope, encoded, with truth; its devices; what it refuses."""

from dataclasses import fields, replace

import jax
import numpy as np
import pandas as pd
import pytest

from cohorts.synthetic import (
    DESIGNS,
    MetforminPlan,
    SmbgPlan,
    simulate_other,
    simulated_resources,
    titration,
    woman_key,
)
from cohorts.synthetic.other import GENERATOR_ID, errors
from cohorts.synthetic.other import fetus as other_fetus
from cohorts.synthetic.other.women import begin
from cohorts.synthetic.simulate import _begin
from twin.encode import encode
from twin.errors import TwinError, UnusableInput
from twin.inference.priors import load_prior
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK
from twin.record import COLUMNS, PregnancyFacts, scope_gate
from twin.settings import SiteSettings

SEED = 21
SENSOR = DESIGNS["sensor"]


@pytest.fixture(scope="module")
def women():
    return list(simulate_other(SEED, 3, SENSOR))


def same_content(a, b):
    for name in COLUMNS:
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    for f in fields(PregnancyFacts):
        assert getattr(a.facts, f.name) == getattr(b.facts, f.name), f.name


def test_records_are_complete_in_scope_and_encoded(women):
    for record, truth in women:
        assert record.issues == ()
        assert set(record.glucose["kind"]) == {"smbg", "ogtt", "cgm"}
        assert record.biometry["scan"].nunique() == 3 and len(record.meals) > 40
        assert record.glucose["gestational_day"].max() < truth.as_of_day + 0.5 < truth.delivery_day
        scope = scope_gate(record, float(truth.as_of_day), SiteSettings())
        assert scope.status != "refused" or record.glucose["value_mg_dl"].max() >= 126
        data = encode(record, float(truth.as_of_day), standard=truth.standard)
        assert int(data.cgm.mask.any(axis=1).sum()) == 10 and not bool(
            np.asarray(data.cgm.usual_meals)[:10].any()
        )
        assert int(data.scans.mask.sum()) == 12 and int(data.ogtt.mask.sum()) == 3
        assert load_prior().size(data) > 20


def test_truth_is_complete_and_apart(women):
    for record, truth in women:
        assert truth.prior_id == GENERATOR_ID and truth.z == {}
        row = truth.row()
        assert np.isfinite([v for v in row.values() if isinstance(v, float)]).all()
        assert 1500 < truth.birth_weight_g < 6500
        assert abs(np.log(truth.birth_weight_g / truth.latent_weight_at_birth_g)) < 0.1
        assert (np.diff(truth.fetal_weight_g) > 0).all()
        week = truth.delivery_day / 7.0
        weeks = FIRST_WEEK + np.arange(len(truth.fetal_weight_g))
        between = np.exp(np.interp(week, weeks, np.log(truth.fetal_weight_g)))
        assert between == pytest.approx(truth.latent_weight_at_birth_g, rel=0.01)
        last = truth.parameters["mean_glucose_last_week_mg_dl"]
        usual = truth.mean_glucose_mg_dl[truth.as_of_day // 7 - 1 - GLUCOSE_FROM_WEEK]
        assert last == pytest.approx(usual, rel=0.12)  # lived days against the habitual one
        assert "S_I" not in truth.parameters  # no counterpart here
        text = str(list(simulated_resources(record)))
        for value in (truth.birth_weight_g, *truth.fetal_weight_g):
            assert f"{value:.8g}" not in text


def test_same_seed_same_women_whatever_their_number(women):
    again = list(simulate_other(jax.random.key(SEED), 2, SENSOR))
    for (a, ta), (b, tb) in zip(again, women[:2], strict=True):
        same_content(a, b)
        assert ta.delivery_day == tb.delivery_day and ta.gdm == tb.gdm
        assert ta.birth_weight_g == pytest.approx(tb.birth_weight_g, rel=1e-9)
        assert ta.mean_glucose_mg_dl == pytest.approx(tb.mean_glucose_mg_dl, rel=1e-9)
    assert women[0][1].birth_weight_g != women[1][1].birth_weight_g


def test_covariates_and_schedule_are_the_own_generators():
    """The same key under both: the same woman, tests and scans; finger pricks follow her own meals by the minute."""
    for i in range(5):
        key = woman_key(jax.random.key(SEED), i)
        other, own = begin(key, "x", SENSOR), _begin(key, "x", SENSOR)
        assert other.woman == own.plan.woman
        assert (other.plan.ogtt_day, other.plan.scan_days) == (own.plan.ogtt_day, own.plan.scan_days)
        assert (other.onset, other.birth) == (own.onset, own.birth)
        assert [(d, r) for d, _, r in other.plan.spots] == [(d, r) for d, _, r in own.plan.spots]
        for day, clock, relation in other.plan.spots[:40]:
            eaten = {m.slot: m.clock_min for m in other.day(day).meals}
            if relation == "fasting":
                assert clock < eaten[0]
            else:
                assert min(abs(clock - t - 60.0) for t in eaten.values()) <= 25.0


def test_days_do_not_depend_on_what_is_measured():
    """A day is the same in every design, in whichever order days are looked at."""
    key = woman_key(jax.random.key(SEED), 0)
    a, b = begin(key, "x", SENSOR), begin(key, "x", DESIGNS["screened"])
    days = [240, 212, 250]
    assert [b.day(d) for d in days] == [a.day(d) for d in reversed(days)][::-1]
    assert a.traits == b.traits and np.array_equal(a.deviation, b.deviation)


def test_recorded_meals_err_as_the_evidence_says():
    """Carbohydrate CV 25 % and clock SD 15 min [MODEL 3.3]; 60 days of one woman, tolerances 5 standard errors."""
    h = begin(woman_key(jax.random.key(3), 0), "x", SENSOR)
    meals = [m for d in range(150, 290) for m in h.day(d).meals if m.recorded_g > 0 and m.grams > 15]
    ratio = np.log([m.recorded_g / m.grams for m in meals])
    shift = np.array([m.recorded_min - m.clock_min for m in meals])
    n = len(meals)
    assert np.std(ratio) == pytest.approx(0.246, abs=5 * 0.246 / np.sqrt(2 * n) + 0.01)
    assert np.std(shift) == pytest.approx(14.8, abs=5 * 15 / np.sqrt(2 * n))


def test_insulin_is_titrated_towards_its_aims(monkeypatch):
    """Two women treated whatever their test, two rounds: doses rise from the start week on and mean glucose falls
    against the same women without insulin. The record carries the doses."""
    monkeypatch.setattr(titration, "ROUNDS", 2)
    treated = replace(DESIGNS["demo-insulin"], if_gdm=False, cgm=None, smbg=SmbgPlan(33.0, 1.0))
    women = list(simulate_other(SEED, 2, treated))
    plain = list(simulate_other(SEED, 2, replace(treated, insulin=None)))
    given = [i for i, (r, t) in enumerate(women) if t.treated]
    assert given
    for i in given:
        record, truth = women[i]
        assert len(record.insulin) and record.insulin["gestational_day"].min() >= 7 * 29
        late = slice(30 - GLUCOSE_FROM_WEEK, None)
        fall = plain[i][1].mean_glucose_mg_dl[late] - truth.mean_glucose_mg_dl[late]
        assert (fall > 0).all()
        assert truth.mean_glucose_mg_dl[:8] == pytest.approx(plain[i][1].mean_glucose_mg_dl[:8], rel=1e-9)
        assert truth.latent_weight_at_birth_g / truth.delivery_day < 1.02 * (
            plain[i][1].latent_weight_at_birth_g / plain[i][1].delivery_day
        )


def test_what_is_not_modelled_is_refused():
    with pytest.raises(UnusableInput, match="walks"):
        next(simulate_other(1, 1, DESIGNS["demo-large"]))
    with pytest.raises(UnusableInput, match="metformin"):
        next(simulate_other(1, 1, replace(SENSOR, metformin=MetforminPlan(30.0, 1000.0, 2))))
    with pytest.raises(TwinError, match="hadlock1991"):
        next(simulate_other(1, 1, SENSOR, "nothing"))


def closed_form_sd(model):
    """Stationary SD of a second-order autoregression."""
    a, b, variance = model
    return np.sqrt(variance * (1.0 - b) / ((1.0 + b) * ((1.0 - b) ** 2 - a**2)))


@pytest.mark.parametrize("model", [errors.SENSOR_OWN, errors.SENSOR_COMMON])
def test_sensor_noise_is_the_published_process(model):
    """SD in closed form (about 5.1 and 6.1 mg/dL) and lag-1 correlation a/(1-b); 40 000 steps, 5 %."""
    x = errors.autoregression(np.random.default_rng(1), model, 40_000)
    assert np.std(x) == pytest.approx(closed_form_sd(model), rel=0.05)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(model[0] / (1.0 - model[1]), abs=0.01)


def test_sensors_miss_by_as_much_as_in_pregnancy():
    """Mean absolute relative difference of 200 sensors at 70 to 150 mg/dL: 7 to 13 % (10.3 % in pregnancy, 8.7 % on
    the arm [A-CGM-01])."""
    tissue = 105.0 + 35.0 * np.sin(np.arange(2880) / 40.0)
    off = []
    for i in range(200):
        minutes, value = errors.sensor_values(np.random.default_rng([5, i]), tissue)
        assert minutes[0] >= 360.0
        off.append(np.mean(np.abs(value / tissue[(minutes / 5.0).astype(int)] - 1.0)))
    assert 0.07 < np.mean(off) < 0.13


def test_meter_and_scan_errors_have_the_evidences_size_and_heavier_tails():
    rng = np.random.default_rng(2)
    z = (errors.meter_values(rng, np.full(40_000, 120.0)) - 120.0) / 6.0
    assert np.std(z[np.abs(z) < 4.0]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(z) > 4.0) > 10 * 6.3e-5
    e = np.stack([errors.scan_errors(rng, 3, 25.0) for _ in range(8000)])
    for i, q in enumerate(other_fetus.MEASURES):
        assert errors.SCAN_LN_SD[q] < e[:, 0, i].std() < errors.BETWEEN_LN_SD[q], q
        assert np.corrcoef(e[:, 0, i], e[:, 1, i])[0, 1] > 0.1
    z = e[:, 0] / e[:, 0].std(axis=0)
    assert np.mean(np.abs(z) > 4.0) > 5 * 6.3e-5
