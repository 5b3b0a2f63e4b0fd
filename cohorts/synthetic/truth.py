"""What is true of a simulated woman; kept apart from her record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK


@dataclass(frozen=True)
class Truth:
    """One woman's truth. Days are recorded gestational days; add 7 * `dating_shift_weeks` for true ones.

    z : every latent of the prior by name. parameters : what they stand for. fetal_weight_g : at whole recorded
    weeks from FIRST_WEEK. mean_glucose_mg_dl : of each week's reference day, weeks from GLUCOSE_FROM_WEEK.
    Beyond the record's end her treatment goes on as it was planned.
    """

    pseudonym: str
    design: str
    prior_id: str
    standard: str
    as_of_day: int
    delivery_day: int
    birth_weight_g: float
    latent_weight_at_birth_g: float
    dating_shift_weeks: float
    fetal_sex: str
    gdm: bool | None
    treated: bool
    z: dict[str, float]
    parameters: dict[str, float]
    fetal_weight_g: np.ndarray
    mean_glucose_mg_dl: np.ndarray

    def row(self) -> dict[str, object]:
        """One flat row of `truth.parquet`."""
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("z", "parameters", "fetal_weight_g", "mean_glucose_mg_dl")
        }
        return (
            plain
            | {f"z_{k}": v for k, v in self.z.items()}
            | self.parameters
            | {f"fetal_weight_g_week_{FIRST_WEEK + i}": float(v) for i, v in enumerate(self.fetal_weight_g)}
            | {
                f"mean_glucose_mg_dl_week_{GLUCOSE_FROM_WEEK + i}": float(v)
                for i, v in enumerate(self.mean_glucose_mg_dl)
            }
        )


def write_truth(truths: Iterable[Truth], path: str | Path) -> int:
    """Write one row per woman as Parquet; returns the rows written."""
    table = pd.DataFrame([t.row() for t in truths])
    table.to_parquet(path, index=False)
    return len(table)
