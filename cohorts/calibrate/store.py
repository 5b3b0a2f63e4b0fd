"""Draws of each woman's posterior on disk, so that a stopped calibration goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cohorts.calibrate.read import Candidate
from twin import __version__
from twin.inference.encoded import to_arrays
from twin.inference.priors import Prior


@dataclass(frozen=True)
class HerDraws:
    """deviates : (latent, draw), in SDs of the prior from its centers, and their weights. ok : whether her fit can be
    trusted. pivots : of her data under the prior, by "reading, kind"; none where they were not asked for."""

    deviates: np.ndarray
    weights: np.ndarray
    ok: bool
    pivots: dict[str, float]


def key_of(woman: Candidate, prior: Prior, standard: str, latents: tuple[str, ...], run: str) -> str:
    """Everything her draws depend on. run : seed, draws and whatever else the caller chose."""
    found = hashlib.sha256(
        repr((woman.name, woman.as_of_day, prior.sha256, standard, latents, run, __version__)).encode()
    )
    for name, array in to_arrays(woman.data).items():
        found.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]


class Store:
    """One file a woman and prior in `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> HerDraws | None:
        """What is kept under the key; None where there is nothing, or a file that a stop tore."""
        if self.folder is None:
            return None
        try:
            with np.load(self.folder / f"{key}.npz", allow_pickle=False) as kept:
                told = json.loads(str(kept["told"]))
                return HerDraws(kept["deviates"], kept["weights"], told["ok"], told["pivots"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None

    def put(self, key: str, found: HerDraws) -> None:
        if self.folder is None:
            return
        text = io.BytesIO()
        told = json.dumps({"ok": found.ok, "pivots": found.pivots})
        np.savez(text, deviates=found.deviates, weights=found.weights, told=np.array(told))
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as out:
            out.write(text.getvalue())
        Path(out.name).replace(self.folder / f"{key}.npz")
