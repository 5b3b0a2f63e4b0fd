"""Weekly averaging against the pregnancy at minute resolution: 200 women, the same meals, six strategies.

`python -m tests.statistical.pregnancies --out FILE` does all of them and can be interrupted; here one part of ten
runs each day, all of them with GDM_TWIN_SLOW=all. Women are fixed, so nothing here fails by chance.
"""

import datetime
import os

import numpy as np
import pytest

from tests.statistical import pregnancies

WOMEN, SEED = 200, 5
PARTS = WOMEN // pregnancies.CHUNK


@pytest.mark.slow
def test_weekly_averaging_over_the_prior():
    women = pregnancies.draw_pregnancies(WOMEN, SEED)
    chosen = range(PARTS)
    if os.environ.get("GDM_TWIN_SLOW") != "all":
        chosen = [datetime.datetime.now(datetime.UTC).timetuple().tm_yday % PARTS]
    relative, shortfall = [], []
    for part in chosen:
        result = pregnancies.measure(women[part * pregnancies.CHUNK : (part + 1) * pregnancies.CHUNK])
        weekly, minute = result["usual"]
        for ours, exact in result.values():
            relative.append(np.abs(ours / exact - 1.0))
            shortfall.append(pregnancies.shortfall(ours - weekly, exact - minute))
    assert np.quantile(np.concatenate(relative), 0.99) <= 0.003
    assert np.max(np.concatenate(shortfall)) <= 1.0
