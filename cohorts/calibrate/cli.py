"""The command `cohort calibrate`. Heavy rooms are imported inside it."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DONE, UNUSABLE, USAGE, IN_PART = 0, 1, 2, 3


class Group(StrEnum):
    """What women are grouped by."""

    none = "none"
    device = "device"
    site = "site"


HELP = """Learn a population prior from the records of many women.

\b
Examples:
  gdm-twin cohort calibrate records/ --out prior.toml
  gdm-twin cohort calibrate records/ --out prior.toml --covariates bmi,age --group site
  gdm-twin run her.json --out out/her --prior prior.toml

Learns means, SDs and correlations of latents between women, effects of covariates, and how sites or sensors differ.
A site is the first folder below SOURCE, since records name none. Writes PRIOR.toml, which --prior reads, PRIOR.json
(how it was learnt, from whom, who was left out and why, draws, checks), PRIOR.html to look at, with --group also
PRIOR.GROUP.toml, and PRIOR.posteriors/, from which a stopped run goes on; it may be deleted.

Exit codes: 0 done (PRIOR.json says in `ok` whether the result is to be trusted); 1 nothing usable, or too few women;
2 wrong usage; 3 done in part (files or whole women were unreadable and left out).
"""


def calibrate(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="FHIR Bundle, NDJSON (plain or .gz), or a folder of them."),
    ],
    out: Annotated[Path, typer.Option("--out", help="PRIOR.toml to write.")],
    prior: Annotated[str | None, typer.Option("--prior", help="Prior to start from: name or file.")] = None,
    latents: Annotated[
        str | None, typer.Option("--latents", help="Names, by commas; an unknown name lists them.")
    ] = None,
    covariates: Annotated[str, typer.Option("--covariates", help="Names, by commas.")] = "",
    group: Annotated[Group, typer.Option("--group", help="What may differ between groups.")] = Group.none,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="At most; fewer where one is enough.")] = 3,
    growth_standard: Annotated[
        str, typer.Option("--growth-standard", help="Shape of fetal growth.")
    ] = "hadlock1991",
    as_json: Annotated[bool, typer.Option("--json", help="Print PRIOR.json without draws.")] = False,
) -> None:
    from twin.errors import TwinError

    started = time.monotonic()
    try:
        told, names = _calibrate(
            source, out, prior, latents, covariates, group.value, seed, rounds, growth_standard
        )
    except TwinError as why:
        from cohorts.calibrate.cohort import WRONG_USAGE

        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(USAGE if why.code in WRONG_USAGE else UNUSABLE) from why
    lost = told.pop("in_part")
    if as_json:
        for row in told["hyperparameters"].values():
            row.pop("draws")
        typer.echo(
            json.dumps(told | {"files": names, "seconds": round(time.monotonic() - started, 1)}, indent=1)
        )
    else:
        counts = (
            ", ".join(f"{n} {code}" for code, n in told["left_out_by_reason"].items()) or "nobody left out"
        )
        typer.echo(
            f"{told['id']}: learnt from {told['women']} women ({counts}) by {told['sampler']['road']}."
        )
        typer.echo(
            "The sampler's limits are met."
            if told["ok"]
            else f"NOT TO BE TRUSTED: {'; '.join(told['reasons'])}"
        )
        typer.echo(f"{', '.join(names)}; use it with --prior {out.name}")
    raise typer.Exit(IN_PART if lost else DONE)


def _calibrate(
    source: Path,
    out: Path,
    prior: str | None,
    latents: str | None,
    covariates: str,
    group: str,
    seed: int,
    rounds: int,
    standard: str,
) -> tuple[dict[str, Any], list[str]]:
    from scenarios.cli import start_engine

    start_engine()
    import jax
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.calibrate import artefact
    from cohorts.calibrate.cohort import LATENTS, calibrate_cohort, what_of
    from cohorts.calibrate.read import candidates, read_cohort
    from cohorts.calibrate.store import Store
    from twin.inference.priors import DEFAULT_PRIOR, load_prior
    from twin.physiology.fetus import growth_table

    artefact.stem_of(out)
    growth_table(standard)
    start = load_prior(prior or DEFAULT_PRIOR)
    chosen = _names(latents) if latents is not None else LATENTS
    wanted = _names(covariates)
    what_of(start, chosen, wanted, "none", ())  # names are judged before records are read
    found = read_cohort(source)
    women, dropped = candidates(found.records, standard, group)
    left_out = [*found.left_out, *dropped]
    id = artefact.id_of(found.sha256, start, (chosen, wanted, group, seed, rounds, standard))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"learning from {len(women)} women", total=None)
        fit = calibrate_cohort(
            jax.random.key(seed),
            women,
            start,
            standard=standard,
            id=id,
            latents=chosen,
            covariates=wanted,
            group=group,
            rounds=rounds,
            store=Store(artefact.beside(out, ".posteriors")),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    told = artefact.as_told(fit, found, left_out, seed, standard)
    written = artefact.write(fit, told, out)
    return told | {"in_part": artefact.in_part([*left_out, *fit.left_out])}, [p.name for p in written]


def _names(text: str) -> tuple[str, ...]:
    return tuple(n for n in (part.strip() for part in text.split(",")) if n)
