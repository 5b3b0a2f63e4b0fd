"""posterior.nc and the named parameters."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.stats import binom

from twin.errors import UnusableInput
from twin.inference.arviz_gate import read_posterior, rhat_and_ess, write_posterior
from twin.inference.calibrate import load_posterior, named_parameters, save_posterior, shape_of
from twin.inference.priors import DEFAULT_PRIOR, shifts
from twin.inference.psis import pareto_smooth


@pytest.fixture(scope="module")
def groups(tmp_path_factory, one_posterior):
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    save_posterior(one_posterior, path)
    return read_posterior(path)


def test_groups_and_draws_come_back(groups, one_posterior):
    kinds = {"posterior", "sample_stats", "observed_data", "posterior_predictive", "constant_data"}
    assert set(groups) == kinds
    np.testing.assert_array_equal(groups["posterior"]["z"].values[0].T, one_posterior.z)
    np.testing.assert_array_equal(groups["sample_stats"]["weight"].values[0], one_posterior.weights)
    np.testing.assert_array_equal(groups["sample_stats"]["lp"].values[0], one_posterior.evaluation.log_joint)
    attrs = groups["posterior"].attrs
    assert attrs["posterior_id"] == one_posterior.id and attrs["prior_id"] == DEFAULT_PRIOR
    assert list(groups["posterior"]["latent"].values) == one_posterior.prior.names(one_posterior.data)


def test_arviz_reads_the_file(tmp_path, one_posterior):
    import arviz as az

    save_posterior(one_posterior, tmp_path / "p.nc")
    found = az.from_netcdf(tmp_path / "p.nc")
    assert found["posterior"]["S_I"].shape == (1, one_posterior.z.shape[1])


@pytest.mark.parametrize("learnt", [True, False])
def test_a_stored_posterior_comes_back_bit_by_bit(tmp_path, one_posterior, learnt):
    """Every array of the data and their shapes (some are empty), the draws and what a forecast or an update needs."""
    stored = one_posterior if learnt else dataclasses.replace(one_posterior, shape=None)
    save_posterior(stored, tmp_path / "p.nc")
    got = load_posterior(tmp_path / "p.nc")
    leaves, tree = jax.tree.flatten(stored.data)
    again, same_tree = jax.tree.flatten(got.data)
    assert tree == same_tree and shape_of(got.data) == shape_of(stored.data)
    assert any(np.size(x) == 0 for x in leaves)
    for a, b in zip(leaves, again, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
    np.testing.assert_array_equal(got.z, stored.z)
    np.testing.assert_array_equal(got.weights, stored.weights)
    for name in ("prior", "calibration", "as_of_day", "standard", "patient", "id"):
        assert getattr(got, name) == getattr(stored, name), name
    assert (got.shape is None) == (not learnt)
    for a, b in zip(stored.shape or (), got.shape or (), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def altered(tmp_path, groups):
    """The stored posterior with other attributes."""

    def write(**attrs):
        path = tmp_path / "other.nc"
        other = groups["posterior"].assign_attrs(attrs)
        write_posterior(path, groups | {"posterior": other})
        return path

    return write


@pytest.mark.parametrize(
    "attrs, code, word",
    [
        ({"code_version": "0.0.1"}, "other-version", "version 0.0.1"),
        ({"schema": "gdm-twin/posterior/0"}, "other-version", "posterior/0"),
        ({"prior_id": "mine"}, "other-prior", "'mine'"),
        ({"prior_sha256": "0123"}, "other-prior", "0123"),
    ],
)
def test_another_version_or_prior_is_refused(altered, attrs, code, word):
    with pytest.raises(UnusableInput, match=word) as why:
        load_posterior(altered(**attrs))
    assert why.value.code == code


def test_other_latents_are_refused(tmp_path, groups):
    names = groups["posterior"]["latent"].values.copy()
    names[[0, 1]] = names[[1, 0]]
    write_posterior(
        tmp_path / "o.nc", groups | {"posterior": groups["posterior"].assign_coords(latent=names)}
    )
    with pytest.raises(UnusableInput, match="other latents"):
        load_posterior(tmp_path / "o.nc")


def test_a_file_that_is_no_posterior_is_refused(tmp_path, groups):
    older = {n: g for n, g in groups.items() if n != "constant_data"}
    write_posterior(tmp_path / "older.nc", older)
    (tmp_path / "text.nc").write_text("not a netCDF file")
    for name in ("older.nc", "text.nc", "absent.nc"):
        with pytest.raises(UnusableInput, match=name) as why:
            load_posterior(tmp_path / name)
        assert why.value.code == "not-a-posterior"


def test_observed_data_are_the_readings_used(groups, one_record):
    smbg = one_record.glucose[one_record.glucose["kind"] == "smbg"]["value_mg_dl"].to_numpy()
    np.testing.assert_allclose(groups["observed_data"]["spot_glucose"].values, smbg)
    measured = one_record.biometry["value"].to_numpy()
    np.testing.assert_allclose(groups["observed_data"]["biometry"].values, measured)


def test_predictive_covers_the_readings(groups, one_posterior):
    """90 % predictive interval of each of 60 finger pricks; they inform the posterior, so coverage is at least
    nominal. Binomial lower limit at 1e-5 of 60 at 0.9; power above 0.95 if the scale is half of what it should be."""
    drawn = groups["posterior_predictive"]["spot_glucose"].values[0]
    observed = groups["observed_data"]["spot_glucose"].values
    chosen = drawn[np.random.default_rng(0).choice(len(drawn), 1000, p=one_posterior.weights)]
    low, high = np.quantile(chosen, [0.05, 0.95], axis=0)
    inside = int(((observed >= low) & (observed <= high)).sum())
    assert inside >= binom.ppf(1e-5, len(observed), 0.9)


def test_named_parameters_are_in_their_own_units(one_posterior):
    named = named_parameters(one_posterior)
    assert all(v.shape == (one_posterior.z.shape[1],) and np.isfinite(v).all() for v in named.values())
    index = one_posterior.prior.index["S_I"]
    latent = one_posterior.prior.latents[index]
    shift = float(shifts(one_posterior.prior, one_posterior.data)["S_I"])
    np.testing.assert_allclose(
        named["S_I"], latent.center * np.exp(shift + latent.sd * one_posterior.z[index]), rtol=1e-10
    )
    assert (named["d_SI"] > 0.30).all() and (named["d_SI"] < 0.75).all()


@pytest.mark.parametrize("n", [60, 500, 4000])
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0, 2.0, 4.0])
def test_smoothing_is_arviz_own(n, spread):
    import arviz as az

    log_w = spread * np.random.default_rng(n).standard_normal(n)
    theirs, k = az.psislw(log_w.copy())
    ours, mine = pareto_smooth(log_w)
    assert mine == pytest.approx(float(k), abs=1e-9)
    np.testing.assert_allclose(ours - np.log(np.exp(ours).sum()), theirs, atol=1e-9)


def test_smoothing_without_a_tail():
    """Equal weights have no tail, impossible draws no weight; nothing becomes NaN."""
    same, k = pareto_smooth(np.zeros(500))
    assert np.isinf(k) and (same == 0).all()
    log_w = np.random.default_rng(0).standard_normal(500)
    log_w[::3] = -np.inf
    smoothed, k = pareto_smooth(log_w)
    assert np.isfinite(smoothed).all() and np.exp(smoothed[::3]).max() == 0.0 and np.isfinite(k)


def test_pareto_k_of_known_tails():
    """ln w = E / a with E exponential: w is Pareto with k = 1 / a. 4000 draws; the estimate's SD is about 0.06 (the
    prior of the estimator pulls by less), bounds at 5 SD: false-alarm rate 1e-6."""
    rng = np.random.default_rng(5)
    for k in (0.3, 0.9):
        _, got = pareto_smooth(k * rng.exponential(size=4000))
        assert got == pytest.approx(k, abs=0.3)


def test_rhat_and_ess_of_known_chains():
    """Independent draws: R-hat near 1, ESS near the number of draws. Chains with different means: R-hat large."""
    rng = np.random.default_rng(6)
    good = rng.standard_normal((4, 500))
    rhat, bulk, tail = rhat_and_ess({"good": good, "bad": good + np.arange(4)[:, None]})
    assert rhat["good"] < 1.02 and rhat["bad"] > 1.5
    assert 1200 < bulk["good"] < 3000 and tail["good"] > 1000 and bulk["bad"] < 20
