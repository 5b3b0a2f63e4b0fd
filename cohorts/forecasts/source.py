"""Records whose births stand in files of their own, read together."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cohorts.calibrate.read import Source, read_cohort


def read_with_outcomes(records: Path, outcomes: Path | None) -> Source:
    """Women of `records`; each file together with that of the same name in `outcomes`, as `cohort simulate` writes
    them.

    Raises : UnusableInput of `read_cohort`.
    """
    if outcomes is None:
        return read_cohort(records)
    with tempfile.TemporaryDirectory() as name:
        together = Path(name)
        files = [records] if records.is_file() else sorted(f for f in records.rglob("*") if f.is_file())
        base = records.parent if records.is_file() else records
        for file in files:
            place = together / file.relative_to(base)
            born = outcomes / file.relative_to(base)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            if born.is_file():
                with (
                    place.open("ab") as end,
                    born.open("rb") as more,
                ):  # gz and NDJSON files may be joined as they are
                    shutil.copyfileobj(more, end)
        return read_cohort(together if records.is_dir() else together / records.name)
