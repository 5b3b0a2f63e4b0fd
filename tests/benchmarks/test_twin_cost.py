"""What a woman costs: calibrated and forecast, alone and in a batch, against her data and their number; memory."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.apart import apart

DATA = [f"{n} sensor days" for n in (3, 7, 14)]
DATA += ["finger pricks", "finger pricks, 1 scan", "finger pricks, 4 scans"]
TABLE = "One woman: record to posterior to forecast"


def test_ensemble(store, size, folder):
    """`twin.forecast.run`: 4 scenarios, 12 weekly days ahead."""

    def work():
        return {
            "rows": apart(
                "twin_cost",
                cache=folder / "ensemble",
                what="draws",
                folder=str(folder),
                design="finger pricks at 33 weeks",
                counts=list(size.draws),
                insulin=[500],
                repeats=size.repeats,
            )
        }

    store("The whole ensemble: 4 scenarios to birth", work)


def one_row(folder, case, *, cache, bars=(), **options):
    found = apart("twin_cost", cache=folder / cache, folder=str(folder), **options)
    return {"rows": [{"case": case, **dict(bars), **found}]}


def test_sensor_woman_alone(store, size, folder):
    """The first call compiles, as on a new machine."""
    options = {"what": "alone", "design": "14 sensor days", "women": size.alone}
    bars = {"bar_total_core_s": 1.0}
    store(TABLE, partial(one_row, folder, "14 sensor days, alone", cache="alone", bars=bars, **options))


def test_sensor_woman_alone_in_a_later_process(store, size, folder):
    """The first call reads the programs the process before has kept."""
    options = {"what": "alone", "design": "14 sensor days", "women": 1}
    store(TABLE, partial(one_row, folder, "the same in a later process", cache="alone", **options))


def test_sensor_women_in_a_batch(store, size, folder):
    options = {"what": "batch", "design": "14 sensor days", "women": size.batch}
    bars = {"bar_total_core_s": 0.35}
    case = f"14 sensor days, each of {size.batch}"
    store(TABLE, partial(one_row, folder, case, cache="batch", bars=bars, **options))


BARS = {"bar_calibrate_core_s": 0.15, "bar_total_core_s": 0.25}


def test_finger_prick_woman_alone(store, size, folder):
    options = {"what": "alone", "design": "finger pricks", "women": size.alone}
    store(TABLE, partial(one_row, folder, "finger pricks, alone", cache="pricks alone", bars=BARS, **options))


def test_finger_prick_women_in_a_batch(store, size, folder):
    options = {"what": "batch", "design": "finger pricks", "women": size.batch}
    case = f"finger pricks, each of {size.batch}"
    store(TABLE, partial(one_row, folder, case, cache="batch", bars=BARS, **options))


def test_days_and_scans(store, size, folder):
    def work():
        options = {"designs": DATA, "women": size.few, "repeats": size.repeats}
        return {
            "rows": apart("twin_cost", cache=folder / "batch", what="data", folder=str(folder), **options)
        }

    store("Cost against data", work)


def test_number_of_women(store, size, folder):
    """The same women again and again with other keys."""

    def work():
        return {
            "rows": apart(
                "twin_cost",
                cache=folder / "batch",
                what="numbers",
                folder=str(folder),
                design="finger pricks",
                counts=list(size.counts),
                repeats=size.repeats,
            )
        }

    store("Cost against the number of women", work)
