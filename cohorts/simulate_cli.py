"""The command `cohort simulate`. Heavy rooms are imported inside it, so that `--help` stays fast."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cohorts.synthetic.folder import Asked, Chosen

DONE, UNUSABLE, USAGE, IN_PART = 0, 1, 2, 3
#: error codes that are wrong usage; every other one is unusable input
WRONG_USAGE = (
    "unknown-design",
    "not-in-generator",
    "prior-without-meaning",
    "unknown-stratum",
    "bad-share",
    "stratum-without-meaning",
)


class Generator(StrEnum):
    """Whose physics the women have."""

    own = "own"
    other = "other"


SIMULATE_HELP = """Simulate women with known truth: FHIR records, and the truth in a file of its own.

\b
Examples:
  gdm-twin cohort simulate --n 200 --out out/cohort
  gdm-twin cohort simulate --n 10000 --out out/many --workers 2 --json
  gdm-twin cohort simulate --n 500 --out out/hospital --design hospital --outcomes
  gdm-twin cohort simulate --n 400 --out out/rare --stratum macrosomia=0.3 --stratum class-3-obesity=0.2
  gdm-twin cohort simulate --n 100 --out out/other --design sensor --generator other

Writes OUT/fhir/women-NNNNN.ndjson.gz, file by file, then OUT/truth.parquet; OUT/cohort.json says what was asked for.
The same seed gives the same women; woman i does not depend on N. A run that was stopped goes on, given the same
arguments again, after the last whole file. What is simulated says so, and shows nothing about accuracy in real women.

The generator "own" draws from the prior with the model's own equations; "other" has other physics, to judge inference
on women it was not made for. The design "hospital" has what real records have: readings that are missing in runs,
sensors that come off, forgotten meals, missed and misread scans, insulin by protocol.

Strata (--stratum NAME or NAME=SHARE, repeatable): macrosomia, overt-diabetes, class-3-obesity, growth-restriction,
poor-window. The column `weight` of truth.parquet undoes the enrichment: weighted means are of the plain population.

Exit codes: 0 done; 1 prior not usable, or OUT holds another cohort; 2 wrong usage, unknown design or stratum, or
something the generator has no use for; 3 stopped with part of the files written.
"""


def simulate(
    n: Annotated[int, typer.Option("--n", min=1, help="Number of women.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the records and the truth.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
    design: Annotated[
        str, typer.Option("--design", help="What is measured and given; an unknown name lists them.")
    ] = "standard",
    generator: Annotated[
        Generator, typer.Option("--generator", help="Physics of the women: the model's own, or another one.")
    ] = Generator.own,
    prior: Annotated[
        str | None, typer.Option("--prior", help="Population prior: name or file; own generator only.")
    ] = None,
    growth_standard: Annotated[
        str, typer.Option("--growth-standard", help="Shape of fetal growth.")
    ] = "hadlock1991",
    stratum: Annotated[
        list[str] | None, typer.Option("--stratum", help="Make a rare stratum frequent: NAME or NAME=SHARE.")
    ] = None,
    outcomes: Annotated[
        bool, typer.Option("--outcomes", help="Write births too, in OUT/outcomes, apart from the records.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes; the files are the same.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from scenarios.cli import start_engine

    start_engine()
    from cohorts.synthetic import folder
    from cohorts.synthetic.strata import read_strata
    from twin.errors import TwinError

    started = time.monotonic()
    try:
        asked = folder.Asked(
            n=n,
            seed=seed,
            design=design,
            generator=generator.value,
            prior=_prior(generator, prior),
            growth_standard=growth_standard,
            strata=read_strata(stratum or ()),
            outcomes=outcomes,
        )
        made = _make(asked, out, workers)
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(USAGE if why.code in WRONG_USAGE else UNUSABLE) from why
    except KeyboardInterrupt:
        whole = sum(folder.is_whole(out, number) for number in range(asked.files))
        typer.echo(
            f"stopped: {whole} of {asked.files} files are whole. The same command goes on from there.",
            err=True,
        )
        raise typer.Exit(IN_PART) from None
    except FloatingPointError as why:
        typer.echo(f"error (not-finite): {why}. The files that are whole stay.", err=True)
        raise typer.Exit(UNUSABLE) from why
    told = _summary(asked, out) | {"files_of_earlier_runs": asked.files - made}
    told["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    typer.echo(
        f"{n} simulated women ({told['gdm']} meet IADPSG) in {asked.files} file(s) under {folder.RECORDS}/; "
        f"truth in {folder.TRUTH}, apart."
    )
    for name, shares in told["strata"].items():
        typer.echo(
            f"{name}: {100 * shares['share']:.1f} % of them, {100 * shares['weighted']:.1f} % weighted"
        )


def _prior(generator: Generator, prior: str | None) -> str:
    """The prior's name; "" for the other generator, which draws from none.

    Raises : UnusableInput "prior-without-meaning".
    """
    from twin.errors import UnusableInput
    from twin.inference.priors import DEFAULT_PRIOR

    if generator is Generator.own:
        return prior or DEFAULT_PRIOR
    if prior is not None:
        raise UnusableInput(
            "prior-without-meaning",
            f"--prior {prior!r} was given with --generator other, which draws from no prior. Nothing was simulated. "
            "Leave --prior out, or use --generator own.",
        )
    return ""


def _make(asked: Asked, out: Path, workers: int) -> int:
    """Everything that is not there yet; returns the files made."""
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.synthetic import folder

    with Progress(console=Console(stderr=True), transient=True) as bar:
        look = bar.add_task("choosing women", total=asked.n, visible=bool(asked.strata))
        chosen = folder.begin(asked, out, lambda kept: bar.update(look, completed=kept))
        bar.update(look, visible=False)
        todo = [number for number in range(asked.files) if not folder.is_whole(out, number)]
        women = len(chosen.index)
        left = sum(len(chosen.of_file(number).index) for number in todo)
        task = bar.add_task(f"simulating {women} women", total=women, completed=women - left)
        for done in _files(asked, out, chosen, todo, min(workers, max(len(todo), 1))):
            bar.advance(task, done)
        folder.join_truth(asked, out)
    return len(todo)


def _files(asked: Asked, out: Path, chosen: Chosen, todo: list[int], workers: int) -> Iterator[int]:
    """Women made, file by file."""
    from cohorts.synthetic.folder import make_file

    if workers == 1:
        for number in todo:
            yield make_file(asked, out, number, chosen.of_file(number))
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from scenarios.cli import start_engine

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_engine) as pool:
        parts = [pool.submit(make_file, asked, out, number, chosen.of_file(number)) for number in todo]
        try:
            for part in as_completed(parts):
                yield part.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _summary(asked: Asked, out: Path) -> dict[str, Any]:
    """What the finished folder holds."""
    import numpy as np
    import pyarrow.parquet as pq

    from cohorts.synthetic import folder
    from cohorts.synthetic.strata import effective_women

    truth = pq.ParquetFile(out / folder.TRUTH)
    assert truth.metadata.num_rows == asked.n
    names = {name: name.replace("-", "_") for name in asked.strata}
    wanted = ["gdm", "prior_id", "weight", *(_column(name) for name in asked.strata)]
    table = truth.read(columns=wanted).to_pandas()
    weight = table["weight"].to_numpy()
    strata = {}
    for name in names:
        here = table[_column(name)].to_numpy(dtype=bool)
        strata[name] = {
            "share": float(here.mean()),
            "weighted": float(np.average(here, weights=weight)),
        }
    return {
        "schema": "gdm-twin/cohort-simulate/1",
        "simulated": True,
        "women": asked.n,
        "design": asked.design,
        "seed": asked.seed,
        "generator": asked.generator,
        "prior_id": str(table["prior_id"].iloc[0]),
        "growth_standard": asked.growth_standard,
        "strata": strata,
        "effective_women": round(effective_women(weight), 1),
        "gdm": int(table["gdm"].eq(True).sum()),
        "files": [f"{folder.RECORDS}/women-{number:05d}.ndjson.gz" for number in range(asked.files)],
        "outcomes": folder.OUTCOMES if asked.outcomes else None,
        "truth": folder.TRUTH,
    }


def _column(stratum: str) -> str:
    """Of the truth, that says who belongs to it."""
    return "poor_window" if stratum == "poor-window" else f"is_{stratum.replace('-', '_')}"
