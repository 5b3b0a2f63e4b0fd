"""Virtual women as arrays: the same women whatever their number, covariates as the encoder reads them."""

from datetime import date

import numpy as np
import pytest

from cohorts.population.women import BLOCK, EVERYONE, GAIN_WEEK, Who, draw
from cohorts.synthetic.skeleton import skeleton_record
from tests.cohorts.population.stated import stated
from twin.encode import COVARIATES, covariates, expected_gain_kg


def test_women_do_not_depend_on_their_number():
    few, many = next(draw(3, 50)), next(draw(3, 3 * BLOCK))
    for name in ("bmi", "z", "test_day", "onset", "male", "parity"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[..., :50])
    assert [len(w) for w in draw(3, BLOCK + 7)] == [BLOCK, 7]


def test_other_women_share_what_is_not_theirs():
    """A study's own bounds change who they are, not their physiology's numbers."""
    a, b = next(draw(5, 200)), next(draw(5, 200, Who(bmi=(30.0, 40.0))))
    np.testing.assert_array_equal(a.z, b.z)
    assert b.bmi.min() >= 30.0 and b.bmi.max() <= 40.0 and a.bmi.min() < 25.0


def test_distributions_are_as_stated():
    """Medians and shares of 100 000; each within 5 standard errors: false-alarm rate 1e-5 in all."""
    n = 100_000
    women = list(draw(1, n))
    bmi = np.concatenate([w.bmi for w in women])
    ln_mean, ln_sd = EVERYONE.ln_bmi
    inside = np.log(bmi[(bmi > 17.5) & (bmi < 45.0)])
    assert abs(np.median(np.log(bmi)) - ln_mean) < 5.0 * 1.2533 * ln_sd / np.sqrt(n) + 0.005  # cut at 17
    assert inside.std() < ln_sd
    for name, share in (("smoking", EVERYONE.smoking), ("hypertension", EVERYONE.hypertension)):
        found = np.concatenate([getattr(w, name) for w in women]).mean()
        assert abs(found - share) < 5.0 * np.sqrt(share * (1.0 - share) / n), name
    first = np.concatenate([w.parity == 0 for w in women]).mean()
    assert abs(first - EVERYONE.nulliparous) < 5.0 * np.sqrt(0.25 / n)
    z = np.concatenate([w.z[:5] for w in women], axis=1)
    np.testing.assert_allclose(np.cov(z), np.eye(5), atol=5.0 * np.sqrt(2.0 / n))


@pytest.mark.parametrize("i", [0, 7, 31])
def test_covariates_are_those_of_her_record(i):
    """The record of the same woman, through the encoder."""
    w = next(draw(11, 40))
    lmp = date(2025, 3, 1)
    kg = float(w.weight_kg(np.array([GAIN_WEEK]))[0, i])
    when = np.datetime64(lmp) + np.timedelta64(int(7 * GAIN_WEEK), "D")
    rows = {"weights": [{"time_local": when, "weight_kg": kg}]}
    record = skeleton_record("her", rows, stated(w, i, lmp))
    got = dict(zip(COVARIATES, covariates(record), strict=True))
    want = dict(zip(COVARIATES, w.covariates()[:, i], strict=True))
    assert got == pytest.approx(want, rel=1e-6, abs=1e-6)
    assert kg == pytest.approx(
        w.weight_pre_kg[i] + expected_gain_kg(np.array(GAIN_WEEK)) + w.extra_gain_kg[i] * GAIN_WEEK / 40.0
    )
