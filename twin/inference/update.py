"""New readings into a stored posterior without a fit from the prior.

What was learnt of the posterior without them is carried over by the latents' names: its mode, where the search for the
new one starts, and how far its center and scales are from the Gaussian there, which the first proposal takes over. New
latents (weeks, sensor days, tests) begin at their prior. Draws are new, so that updates may follow each other without
end; reweighting the old ones leaves too few (docs/model/inference.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from twin.encode import WomanData, encode
from twin.errors import UnusableInput
from twin.inference.calibrate import Posterior, calibrate_many, with_draws_of
from twin.inference.encoded import to_arrays
from twin.inference.laplace import Shape
from twin.inference.priors import Prior, meal_shape
from twin.physiology.coupled import DAY_START_MIN
from twin.record import PatientRecord


def update(
    key: jax.Array,
    posterior: Posterior,
    record: PatientRecord,
    *,
    as_of_day: float,
    birth_day: float | None = None,
) -> Posterior:
    """Her posterior as known on `as_of_day`: `record` is the whole record of that day, old readings and new.

    `calibration.fallback` : "updated"; "adapted" where further rounds were drawn; "refit" where the stored posterior
    gives no start or what came of it cannot be trusted. Without anything new the draws stand as they are.
    Raises : UnusableInput "other-patient" where the record is another woman's; "earlier-than-posterior".
    """
    if record.pseudonym != posterior.patient:
        raise UnusableInput(
            "other-patient",
            f"the stored posterior is of {posterior.patient}, the record of {record.pseudonym}; expected one woman. "
            "Nothing was updated.",
        )
    data = encode(record, as_of_day, standard=posterior.standard, birth_day=birth_day)
    return update_many([key], [posterior], [data], [as_of_day])[0]


def update_many(
    keys: Sequence[jax.Array],
    posteriors: Sequence[Posterior],
    women: Sequence[WomanData],
    as_of_days: Sequence[float],
) -> list[Posterior]:
    """`update` of many women of one prior and one standard, each with her own key; those of equal shapes together.

    women : encoded anew from their whole records. Each keeps her number of draws, which must be one for all.
    Raises : UnusableInput "mixed-posteriors"; "earlier-than-posterior".
    """
    kinds = {(p.prior.id, p.prior.sha256, p.standard, p.z.shape[1]) for p in posteriors}
    if len(kinds) > 1:
        raise UnusableInput(
            "mixed-posteriors",
            f"posteriors of {len(kinds)} kinds; expected one prior, one growth standard and one number of draws. "
            "Nothing was updated. Update those of each kind together.",
        )
    for posterior, day in zip(posteriors, as_of_days, strict=True):
        if day < posterior.as_of_day:
            raise UnusableInput(
                "earlier-than-posterior",
                f"the update is for day {day:g}, the stored posterior knows day {posterior.as_of_day:g}; expected "
                "that day or a later one. Nothing was updated. Calibrate her for the earlier day.",
            )
    found: dict[int, Posterior] = {}
    changed = []
    for i, (posterior, data) in enumerate(zip(posteriors, women, strict=True)):
        if _same(posterior.data, data):
            found[i] = with_draws_of(posterior, as_of_day=as_of_days[i])
        else:
            changed.append(i)

    def fit(rows: list[int], starts: list[Shape | None]) -> None:
        if not rows:
            return
        old = posteriors[rows[0]]
        new = calibrate_many(
            [keys[i] for i in rows],
            [women[i] for i in rows],
            old.prior,
            [as_of_days[i] for i in rows],
            old.standard,
            [posteriors[i].patient for i in rows],
            draws=old.z.shape[1],
            starts=starts,
        )
        found.update(zip(rows, new, strict=True))

    fit(changed, [carried(posteriors[i], women[i]) for i in changed])
    lost = [i for i in changed if not found[i].calibration.ok and posteriors[i].shape is not None]
    fit(lost, [None] * len(lost))
    for i in changed:
        refit = i in lost or posteriors[i].shape is None
        if not found[i].calibration.prior_only:
            found[i] = _told(found[i], "refit" if refit else "updated")
    return [found[i] for i in range(len(women))]


def carried(posterior: Posterior, data: WomanData) -> Shape | None:
    """What was learnt of the posterior, in the latents of `data`; None where nothing was."""
    if posterior.shape is None:
        return None
    at = {name: i for i, name in enumerate(_dated_names(posterior.prior, posterior.data))}
    index = np.array([at.get(name, -1) for name in _dated_names(posterior.prior, data)])
    known = index >= 0
    mode, center, scale = (x[index] for x in posterior.shape)
    return Shape(np.where(known, mode, 0.0), np.where(known, center, 0.0), np.where(known, scale, 1.0))


def _dated_names(prior: Prior, data: WomanData) -> list[str]:
    """Names of the latents, those of single meals with the gestational day they were eaten on: sensor days are counted
    from the newest, so that their numbers change as days come in."""
    meals, n_days = meal_shape(data)
    worn = [bool(readings.any()) for readings in np.asarray(data.cgm.mask)]
    day = np.floor(7.0 * np.asarray(data.cgm.week) - DAY_START_MIN / 1440.0).astype(int)
    names = [f"day {d}" if w else f"no day {i}" for i, (d, w) in enumerate(zip(day, worn, strict=True))]
    shared = prior.names(data)[: prior.n_shared(data)]
    return shared + [f"meal {m} of {names[d]}" for m in range(meals) for d in range(n_days)]


def _same(a: WomanData, b: WomanData) -> bool:
    x, y = to_arrays(a), to_arrays(b)
    return all(np.array_equal(x[name], y[name]) for name in x)


def _told(posterior: Posterior, road: str) -> Posterior:
    c = posterior.calibration
    told = road if road == "refit" else c.fallback or road
    return with_draws_of(posterior, calibration=replace(c, fallback=told))
