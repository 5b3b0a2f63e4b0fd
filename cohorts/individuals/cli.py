"""The command that learns a population of single people from a folder of tolerance tests."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DONE, UNUSABLE = 0, 1

HELP = """Learn how people differ from tolerance tests with insulin: glucose, insulin (and C-peptide) of adults who are
not pregnant.

\b
Example:
  gdm-twin cohort individuals ../shared vanderbilt --out out/population.json

SOURCE is a shelf of data; its data/ folder holds the data sets, which are not part of this package. Writes the learnt
population with its uncertainty as JSON. It is no statement about pregnant women, nor about accuracy in anyone.

Exit codes: 0 done (rejected rows are counted in `issues`); 1 nothing usable; 2 wrong usage.
"""


class DataSet(StrEnum):
    """Data sets with more than one person."""

    vanderbilt = "vanderbilt"
    tokyo = "tokyo"


def individuals(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Shelf that holds data/.")],
    data: Annotated[DataSet, typer.Argument(metavar="DATA", help="vanderbilt or tokyo.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file of the population.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
    draws: Annotated[int, typer.Option("--draws", min=50, help="Draws of each person.")] = 400,
    populations: Annotated[
        int, typer.Option("--populations", min=100, help="Draws of the population in the file.")
    ] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from cohorts.individuals.data import load
    from twin.errors import TwinError

    try:
        tests, issues = load(source, data.value)
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(UNUSABLE) from why
    import jax

    from cohorts.individuals.artefact import as_artefact, write_artefact
    from cohorts.individuals.population import learn

    jax.config.update("jax_enable_x64", True)
    learnt = learn(
        jax.random.key(seed),
        tests,
        draws=draws,
        populations=populations,
        say=lambda text: typer.echo(text, err=True),
    )
    found = as_artefact(learnt, tests, seed) | {"issues": [f"{i.source}: {i.code}" for i in issues]}
    write_artefact(found, out)
    told = {k: found[k] for k in ("schema", "data", "people", "values", "log_marginal", "issues")}
    told["diagnostics"] = {k: v for k, v in found["diagnostics"].items() if not isinstance(v, list)}
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        typer.echo(
            f"{found['people']} people, {found['values']} values, {len(issues)} rejected rows: {out.name}"
        )
