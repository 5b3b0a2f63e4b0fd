"""Women in a stream: in order, one batch held, and each as when alone."""

import jax
import numpy as np

from tests.one_woman import AS_OF_DAY, FORECAST_DRAWS, STANDARD
from twin.inference import stream
from twin.inference.calibrate import calibrate_many
from twin.inference.stream import Entry, calibrate_stream


def entries(women):
    for i, data in enumerate(women):
        yield Entry(f"p-{i}", jax.random.key(i), data, AS_OF_DAY)


def test_a_batch_at_a_time_in_order(monkeypatch, prior, nothing):
    """No woman is read before the batch she is in is asked for; the last batch may be short."""
    monkeypatch.setattr(stream, "BATCH", 3)
    read = []

    def watched():
        for entry in entries([nothing] * 7):
            read.append(entry.patient)
            yield entry

    found = calibrate_stream(watched(), prior, STANDARD, draws=50)
    assert read == []
    names = []
    for i, posterior in enumerate(found):
        names.append(posterior.patient)
        assert len(read) == min(3 * (i // 3 + 1), 7)
    assert names == read == [f"p-{i}" for i in range(7)]


def test_alone_and_in_a_stream_the_probabilities_agree(prior, data, nothing, one_record, one_plans):
    """The contract's 0.005, for one woman between others; all else of her forecast is common."""
    from twin.forecast import run
    from twin.risk.outcomes import exceeds

    streamed = list(calibrate_stream(entries([nothing, data, data]), prior, STANDARD, draws=FORECAST_DRAWS))[
        1
    ]
    key = jax.random.key(1)
    [alone] = calibrate_many([key], [data], prior, [AS_OF_DAY], STANDARD, ["p-1"], draws=FORECAST_DRAWS)
    p = []
    for posterior in (streamed, alone):
        found = run(jax.random.key(8), posterior, one_record, one_plans, draws=FORECAST_DRAWS).dataset
        born = found["fetal_weight_g"].sel(gestational_day=found["delivery_day"]).values.astype(float)
        p.append([exceeds(born, g).mean(axis=1) for g in (3500.0, 4000.0, 4500.0)])
    assert np.ptp(p[0]) > 0.1
    np.testing.assert_allclose(p[0], p[1], atol=0.005)
