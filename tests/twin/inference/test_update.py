"""Updates of a stored posterior: equal to a fit of all data, by name, and refused where they would mislead."""

from dataclasses import replace
from datetime import timedelta

import jax
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, LMP, POSTERIOR_DRAWS, STANDARD, at, make_record
from twin.encode import encode
from twin.errors import UnusableInput
from twin.fhir import known_at
from twin.inference.calibrate import calibrate
from twin.inference.laplace import Shape
from twin.inference.priors import meal_shape
from twin.inference.update import carried, update, update_many

EARLIER = 215.0  # before her third scan and her last week of finger pricks; the same shapes
DRAWS = 3000


@pytest.fixture(scope="module")
def earlier(one_record):
    record = known_at(one_record, LMP + timedelta(days=int(EARLIER)))
    return calibrate(jax.random.key(31), record, as_of_day=EARLIER, standard=STANDARD, draws=DRAWS)


@pytest.fixture(scope="module")
def updated(earlier, one_record):
    return update(jax.random.key(32), earlier, one_record, as_of_day=AS_OF_DAY)


def moments(posterior):
    mean = posterior.z @ posterior.weights
    return mean, np.sqrt(((posterior.z - mean[:, None]) ** 2) @ posterior.weights)


def test_update_is_the_fit_of_all_data(earlier, updated, one_posterior):
    """Means of all latents within 5 SE of both (about 50 latents: false-alarm rate 3e-5). The power is shown by the
    posterior without the new readings, which the same comparison finds different."""
    assert updated.calibration.ok and updated.calibration.fallback in ("updated", "adapted")
    assert updated.as_of_day == AS_OF_DAY and updated.id != one_posterior.id

    def apart(a, b):
        (m1, s1), (m2, s2) = moments(a), moments(b)
        n1, n2 = (min(p.calibration.ess_min, p.z.shape[1]) for p in (a, b))
        return np.abs((m1 - m2) / np.sqrt(s1**2 / n1 + s2**2 / n2)).max()

    assert apart(updated, one_posterior) < 5.0
    assert apart(updated, earlier) > 5.0
    ratio = moments(updated)[1] / moments(one_posterior)[1]
    assert ratio.min() > 0.75 and ratio.max() < 1.33


def test_what_was_learnt_goes_by_name(earlier, one_record, prior):
    """Four weeks later the growth deviations are more and the test's latents stand elsewhere."""
    data = encode(one_record, AS_OF_DAY + 28.0, standard=STANDARD)
    old, new = prior.names(earlier.data), prior.names(data)
    assert len(new) > len(old) and old.index("test0_S_I") != new.index("test0_S_I")
    shape = carried(earlier, data)
    for name in new:
        i = new.index(name)
        want = [x[old.index(name)] for x in earlier.shape] if name in old else [0.0, 0.0, 1.0]
        assert [x[i] for x in shape] == want, name
    assert carried(replace(earlier, shape=None), data) is None


def test_what_was_learnt_of_a_meal_stays_with_its_day(earlier, prior):
    """Sensor days are counted from the newest; a new one comes before them, an unworn slot has learnt nothing."""

    def worn(days):
        meals = [
            at(d, c, carbohydrate_g=45.0, source=f"m{d}{c}")
            for d in days
            for c in ("08:00", "13:00", "19:00")
        ]
        sensor = [
            at(d, f"{h:02d}:{m:02d}", value_mg_dl=105.0, kind="cgm", source=f"c{d}{h}{m}")
            for d in days for h in range(24) for m in range(0, 60, 15)
        ]  # fmt: skip
        return encode(make_record({"meals": meals, "glucose": sensor}), AS_OF_DAY, standard=STANDARD)

    before, after = worn((220, 221)), worn((220, 221, 222))
    size, (meals, days) = prior.size(before), meal_shape(before)
    learnt = np.arange(size, dtype=float) + 1.0
    shape = carried(replace(earlier, data=before, shape=Shape(learnt, learnt, learnt)), after)
    old = learnt[prior.n_shared(before) :].reshape(meals, days)
    new = shape.mode[prior.n_shared(after) :].reshape(meal_shape(after))
    # newest first, and of the days before 221 the one that lies half in the day before (00:00 to 04:00)
    kept = int(np.asarray(before.cgm.mask).any(axis=1).sum())
    assert int(np.asarray(after.cgm.mask).any(axis=1).sum()) == kept + 1
    np.testing.assert_array_equal(new[:, 1 : 1 + kept], old[:, :kept])
    assert (new[:, 0] == 0.0).all()


def test_without_anything_new_the_draws_stand(one_posterior, one_record):
    later = update(jax.random.key(1), one_posterior, one_record, as_of_day=AS_OF_DAY + 0.25)
    assert later.as_of_day == AS_OF_DAY + 0.25 and later.calibration == one_posterior.calibration
    np.testing.assert_array_equal(later.z, one_posterior.z)
    np.testing.assert_array_equal(later.weights, one_posterior.weights)


def test_without_a_start_it_is_a_fit_and_says_so(earlier, one_record, one_posterior):
    few = replace(earlier, shape=None, z=earlier.z[:, :POSTERIOR_DRAWS])
    got = update(jax.random.key(5), few, one_record, as_of_day=AS_OF_DAY)
    np.testing.assert_allclose(got.z, one_posterior.z, atol=1e-3)  # weighed by another program
    assert got.calibration.fallback == "refit"


def test_another_woman_and_an_earlier_day_are_refused(one_posterior, one_record):
    with pytest.raises(UnusableInput, match="p-other") as why:
        update(jax.random.key(1), one_posterior, replace(make_record(), pseudonym="p-other"), as_of_day=224.0)
    assert why.value.code == "other-patient"
    with pytest.raises(UnusableInput, match="earlier day") as why:
        update(jax.random.key(1), one_posterior, one_record, as_of_day=AS_OF_DAY - 1.0)
    assert why.value.code == "earlier-than-posterior"


def test_posteriors_of_several_kinds_are_refused_together(one_posterior):
    other = replace(one_posterior, standard="who")
    keys = list(jax.random.split(jax.random.key(1)))
    with pytest.raises(UnusableInput, match="2 kinds") as why:
        update_many(keys, [one_posterior, other], [one_posterior.data] * 2, [AS_OF_DAY] * 2)
    assert why.value.code == "mixed-posteriors"


def test_an_unknown_method_is_refused(one_record):
    with pytest.raises(UnusableInput, match="'NUTS' is not known"):
        calibrate(jax.random.key(1), one_record, as_of_day=AS_OF_DAY, standard=STANDARD, method="NUTS")
