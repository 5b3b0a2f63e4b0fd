"""Priors of the user's own: refused with what is wrong, before anything runs."""

import re
from importlib import resources

import pytest

from twin.errors import UnusableInput
from twin.inference.priors import DEFAULT_PRIOR, load_prior

PACKAGED = (resources.files("twin.inference") / "data" / f"{DEFAULT_PRIOR}.toml").read_text()


def without(name):
    return re.sub(rf"\[latent\.{name}\]\n(?:[^\[\n].*\n)*", "", PACKAGED)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id = ", "not readable"),
        (without("sensor_memory"), "sensor_memory (missing)"),
        (PACKAGED.replace("[latent.theta]", "[latent.thetta]"), "thetta (unknown)"),
        (PACKAGED.replace('transform = "ln"', 'transform = "log"', 1), "transform ln or linear"),
        (re.sub(r"\nsd = [0-9.]+", "\nsd = -1.0", PACKAGED, count=1), "sd > 0"),
    ],
)
def test_a_prior_that_cannot_be_used(tmp_path, text, told):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UnusableInput) as refused:
        load_prior(str(path))
    assert refused.value.code == "bad-prior" and told in str(refused.value)


def test_a_copy_of_the_packaged_prior_is_as_good(tmp_path):
    path = tmp_path / "copy.toml"
    path.write_text(PACKAGED)
    assert load_prior(str(path)).sha256 == load_prior().sha256
