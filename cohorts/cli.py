"""The command group `cohort`: many virtual women. Heavy rooms are imported inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cohorts.calibrate import cli as calibrate
from cohorts.forecasts import cli as forecasts
from cohorts.individuals import cli as individuals
from cohorts.simulate_cli import SIMULATE_HELP, simulate

DONE, UNUSABLE, USAGE = 0, 1, 2


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
    group.command("simulate", help=SIMULATE_HELP)(simulate)
    group.command("evidence", help=_EVIDENCE_HELP)(evidence)
    group.command("individuals", help=individuals.HELP)(individuals.individuals)
    group.command("calibrate", help=calibrate.HELP)(calibrate.calibrate)
    group.command("validate", help=forecasts.HELP)(forecasts.validate)
    app.add_typer(group, name="cohort")


def _group() -> None:
    """Virtual cohorts: simulate women with known truth."""


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
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes side by side.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from scenarios.cli import start_engine

    start_engine()
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.evidence.report import write
    from cohorts.evidence.run import DESIGNS, run, women_of
    from cohorts.ladder.artefact import learnt_population, observed_rules
    from twin.errors import TwinError
    from twin.inference.priors import DEFAULT_PRIOR

    try:
        population = learnt_population(prior or DEFAULT_PRIOR, growth_standard)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating study designs", total=len(DESIGNS))
            found = run(population, out, share=share, workers=workers, done=lambda _: bar.advance(task))
        told = write(
            found,
            population,
            out,
            women=sum(women_of(d, share) for d in DESIGNS),
            people=observed_rules(prior or DEFAULT_PRIOR),
        )
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
