"""The one module that touches ArviZ: 0.23 (InferenceData) on Python 3.11, 1.x (DataTree) from 3.12 on.

ArviZ loads its plots with itself (2 s), so it is imported where a sampler's diagnostics need it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr


def _arviz(groups: dict[str, Any]) -> tuple[Any, Any]:
    """The module, and the groups in its container."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0.23 announces its successor at import
        import arviz as az
    modern = int(az.__version__.split(".")[0]) >= 1
    return az, az.from_dict(groups) if modern else az.from_dict(**groups)


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Estimated Bayesian fraction of missing information of each chain, (chain,). energy : (chain, draw)."""
    az, data = _arviz({"sample_stats": {"energy": energy}})
    found = az.bfmi(data)  # an array; in 1.x a dataset
    return np.asarray(found if isinstance(found, np.ndarray) else found["energy"])


def rhat_and_ess(draws: dict[str, np.ndarray]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """(R-hat, bulk ESS, tail ESS) by name from (chain, draw) arrays."""
    az, data = _arviz({"posterior": draws})

    def table(result: Any) -> dict[str, float]:
        if not hasattr(result, "data_vars"):
            result = (
                result["posterior"].to_dataset() if hasattr(result["posterior"], "to_dataset") else result
            )
        return {str(name): float(result[name]) for name in draws}

    return table(az.rhat(data)), table(az.ess(data)), table(az.ess(data, method="tail"))


def write_posterior(path: Path, groups: dict[str, xr.Dataset]) -> None:
    """posterior.nc with the groups posterior, sample_stats, observed_data, posterior_predictive.

    A DataTree writes the same file as InferenceData (one netCDF group each), so both versions read it.
    """
    tree = xr.DataTree.from_dict(dict(groups.items()))
    tree.to_netcdf(path, engine="h5netcdf")


def read_posterior(path: Path) -> dict[str, xr.Dataset]:
    """The groups of a posterior.nc."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return {name: node.to_dataset().load() for name, node in tree.children.items()}
