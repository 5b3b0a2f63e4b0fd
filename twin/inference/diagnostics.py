"""How far a set of draws can be trusted: effective size, Pareto k, R-hat."""

from __future__ import annotations

import numpy as np

from twin.inference.arviz_gate import psislw


def effective_sample_size(weights: np.ndarray) -> float:
    """Kish effective size of normalised weights."""
    return float(1.0 / np.sum(np.square(weights)))


def pareto_k(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(smoothed log weights, k) by Pareto smoothing, through arviz [Vehtari et al. 2024, JMLR 25:72]."""
    finite = np.where(np.isfinite(log_weights), log_weights, -1e6)
    return psislw(finite)
