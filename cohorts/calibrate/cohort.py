"""From women to a population: every woman's posterior, the hierarchy over them, again under what was found, checks."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2

from cohorts.calibrate.hierarchy import Learnt, What, Women, learn
from cohorts.calibrate.read import GROUPS, Candidate, LeftOut
from cohorts.calibrate.store import HerDraws, Store, key_of
from cohorts.calibrate.units import MOVED, in_start_units, moved_prior, standardised
from twin.encode import COVARIATES
from twin.errors import UnusableInput
from twin.inference.calibrate import Posterior
from twin.inference.diagnostics import conflicts
from twin.inference.priors import SHOWN, Prior
from twin.inference.stream import BATCH, Entry, calibrate_stream
from twin.programs import placed

#: learnt where nothing else is said: what glucose records and scans tell of the population
LATENTS = ("S_I", "B", "R0", "k_e", "theta", "fatness")
#: what differs between sensors, and between ultrasound centres
GROUPED = {
    "none": (),
    "device": ("sensor_gain", "sensor_offset"),
    "site": ("shape_hc_mm", "shape_ac_mm", "shape_fl_mm", "shape_bpd_mm"),
}
DRAWS = 1000  # of each woman
CHECKED = 48  # women whose data are compared with the prior before and after
ENOUGH, LEAST = (
    0.5,
    0.1,
)  # effective share of draws, of all but the worst twentieth of the women: no further round; ok
WORST = 0.05
WRONG_USAGE = ("unknown-name", "correlated-with-unlearnt", "one-group", "bad-out")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pivot:
    """Of the checked women's data: mean 0 and SD 1 where the population fits. p : two-sided, of both together."""

    mean: float
    sd: float
    women: int
    p: float


@dataclass(frozen=True)
class CohortFit:
    """prior : with the learnt population in place; of_group : the same for women of each group. before, after :
    pivots of the checked women by "reading, kind", under the start prior and the learnt one. history : of each round,
    how far the means stood from the start and the share of all but the worst women."""

    start: Prior
    prior: Prior
    of_group: dict[str, Prior]
    what: What
    groups: tuple[str, ...]
    learnt: Learnt
    women: int
    not_ok: int
    left_out: tuple[LeftOut, ...]
    history: tuple[tuple[float, float], ...]
    known: dict[str, int]
    before: dict[str, Pivot]
    after: dict[str, Pivot]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the learnt population is not to be trusted; empty where it is."""
        found = []
        if not self.learnt.ok:
            found.append(f"the sampler's own limits are not met ({self.learnt.road}: {self.learnt.told})")
        if self.history[-1][1] < LEAST:
            found.append(
                f"a twentieth of the women rest on less than {100 * LEAST:.0f} % of their draws: give more --rounds"
            )
        return tuple(found)


def what_of(
    prior: Prior, latents: Sequence[str], covariates: Sequence[str], group: str, groups: tuple[str, ...]
) -> What:
    """Those that differ between groups, and those only a sensor shows, correlate with none.

    Raises : UnusableInput "unknown-name", "correlated-with-unlearnt", "one-group".
    """
    unknown = [n for n in latents if n not in prior.index] + [c for c in covariates if c not in COVARIATES]
    if unknown or group not in GROUPS or not latents:
        raise UnusableInput(
            "unknown-name",
            f"{', '.join(unknown) or group or 'no latent'} is not known; expected latents of {prior.id} "
            f"({', '.join(prior.index)}), covariates {', '.join(COVARIATES)}, group {' or '.join(GROUPS)}. Nothing "
            "was learnt.",
        )
    grouped = GROUPED[group]
    if group != "none" and len(groups) < 2:
        raise UnusableInput(
            "one-group",
            f"every woman is of {group} {groups[0] if groups else 'unknown'!r}; expected two or more. Nothing was "
            "learnt. A site is the first folder below SOURCE, a device that of her sensor readings; or leave --group.",
        )
    alone = tuple(dict.fromkeys((*(n for n in latents if n.startswith(SHOWN)), *grouped)))
    together = tuple(n for n in dict.fromkeys(latents) if n not in alone)
    names = together + alone
    torn = [
        f"{c.first} with {c.second}"
        for c in prior.correlations
        if (c.first in names) != (c.second in names) or {c.first, c.second} & set(alone)
    ]
    if torn:
        raise UnusableInput(
            "correlated-with-unlearnt",
            f"prior {prior.id} correlates {', '.join(torn)}; expected both or neither among what is learnt "
            f"({', '.join(names)}). Nothing was learnt. Change --latents.",
        )
    return What(
        names,
        alone=len(alone),
        moved=tuple(n for n in MOVED if n in names) if covariates else (),
        covariates=tuple(dict.fromkeys(covariates)),
        grouped=grouped,
        groups=max(1, len(groups)) if group != "none" else 1,
    )


def calibrate_cohort(
    key: jax.Array,
    women: Sequence[Candidate],
    prior: Prior,
    *,
    standard: str,
    id: str,
    latents: Sequence[str] = LATENTS,
    covariates: Sequence[str] = (),
    group: str = "none",
    rounds: int = 3,
    store: Store | None = None,
    progress: Progress = lambda done, of: None,
) -> CohortFit:
    """Learn the population of these women.

    latents : whose means, SDs and correlations are learnt. covariates : that move S_I, R0 and theta where these are
    learnt, beyond what the prior has. group : of `GROUPS`. rounds : at most, of posteriors under the population found.
    id : of the learnt prior.
    Raises : UnusableInput of `what_of`; "too-few-women".
    """
    groups = tuple(sorted({w.group for w in women}))
    what = what_of(prior, latents, covariates, group, groups)
    least = 2 * len(what.latents)
    store = store or Store(None)
    current, found, history = prior, None, []
    before: dict[str, Pivot] = {}
    left_out: list[LeftOut] = []
    some = sorted(women, key=lambda w: w.name)
    total = rounds * len(some) + min(CHECKED, len(some))
    for turn in range(rounds):
        k_fit, k_learn = jax.random.split(jax.random.fold_in(key, turn))
        first = {w.name for w in some[:CHECKED]}
        drawn: list[tuple[Candidate, HerDraws]] = []
        for woman, her in her_draws(k_fit, some, current, standard, what.latents, first, store):
            if isinstance(her, HerDraws):
                drawn.append((woman, her))
            else:
                left_out.append(her)
            progress(turn * len(some) + len(drawn), total)
        if len(drawn) < least:
            raise UnusableInput(
                "too-few-women",
                f"{len(drawn)} women can be used; learning {len(what.latents)} latents needs at least {least}. "
                "Nothing was learnt. Give more women, or fewer --latents.",
            )
        some = [woman for woman, _ in drawn]
        before = before or pivots_of([her for _, her in drawn if her.pivots])
        arrays = _as_women(prior, current, what, drawn, groups)
        found = learn(k_learn, what, arrays, roughly=True)
        enough = float(np.quantile(found.share, WORST)) >= ENOUGH
        if enough or turn + 1 == rounds:
            found = learn(k_learn, what, arrays)
        evidence = f"learnt from {len(some)} women ({id})"
        current = moved_prior(prior, what, found.draws, id=id, evidence=evidence)
        share = float(np.quantile(found.share, WORST))
        history.append((float(np.abs(found.draws["mean"].mean(axis=0)).max()), share))
        if enough:
            break
    assert found is not None
    again = her_draws(
        jax.random.fold_in(key, rounds),
        some[:CHECKED],
        current,
        standard,
        what.latents,
        {w.name for w in some},
        store,
    )
    after = pivots_of([her for _, her in again if isinstance(her, HerDraws)])
    progress(total, total)
    of_group = {
        name: moved_prior(
            prior, what, found.draws, id=f"{id}-{name}", evidence=f"{evidence}, {group} {name}", group=i
        )
        for i, name in enumerate(groups)
        if group != "none"
    }
    known = {c: int(sum(np.isfinite(w.covariates[COVARIATES.index(c)]) for w in some)) for c in covariates}
    return CohortFit(
        prior,
        current,
        of_group,
        what,
        groups if group != "none" else (),
        found,
        len(some),
        sum(not her.ok for _, her in drawn),
        tuple(left_out),
        tuple(history),
        known,
        before,
        after,
    )


def _as_women(
    start: Prior,
    now: Prior,
    what: What,
    drawn: Sequence[tuple[Candidate, HerDraws]],
    groups: tuple[str, ...],
) -> Women:
    x = standardised(start, np.stack([w.covariates for w, _ in drawn]), what.covariates)
    places = [in_start_units(start, now, what, h.deviates, own) for (_, h), own in zip(drawn, x, strict=True)]
    with np.errstate(divide="ignore"):  # a draw without weight counts for nothing
        ln_weights = np.log(np.stack([her.weights for _, her in drawn]))
    return Women(
        jnp.asarray(np.stack([draws for draws, _ in places])),
        jnp.asarray(ln_weights),
        jnp.asarray(np.stack([ln for _, ln in places])),
        jnp.asarray(x),
        jnp.asarray([groups.index(w.group) for w, _ in drawn]),
    )


def her_draws(
    key: jax.Array,
    women: Sequence[Candidate],
    prior: Prior,
    standard: str,
    latents: tuple[str, ...],
    checked: set[str],
    store: Store,
) -> Iterator[tuple[Candidate, HerDraws | LeftOut]]:
    """Of every woman, batch by batch: a batch of which every woman is stored is read, any other is made whole, so that
    a stopped run and one in one go give the same bits. Pivots are made of those `checked`."""
    at = np.array([prior.index[n] for n in latents])
    seed = np.asarray(jax.random.key_data(key)).tolist()
    rest = iter(women)
    while batch := list(itertools.islice(rest, BATCH)):
        names = [key_of(w, prior, standard, latents, f"{seed} {DRAWS} {w.name in checked}") for w in batch]
        kept = [store.get(name) for name in names]
        if all(k is not None for k in kept):
            yield from ((w, k) for w, k in zip(batch, kept, strict=True) if k is not None)
            continue
        for woman, name, posterior in zip(
            batch, names, _posteriors(key, batch, prior, standard), strict=True
        ):
            if isinstance(posterior, LeftOut):
                yield woman, posterior
                continue
            her = _kept(posterior, at, woman.name in checked)
            if isinstance(her, HerDraws):
                store.put(name, her)
            yield woman, her


def _number(woman: Candidate) -> int:
    """Her own, whoever stands beside her."""
    return zlib.crc32(woman.name.encode())


def _posteriors(
    key: jax.Array, batch: Sequence[Candidate], prior: Prior, standard: str
) -> list[Posterior | LeftOut]:
    """A batch that fails is made woman by woman, so that only those who fail are left out."""

    def fit(women: Sequence[Candidate]) -> list[Posterior]:
        entries = [Entry(w.name, jax.random.fold_in(key, _number(w)), w.data, w.as_of_day) for w in women]
        return list(calibrate_stream(entries, prior, standard, draws=DRAWS))

    try:
        return list(fit(batch))
    except Exception:  # whatever one woman's record does, the others go on
        found: list[Posterior | LeftOut] = []
        for woman in batch:
            try:
                found += fit([woman])
            except Exception as why:
                text = f"her fit stopped ({type(why).__name__}: {why}). She was left out."
                found.append(LeftOut(woman.name, "no-fit", text))
        return found


def _kept(posterior: Posterior, at: np.ndarray, checked: bool) -> HerDraws | LeftOut:
    deviates = np.asarray(posterior.prior.deviates(placed(posterior.z)))[at]
    if not (np.isfinite(deviates).all() and np.isfinite(posterior.weights).all()):
        return LeftOut(posterior.patient, "no-fit", "her posterior is not finite. She was left out.")
    try:
        told = {f"{c.of}, {c.kind}": float(c.z) for c in conflicts(posterior)} if checked else {}
    except np.linalg.LinAlgError:  # her draws have no covariance to speak of; the check goes without her
        told = {}
    return HerDraws(deviates, posterior.weights, posterior.calibration.ok, told)


def pivots_of(checked: Sequence[HerDraws]) -> dict[str, Pivot]:
    """Means and SDs over women of what is standard normal where the model and its population hold; p by Fisher's sum
    of both tests."""
    by_kind: dict[str, list[float]] = {}
    for her in checked:
        for name, value in her.pivots.items():
            by_kind.setdefault(name, []).append(value)
    return {name: _pivot(np.array(z)) for name, z in sorted(by_kind.items()) if len(z) > 2}


def _pivot(z: np.ndarray) -> Pivot:
    n, mean, sd = len(z), float(z.mean()), float(z.std())
    of_mean = 2.0 * ndtr(-abs(mean) * math.sqrt(n))
    lower = chi2.cdf(n * sd**2, n - 1)
    both = max(of_mean, 1e-300) * max(2.0 * min(lower, 1.0 - lower), 1e-300)
    return Pivot(mean, sd, n, float(chi2.sf(-2.0 * math.log(both), 4)))
