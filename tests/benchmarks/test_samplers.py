"""The small posterior of the peers through the twin's own search, NUTS and importance sampling."""

from __future__ import annotations

from tests.benchmarks.apart import apart

TABLE = "Small posterior: 2 states, 5 unknowns, 288 readings"
ROADS = {"nuts": "NUTS, 4 chains of 500 after 500", "weights": "`laplace`, 2000 draws"}


def test_small_posterior(store, size, folder):
    """On the peers' posterior of this kind (Heun steps of 5 min, the same chains) the best has 44 a second."""

    def work():
        rows = []
        for road, words in ROADS.items():
            found = apart("samplers", cache=folder / "samplers", road=road, repeats=size.repeats + 2)
            rows.append({"case": words, **found})
        return {"rows": rows}

    store(TABLE, work)
