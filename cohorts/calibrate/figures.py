"""Pictures of a learnt population: densities beside the start prior's, correlations, checks on the women's data."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cohorts.calibrate.cohort import CohortFit
from twin.inference.priors import Latent, Prior

_INK, _BLUE, _ORANGE, _GREY = "#222222", "#0072B2", "#D55E00", "#999999"  # told apart without colour vision
SHOWN_DRAWS = 60


def _axis(x: Latent) -> tuple[np.ndarray, np.ndarray]:
    """(in its own unit, on the scale on which it is normal), four SDs wide."""
    at = np.linspace(-4.0, 4.0, 201) * x.sd
    return (x.center * np.exp(at), at) if x.transform == "ln" else (x.center + at, at)


def densities(fit: CohortFit) -> Figure:
    """Each learnt latent among women: the start prior (grey), the learnt population (blue) and single draws of it,
    which show what the cohort leaves open. Of the average woman by her covariates."""
    names = fit.what.latents
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(9.0, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, 3, squeeze=False).ravel()
    mean, sd = fit.learnt.draws["mean"], np.exp(fit.learnt.draws["ln_sd"])
    some = np.linspace(0, len(mean) - 1, min(SHOWN_DRAWS, len(mean))).astype(int)
    for i, name in enumerate(names):
        x, axis = fit.start.latents[fit.start.index[name]], axes[i]
        value, at = _axis(x)
        u = at / x.sd

        def density(m: float, s: float, u: np.ndarray = u) -> np.ndarray:
            return np.exp(-0.5 * ((u - m) / s) ** 2) / s

        for k in some:
            axis.plot(value, density(mean[k, i], sd[k, i]), "-", color=_BLUE, lw=0.5, alpha=0.15)
        axis.plot(value, density(mean[:, i].mean(), sd[:, i].mean()), "-", color=_BLUE, lw=2, label="learnt")
        axis.plot(value, density(0.0, 1.0), "--", color=_GREY, lw=1.5, label="start")
        if x.transform == "ln":
            axis.set_xscale("log")
        axis.set(yticks=[], title=name)
    axes[0].legend(fontsize=7, frameon=False)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return figure


def correlations(prior: Prior, names: tuple[str, ...]) -> Figure:
    """Learnt correlations, with what the cohort leaves open of each below it."""
    n = len(names)
    matrix, left = np.eye(n), np.zeros((n, n))
    for c in prior.correlations:
        if c.first in names and c.second in names:
            i, j = names.index(c.first), names.index(c.second)
            matrix[i, j] = matrix[j, i] = c.value
            left[i, j] = left[j, i] = c.sd
    figure = Figure(figsize=(1.0 + 0.8 * n, 0.6 + 0.7 * n), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(matrix, vmin=-1.0, vmax=1.0, cmap="RdBu")
    for i in range(n):
        for j in range(n):
            if i != j:
                axis.text(
                    j, i, f"{matrix[i, j]:+.2f}\n±{left[i, j]:.2f}", ha="center", va="center", fontsize=7
                )
    axis.set_xticks(range(n), names, rotation=45, ha="right")
    axis.set_yticks(range(n), names)
    figure.colorbar(shown, ax=axis, shrink=0.8)
    return figure


def checks(fit: CohortFit) -> Figure:
    """Mean and SD of each pivot over the checked women, before (grey) and after (blue), with their 95 % bands where
    the population fits."""
    names = sorted(set(fit.before) | set(fit.after))
    figure = Figure(figsize=(9.0, 0.35 * len(names) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    women = max((p.women for p in [*fit.before.values(), *fit.after.values()]), default=1)
    for axis, middle, band in ((left, 0.0, 1.96 / np.sqrt(women)), (right, 1.0, 1.96 / np.sqrt(2 * women))):
        axis.axvspan(middle - band, middle + band, color=_GREY, alpha=0.25)
        axis.axvline(middle, color=_INK, lw=1)
    for found, colour, label, shift in (
        (fit.before, _GREY, "start", -0.15),
        (fit.after, _BLUE, "learnt", 0.15),
    ):
        at = [i + shift for i, n in enumerate(names) if n in found]
        left.plot([found[n].mean for n in names if n in found], at, "o", color=colour, label=label)
        right.plot([found[n].sd for n in names if n in found], at, "o", color=colour)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xlabel("mean over women (0 fits)")
    right.set_xlabel("SD over women (1 fits)")
    left.legend(fontsize=7, frameon=False)
    return figure
