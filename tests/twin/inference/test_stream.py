"""Women in a stream: in order, one batch held. Each as when alone: test_laplace."""

import jax

from tests.one_woman import AS_OF_DAY, STANDARD
from twin.inference import stream
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
