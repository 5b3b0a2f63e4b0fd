"""The command group `cohort`: many virtual women. Heavy rooms are imported inside the commands."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cohorts.calibrate import cli as calibrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jax import Array

    from cohorts.synthetic import Design, Truth
    from twin.inference.priors import Prior
    from twin.record import PatientRecord

DONE, UNUSABLE, USAGE = 0, 1, 2
WOMEN_PER_FILE = 128
#: error codes that are wrong usage; every other one is unusable input
WRONG_USAGE = ("unknown-design", "not-in-generator", "prior-without-meaning")


class Generator(StrEnum):
    """Whose physics the women have."""

    own = "own"
    other = "other"


_SIMULATE_HELP = """Simulate women with known truth: FHIR records, and the truth in a file of its own.

\b
Examples:
  gdm-twin cohort simulate --n 200 --out out/cohort
  gdm-twin cohort simulate --n 50 --out out/clinic --design clinic --seed 3 --json
  gdm-twin cohort simulate --n 100 --out out/other --design sensor --generator other

Writes OUT/fhir/women-NNNNN.ndjson.gz and OUT/truth.parquet. The same seed gives the same women; woman i does not
depend on N. What is simulated says so, and shows nothing about accuracy in real women. The generator "own" draws from
the prior with the model's own equations; "other" has other physics, to judge inference on women it was not made for.

Exit codes: 0 done; 1 prior not usable, or OUT already holds a cohort; 2 wrong usage, unknown design, or a design or
prior the generator has no use for.
"""


_EVIDENCE_HELP = """Compare virtual women with published studies, row by row.

\b
Examples:
  gdm-twin cohort evidence --out out/evidence
  gdm-twin cohort evidence --out out/quick --share 0.1
  gdm-twin cohort evidence --out out/mine --prior my-prior.toml --json

Each study's design is simulated (who, when, treatment, blinding, label) and its own statistic computed. Writes
OUT/evidence.html, OUT/evidence.csv and OUT/plots. A stopped run goes on where it was. What is shown is how groups in
the literature are reproduced; it is no accuracy in any woman.

Exit codes: 0 done; 1 prior not usable; 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add the commands of `cohorts`."""
    group = typer.Typer(no_args_is_help=True, help="Virtual cohorts.", rich_markup_mode=None)
    group.callback()(_group)
    group.command("simulate", help=_SIMULATE_HELP)(simulate)
    group.command("evidence", help=_EVIDENCE_HELP)(evidence)
    group.command("calibrate", help=calibrate.HELP)(calibrate.calibrate)
    app.add_typer(group, name="cohort")


def _group() -> None:
    """Virtual cohorts: simulate women with known truth."""


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
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from scenarios.cli import start_engine

    start_engine()
    import jax
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.synthetic import design_named, write_simulated, write_truth
    from twin.errors import TwinError

    started = time.monotonic()
    try:
        plan = design_named(design)
        population = _population(generator, prior)
        folder = _fresh(out)
        women: list[PatientRecord] = []
        truths: list[Truth] = []
        files: list[Path] = []
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"simulating {n} women", total=n)
            cohort = _women(
                jax.random.key(seed),
                n,
                plan,
                population,
                growth_standard,
                lambda done: bar.update(task, completed=done),
            )
            for record, truth in cohort:
                women.append(record)
                truths.append(truth)
                if len(women) == WOMEN_PER_FILE or len(truths) == n:
                    files.append(folder / f"women-{len(files):05d}.ndjson.gz")
                    write_simulated(women, files[-1])
                    women = []
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(USAGE if why.code in WRONG_USAGE else UNUSABLE) from why
    write_truth(truths, out / "truth.parquet")
    summary = {
        "schema": "gdm-twin/cohort-simulate/1",
        "simulated": True,
        "women": n,
        "design": plan.name,
        "seed": seed,
        "generator": generator.value,
        "prior_id": truths[0].prior_id,
        "growth_standard": growth_standard,
        "gdm": sum(bool(t.gdm) for t in truths),
        "files": [str(f.relative_to(out)) for f in files],
        "truth": "truth.parquet",
        "seconds": round(time.monotonic() - started, 1),
    }
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
    else:
        typer.echo(
            f"{n} simulated women ({summary['gdm']} meet IADPSG) in {len(files)} file(s) under {folder.name}/; "
            "truth in truth.parquet, apart."
        )


def evidence(
    out: Annotated[Path, typer.Option("--out", help="Folder for the table and the pictures.")],
    prior: Annotated[str | None, typer.Option("--prior", help="Population prior: name or file.")] = None,
    share: Annotated[
        float,
        typer.Option("--share", min=0.01, max=1.0, help="Of the women of a full run; fewer are quicker."),
    ] = 1.0,
    growth_standard: Annotated[
        str, typer.Option("--growth-standard", help="Shape of fetal growth.")
    ] = "hadlock1991",
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from scenarios.cli import start_engine

    start_engine()
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.evidence.report import write
    from cohorts.evidence.run import DESIGNS, run
    from cohorts.population.population import Population
    from twin.errors import TwinError
    from twin.inference.priors import DEFAULT_PRIOR, load_prior

    try:
        population = Population(load_prior(prior or DEFAULT_PRIOR), {}, growth_standard)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating study designs", total=len(DESIGNS))
            found = run(population, out, share=share, done=lambda _: bar.advance(task))
        told = write(found, population, out)
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(UNUSABLE) from why
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    for role, s in told["scores"].items():
        typer.echo(
            f"{role}: {100.0 * s['share']:.0f} % of {s['rows']} rows inside their band ({s['studies']} studies)"
        )
    typer.echo(f"{len(told['missed'])} rows outside; see {out.name}/evidence.html")


def _population(generator: Generator, prior: str | None) -> Prior | None:
    """The prior to draw from; None for the other generator, which has none.

    Raises : TwinError "prior-without-meaning", or what loading a prior raises.
    """
    from twin.errors import UnusableInput
    from twin.inference.priors import DEFAULT_PRIOR, load_prior

    if generator is Generator.own:
        return load_prior(prior or DEFAULT_PRIOR)
    if prior is not None:
        raise UnusableInput(
            "prior-without-meaning",
            f"--prior {prior!r} was given with --generator other, which draws from no prior. Nothing was simulated. "
            "Leave --prior out, or use --generator own.",
        )
    return None


def _women(
    key: Array, n: int, plan: Design, population: Prior | None, standard: str, progress: Callable[[int], None]
) -> Iterator[tuple[PatientRecord, Truth]]:
    from cohorts.synthetic import simulate_cohort, simulate_other

    if population is None:
        return simulate_other(key, n, plan, standard, progress=progress)
    return simulate_cohort(key, n, plan, population, standard, progress=progress)


def _fresh(out: Path) -> Path:
    """The folder for records; women of an earlier run are never mixed with new ones.

    Raises : TwinError "not-empty".
    """
    from twin.errors import UnusableInput

    folder = out / "fhir"
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("women-*.ndjson.gz")):
        raise UnusableInput(
            "not-empty", f"{out.name}/fhir already holds a cohort. Nothing was written. Give another folder."
        )
    return folder
