"""Record to posterior to forecast: what one woman costs, alone and in a batch, at the first call and at later ones.

`measure` runs in a process of its own (`apart`). A batch is `calibrate_many` of women of one shape, then every woman's
forecast; alone is `calibrate`, then hers. Encoding counts as calibration. Simulation is not in here.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from scenarios.cli import start_engine
from tests.benchmarks.apart import Timed, forget_peak, peak_gib, timed
from tests.benchmarks.women import STANDARD, Subject, load
from twin.inference.calibrate import Posterior, calibrate, calibrate_many, shape_of
from twin.inference.priors import Prior, load_prior

DRAWS = 500  # importance draws, and draws of the forecast
BIRTH_DAY = 273  # of the fourth scenario
SEED = 20261222
#: insulin of a scenario, (minute since 04:00, U, formulation): three rapid doses and one at bedtime
INJECTED = ((225.0, 5.0, "rapid"), (525.0, 4.0, "rapid"), (885.0, 6.0, "rapid"), (1080.0, 14.0, "nph"))


def key_of(i: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(SEED), i)


def plans(one: Subject, insulin: bool = False) -> list[Any]:
    """Four scenarios: the three strategies, and today's with a birth day given; with `insulin` that one injects."""
    from scenarios.engine import DEFAULT_SCENARIOS
    from scenarios.strategies import plan_of

    found = [plan_of(name, one.record, one.as_of_day, None) for name in DEFAULT_SCENARIOS]
    last = plan_of("as_now", one.record, one.as_of_day, BIRTH_DAY)
    pattern = replace(last.pattern, doses=INJECTED) if insulin else last.pattern
    return [*found, replace(last, pattern=pattern)]


def one_calibrated(one: Subject, key: jax.Array, prior: Prior) -> Posterior:
    return calibrate(key, one.record, as_of_day=one.as_of_day, standard=STANDARD, prior=prior, draws=DRAWS)


def calibrated(women: list[Subject], keys: list[jax.Array], prior: Prior) -> list[Posterior]:
    from twin.encode import encode

    return calibrate_many(
        keys,
        [encode(w.record, w.as_of_day, standard=STANDARD) for w in women],
        prior,
        [w.as_of_day for w in women],
        STANDARD,
        [w.record.pseudonym for w in women],
        draws=DRAWS,
    )


def forecasts(
    women: list[Subject], posteriors: list[Posterior], draws: int = DRAWS, insulin: bool = False
) -> list[Any]:
    from twin.forecast import run

    pairs = zip(women, posteriors, strict=True)
    return [run(key_of(0), p, w.record, plans(w, insulin), draws=draws) for w, p in pairs]


def checked(posteriors: list[Posterior], made: list[Any]) -> None:
    """A benchmark of nonsense is worth nothing."""
    for posterior, forecast in zip(posteriors, made, strict=True):
        assert np.isfinite(posterior.z).all() and np.isclose(posterior.weights.sum(), 1.0)
        assert np.isfinite(forecast.dataset["birth_weight_g"]).all()


def costs(fit: Timed, ahead: Timed, women: int) -> dict[str, float]:
    """Of each woman."""
    return {
        "calibrate_core_s": fit.core_s / women,
        "forecast_core_s": ahead.core_s / women,
        "total_core_s": (fit.core_s + ahead.core_s) / women,
        "total_wall_s": (fit.wall_s + ahead.wall_s) / women,
    }


def measure(*, what: str, **options: Any) -> Any:
    start_engine()
    cases = {"alone": alone, "batch": batch, "data": against_data, "numbers": numbers, "draws": draws}
    return cases[what](**options)


def alone(*, folder: str, design: str, women: int) -> dict[str, Any]:
    """The first woman's first call, then every one by herself; medians over women."""
    prior, subjects = load_prior(), load(folder, design)[:women]

    def once(i: int) -> tuple[dict[str, float], Posterior]:
        one = subjects[i]
        fit = timed(lambda: one_calibrated(one, key_of(i), prior))
        ahead = timed(lambda: forecasts([one], [fit.result]))
        checked([fit.result], ahead.result)
        return costs(fit, ahead, 1), fit.result

    first, _ = once(0)
    peak = peak_gib()
    forget_peak()
    found, posteriors = zip(*(once(i) for i in range(len(subjects))), strict=True)
    return {
        "women": len(subjects),
        **{name: float(np.median([f[name] for f in found])) for name in first},
        "slowest_core_s": max(f["total_core_s"] for f in found),
        **_first(first),
        **about(posteriors),
        "peak_first_gib": peak,
        "peak_gib": peak_gib(),
    }


def batch(*, folder: str, design: str, women: int) -> dict[str, Any]:
    """Of each woman of a batch: the first call, then the second."""
    prior, subjects = load_prior(), load(folder, design)[:women]
    keys = [key_of(i) for i in range(len(subjects))]

    def once() -> tuple[dict[str, float], list[Posterior]]:
        fit = timed(lambda: calibrated(subjects, keys, prior))
        ahead = timed(lambda: forecasts(subjects, fit.result))
        checked(fit.result, ahead.result)
        return costs(fit, ahead, len(subjects)), fit.result

    first, _ = once()
    peak = peak_gib()
    forget_peak()
    again, posteriors = once()
    return {
        "women": len(subjects),
        **again,
        **_first({name: value * len(subjects) for name, value in first.items()}),
        **about(posteriors),
        "peak_first_gib": peak,
        "peak_gib": peak_gib(),
    }


def against_data(*, folder: str, designs: list[str], women: int, repeats: int) -> list[dict[str, Any]]:
    """Calibration of each woman of a small batch, with more and less data; medians of calls that compile nothing."""
    prior, rows = load_prior(), []
    keys = [key_of(i) for i in range(women)]
    for design in designs:
        subjects = load(folder, design)[:women]
        calibrated(subjects, keys, prior)
        forget_peak()
        found = [timed(lambda: calibrated(subjects, keys, prior)) for _ in range(repeats)]  # noqa: B023
        core = float(np.median([t.core_s for t in found]))
        size = about(found[0].result)
        rows.append(
            {"case": design, "women": women, "calibrate_core_s": core / women, **size, "peak_gib": peak_gib()}
        )
    return rows


def numbers(*, folder: str, design: str, counts: list[int], repeats: int) -> list[dict[str, Any]]:
    """Batches of other sizes of the same women again and again with other keys, so that only their number changes."""
    prior, subjects = load_prior(), load(folder, design)
    every = [(subjects[i % min(counts)], key_of(i)) for i in range(max(counts))]
    found: dict[int, list[Timed]] = {n: [] for n in counts}
    calibrated([w for w, _ in every[: min(counts)]], [k for _, k in every[: min(counts)]], prior)
    for _ in range(repeats):
        for n in counts:
            some = every[:n]
            found[n].append(timed(lambda: calibrated([w for w, _ in some], [k for _, k in some], prior)))  # noqa: B023
    rows: list[dict[str, Any]] = []
    for n in counts:
        core = float(np.median([t.core_s for t in found[n]]))
        row = {"case": f"{n} women", "women": n, "calibrate_core_s": core / n, "batch_core_s": core}
        row["batch_wall_s"] = float(np.median([t.wall_s for t in found[n]]))
        row["times_half"] = core / rows[-1]["batch_core_s"] if rows and rows[-1]["women"] * 2 == n else None
        rows.append(row)
    return rows


def draws(
    *, folder: str, design: str, counts: list[int], insulin: list[int], repeats: int
) -> list[dict[str, Any]]:
    """One woman's forecast of four scenarios with ensembles of other sizes: the program alone, and with the data set.

    insulin : sizes that are run once more with one scenario injecting.
    """
    prior, one = load_prior(), load(folder, design)[0]
    posterior = one_calibrated(one, key_of(0), prior)
    module = sys.modules["twin.forecast.run"]
    program, inside, weeks = module.run_ensemble, [], []  # type: ignore[attr-defined]

    def seen(*given: Any) -> Any:
        inside.append(timed(lambda: jax.block_until_ready(program(*given))))
        weeks.append(given[5].weight_kg.shape[0])
        return inside[-1].result

    module.run_ensemble = seen  # type: ignore[attr-defined]
    rows = []
    for n, injected in [*((n, False) for n in counts), *((n, True) for n in insulin)]:
        first = timed(lambda: forecasts([one], [posterior], n, injected))  # noqa: B023
        inside.clear()
        again = [timed(lambda: forecasts([one], [posterior], n, injected)) for _ in range(repeats)]  # noqa: B023
        core = float(np.median([t.core_s for t in inside]))
        scenarios = len(plans(one))
        member_days = n * scenarios * weeks[-1]
        rows.append(
            {
                "case": f"{n} draws" + (", one scenario on insulin" if injected else ""),
                "scenarios": scenarios,
                "draws": n,
                "weekly_days_ahead": weeks[-1],
                "forecast_core_s": float(np.median([t.core_s for t in again])),
                "forecast_wall_s": float(np.median([t.wall_s for t in again])),
                "program_core_s": core,
                "member_days_per_core_s": member_days / core,
                "first_core_s": first.core_s,
                "first_wall_s": first.wall_s,
                "peak_gib": peak_gib(),
            }
        )
    return rows


def _first(found: dict[str, float]) -> dict[str, float]:
    return {"first_core_s": found["total_core_s"], "first_wall_s": found["total_wall_s"]}


def about(posteriors: Any) -> dict[str, Any]:
    """Size of the problem, and how hard it was."""
    data = posteriors[0].data
    used = {name: int(np.asarray(getattr(data, name).mask).sum()) for name in ("spots", "cgm", "ogtt")}
    return {
        "latents": int(posteriors[0].z.shape[0]),
        "draws": DRAWS,
        **{f"{name}_readings": count for name, count in used.items()},
        "scan_rows": int(np.asarray(data.scans.mask).sum()),
        "shapes": len({shape_of(p.data) for p in posteriors}),
        "adapted": sum(p.calibration.fallback == "adapted" for p in posteriors),
        "not_ok": sum(not p.calibration.ok for p in posteriors),
    }
