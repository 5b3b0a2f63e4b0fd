"""The benchmarks' peers solve the equations they are timed on, and the page's tables hold whatever was measured."""

import copy

import numpy as np

from tests.benchmarks import forward, rk4_peer, table
from tests.reference import maternal_rk4

WOMEN = 3


def test_peers_agree_with_the_reference():
    """Deterministic; a meal one minute late is 0.1 mg/dL and more."""
    women, mg = forward.draw(WOMEN)
    rows = rk4_peer.table(women)
    G, IG = forward.rk4(women, mg, 1)
    for i, woman in enumerate(women):
        exact = maternal_rk4.simulate(*forward.of_reference(woman, mg[:, i]), 1440.0, out_every_min=1.0)
        np.testing.assert_allclose(G[:, i], exact["G"], atol=1e-3)
        np.testing.assert_allclose(IG[:, i], exact["IG"], atol=1e-3)
        other = rk4_peer.lsoda_day(rows[i], forward.LATEST, mg[:, i], 5.0)
        np.testing.assert_allclose(other, np.stack([exact["G"], exact["IG"]])[:, ::5], atol=1e-3)


def test_largest_step_is_by_the_quantities_named():
    tried = {1: (0.1, 0.1), 5: (0.2, forward.BAR), 6: (1.6, 0.3), 8: (forward.BAR, 1.6), 10: (2.0, None)}
    tried = {h: {"error_G_p99": g, "error_IG_p99": ig} for h, (g, ig) in tried.items()}
    assert forward.largest_step(tried, ("G", "IG")) == 5
    assert forward.largest_step(tried, ("G",)) == 8


RUN = {
    "datetime": "2026-11-30T00:00:00",
    "machine_info": {
        "node": "a-name",
        "machine": "x86_64",
        "system": "Linux",
        "python_version": "3.11.7",
        "cpu": {"brand_raw": "Some CPU", "count": 2, "hz_actual_friendly": "2.5 GHz"},
    },
    "benchmarks": [
        {
            "name": "test_one",
            "group": "Known",
            "extra_info": {
                "code_version": "abc",
                "rounds": 3,
                "rows": [
                    {"case": "fast", "total_core_s": 0.123456, "first_core_s": 12345.6, "bar_total_core_s": 1.0},
                    {"case": "slow", "total_core_s": 2.0, "error_IG_p99": None},
                ],
            },
        },
        {"name": "test_of_others", "group": "New", "extra_info": {"ess_per_core_s": 44.0, "chains": 4}},
    ],
}  # fmt: skip


def test_page_holds_every_case():
    text = table.page_of(copy.deepcopy(RUN))
    assert "| fast | 0.123 | 1 | 12 300 |  |" in text, "its bar stands beside the figure"
    assert "| slow | 2 |  |  | – |" in text
    assert "### New" in text and "| of others | 44 | 4 |" in text
    assert "Rounds: 3." in text and "code abc" in text and "a-name" not in text
    assert table.page_of(RUN) == text
