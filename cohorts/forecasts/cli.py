"""The command `cohort validate`. Heavy rooms are imported inside it."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DONE, UNUSABLE, USAGE, IN_PART = 0, 1, 2, 3


class Births(StrEnum):
    """Whether the women are real."""

    real = "real"
    simulated = "simulated"


HELP = """Validate forecasts on women whose births are known.

\b
Examples:
  gdm-twin cohort validate records/ --out out/validation --births real --data "St Anne, 2024, all GDM"
  gdm-twin cohort validate records/ --out out/validation --as-of 30+0 --as-of 36+0 --births real --data "St Anne"
  gdm-twin cohort validate scans.csv --mapping scans.toml --as-of last-scan --out out/scans --births real --data "Scans"
  gdm-twin cohort validate out/cohort/fhir --outcomes out/cohort/outcomes --out out/sim --births simulated --data "own"

Forecasts are issued as of each day from what was known then, nothing later. Each is judged twice: as a forecast, and
given the day of birth, which no clinic knows. Comparators (estimated weight and its centile, regressions, a Gaussian
process, boosted trees, the prior without her data) are fitted on other women, in five folds by a hash of the id.

SOURCE is FHIR (a Bundle, NDJSON plain or .gz, or a folder of them) with newborns, or a CSV table of one row a woman
with --mapping, a TOML file that says what its columns are.

Writes OUT/validation.html, results.json, results.csv, predictions.csv, left_out.csv, plots/, and issued/, from which a
stopped run goes on; it may be deleted.

Exit codes: 0 done; 1 nothing usable; 2 wrong usage; 3 done in part (women were left out for a fault of their record).
"""

#: reasons that are her own, not a fault: exit code 0 holds beside them
HER_OWN = (
    "no-birth",
    "born-before",
    "no-such-day",
    "out-of-scope",
    "undated",
    "prior-undated",
    "born-outside",
)


def validate(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="FHIR with outcomes, or a CSV table.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report and the tables.")],
    births: Annotated[
        Births, typer.Option("--births", help="Simulated women are labelled so on every table.")
    ],
    data: Annotated[str, typer.Option("--data", help="Which women these are, in words, for the report.")],
    as_of: Annotated[
        list[str] | None,
        typer.Option("--as-of", help="Weeks, as 36 or 36+0, or last-scan; repeatable. Without: 36+0."),
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="Folder of births, files named as those of SOURCE.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="What the columns of a CSV table are: TOML.")
    ] = None,
    prior: Annotated[str | None, typer.Option("--prior", help="Population prior: name or file.")] = None,
    growth_standard: Annotated[
        str | None, typer.Option("--growth-standard", help="Shape of fetal growth.")
    ] = None,
    lga_reference: Annotated[
        str | None, typer.Option("--lga-reference", help="Newborn chart that LGA and SGA are read from.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Futures of each woman.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes side by side.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")] = False,
) -> None:
    from twin.errors import TwinError

    started = time.monotonic()
    try:
        told = _validate(
            source, outcomes, out, births.value, data, as_of or ["36+0"], mapping, prior, growth_standard,
            lga_reference, draws, seed, workers,
        )  # fmt: skip
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        raise typer.Exit(USAGE if why.code in ("bad-as-of", "bad-mapping", "no-data") else UNUSABLE) from why
    told["seconds"] = round(time.monotonic() - started, 1)
    lost = told.pop("in_part")
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        counts = ", ".join(f"{n} {code}" for code, n in told["left_out"].items()) or "nothing left out"
        typer.echo(f"{told['forecasts']} forecasts of {told['women']} women judged ({counts}).")
        if told["not_ok"]:
            typer.echo(
                f"{told['not_ok']} rest on a fit that is not to be trusted; they are judged with the others."
            )
        typer.echo(f"See {out.name}/{told['report']}")
    raise typer.Exit(IN_PART if lost else DONE)


def _validate(
    source: Path,
    outcomes: Path | None,
    out: Path,
    births: str,
    data: str,
    as_ofs: list[str],
    mapping: Path | None,
    prior: str | None,
    growth_standard: str | None,
    lga_reference: str | None,
    draws: int,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    from cohorts.forecasts.run import as_of_label, questions
    from twin.errors import UnusableInput

    days = [as_of_label(a) for a in as_ofs]
    if not data.strip():
        raise UnusableInput(
            "no-data", "--data is empty; expected which women these are. Nothing was forecast."
        )
    from scenarios.cli import start_engine

    start_engine()
    from collections import Counter

    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress

    from cohorts.forecasts.mapping import load_mapping, read_table, records_of
    from cohorts.forecasts.run import issue, judge
    from cohorts.forecasts.source import read_with_outcomes
    from scenarios.engine import with_settings
    from twin.inference.priors import DEFAULT_PRIOR, load_prior
    from twin.settings import SiteSettings

    settings = with_settings(SiteSettings(), growth_standard, lga_reference)
    start = load_prior(prior or DEFAULT_PRIOR)
    if mapping is not None:
        records, left_out = records_of(read_table(source), load_mapping(mapping))
    else:
        found = read_with_outcomes(source, outcomes)
        records, left_out = [r for r, _ in found.records], list(found.left_out)
    asked, without = questions(records, days)
    left_out += without
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"forecasts of {len(records)} women", total=len(asked))
        issued = issue(
            asked, start, settings, out / "issued", draws=draws, seed=seed, workers=workers,
            done=lambda n: bar.advance(task, n),
        )  # fmt: skip
        task = bar.add_task("judging", total=None)
        left_out += issued.left_out
        judge(issued, out, data=data, births=births, say=lambda _: bar.advance(task))  # type: ignore[arg-type]
    table = pd.DataFrame([(x.who, x.code, x.message) for x in left_out], columns=["who", "code", "message"])
    table.to_csv(out / "left_out.csv", index=False)
    return {
        "women": int(issued.predictions["woman"].nunique()),
        "forecasts": issued.forecasts,
        "not_ok": issued.not_ok,
        "left_out": dict(Counter(x.code for x in left_out).most_common()),
        "in_part": any(x.code not in HER_OWN for x in left_out),
        "prior": start.id,
        "prior_sha256": start.sha256,
        "report": "validation.html",
    }
