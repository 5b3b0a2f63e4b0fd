"""2 000 women of the prior, insulin included: the fast path by the project's error definition, in each of its uses.

`python -m tests.statistical.numerics --out FILE` does all of them and can be interrupted; here one part of eight
runs each day, all of them with GDM_TWIN_SLOW=all. Women are fixed, so nothing here fails by chance.
"""

import datetime
import os

import numpy as np
import pytest

from tests.reference.women import draw_women
from tests.statistical import numerics
from tests.statistical.bridge import matched_women

WOMEN, SEED = 2000, 1
PARTS = WOMEN // numerics.CHUNK


def parts_of_today():
    if os.environ.get("GDM_TWIN_SLOW") == "all":
        return range(PARTS)
    return [datetime.datetime.now(datetime.UTC).timetuple().tm_yday % PARTS]


@pytest.mark.slow
def test_error_of_the_fast_path_over_the_prior():
    women = matched_women(draw_women(WOMEN, SEED))
    worst = {use: [] for use in numerics.USES}
    for part in parts_of_today():
        some = women[part * numerics.CHUNK : (part + 1) * numerics.CHUNK]
        truth = numerics.run_reference(some)
        for use, found in worst.items():
            dtype, h, _ = numerics.USES[use]
            found.append(np.stack(numerics.errors(truth, numerics.run_fast(some, dtype, h), h)))
    for use, found in worst.items():
        errors = np.concatenate(found, axis=1)
        assert np.isfinite(errors).all()
        assert (np.quantile(errors, 0.99, axis=1) <= numerics.USES[use][2]).all(), use
        assert errors.max() <= numerics.LARGEST


def test_command_resumes_and_summarises(tmp_path, monkeypatch):
    """A second call does no work twice, a torn line is done again, and the numbers are those of one run."""
    monkeypatch.setattr(numerics, "code_version", lambda: "as tested")
    path = tmp_path / "runs" / "numerics.jsonl"
    first = numerics.measure(path, women=6, seed=3)
    lines = path.read_text().splitlines()
    assert len(lines) == len(numerics.USES)
    path.write_text(lines[0] + "\n" + lines[1][:40] + "\n")
    again = numerics.measure(path, women=6, seed=3)
    assert again == first
    assert len(path.read_text().splitlines()) == 1 + len(numerics.USES), "the torn line stays where it was"
    assert [row["use"] for row in first] == list(numerics.USES)
    assert all(row["women"] == 6 and row["G non-finite"] == 0 for row in first)
