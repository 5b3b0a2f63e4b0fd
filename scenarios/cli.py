"""The commands `demo` and `run`. Heavy rooms are imported inside them, so that `--help` stays fast."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

DONE, UNUSABLE, USAGE, IN_PART = 0, 1, 2, 3
DEMO_PATIENTS = ("diet", "insulin", "large", "normal")

_RUN_HELP = """Forecast one woman, or each woman in a file or folder: record to report.

\b
Examples:
  gdm-twin run record.json --out out/her
  gdm-twin run record.json --out out/her --as-of 2026-10-30 --birth-day 39+0
  gdm-twin run record.json --out out/her --scenario as_now --scenario untreated --method nuts

Writes record/, posterior.nc, forecast.nc, risk.json, report.html and risk_assessment.json; with several women,
one folder each. Exit codes: 0 done; 1 unusable or out of scope; 2 wrong usage; 3 done in part (whole women or
files left out, or a woman whose run failed).
"""
_DEMO_HELP = """Run the packaged simulated patient end to end, without network.

\b
Examples:
  gdm-twin demo
  gdm-twin demo --out out/demo --patient insulin
"""


def register(app: typer.Typer) -> None:
    """Add the commands of `scenarios`."""
    app.command("demo", help=_DEMO_HELP)(demo)
    app.command("run", help=_RUN_HELP)(run)


def start_engine() -> None:
    """JAX for the engine: 64-bit floats to fit, and compiled programs that outlive the process."""
    import jax

    from twin.programs import keep_programs

    jax.config.update("jax_enable_x64", True)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gdm-twin"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(home / "jax"))
    keep_programs(home / "programs")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        typer.echo(text, err=True)


def _sampling_bar(label: str) -> Callable[[int, int], None]:
    """A bar on stderr while chains are sampled; without a terminal it is drawn once, at the end."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True))
    task = bar.add_task(f"{label}: sampling", total=None)

    def told(done: int, of: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=of)
        if done >= of:
            bar.stop()

    return told


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("out/demo"),
    patient: Annotated[str, typer.Option("--patient", help=f"One of {', '.join(DEMO_PATIENTS)}.")] = "diet",
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
) -> None:
    if patient not in DEMO_PATIENTS:
        typer.echo(
            f"error: patient {patient!r} is not packaged; expected one of {', '.join(DEMO_PATIENTS)}.",
            err=True,
        )
        raise typer.Exit(USAGE)
    packaged = resources.files("scenarios") / "data" / f"demo_{patient}.ndjson.gz"
    typer.echo("Packaged patient: simulated by gdm-twin, not a real woman.", err=True)
    with resources.as_file(packaged) as path:
        code = _run_path(path, out, seed=seed)
    raise typer.Exit(code)


def run(
    path: Annotated[
        Path, typer.Argument(help="FHIR Bundle (JSON), NDJSON (plain or .gz), or a folder of them.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Strategy; repeat for several.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Hide everything known later than this date.")
    ] = None,
    birth_day: Annotated[
        str | None, typer.Option("--birth-day", help="Birth on that day: WEEKS+DAYS or a date.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="laplace or nuts.")] = "laplace",
    growth_standard: Annotated[
        str | None, typer.Option("--growth-standard", help="Shape of fetal growth.")
    ] = None,
    lga_reference: Annotated[
        str | None, typer.Option("--lga-reference", help="Newborn chart of LGA, SGA.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=50, help="Draws of the forecast.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 0,
    prior: Annotated[str | None, typer.Option("--prior", help="Population prior: name or file.")] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="Site settings, TOML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print risk.json to stdout.")] = False,
) -> None:
    if method not in ("laplace", "nuts"):
        typer.echo(f"error: --method is {method!r}; expected laplace or nuts.", err=True)
        raise typer.Exit(USAGE)
    code = _run_path(
        path,
        out,
        scenarios=tuple(scenario or ()),
        as_of=as_of,
        birth_day=birth_day,
        method=method,
        growth_standard=growth_standard,
        lga_reference=lga_reference,
        draws=draws,
        seed=seed,
        prior=prior,
        settings_file=settings,
        as_json=as_json,
    )
    raise typer.Exit(code)


def _run_path(
    path: Path,
    out: Path,
    *,
    scenarios: tuple[str, ...] = (),
    as_of: str | None = None,
    birth_day: str | None = None,
    method: str = "laplace",
    growth_standard: str | None = None,
    lga_reference: str | None = None,
    draws: int = 500,
    seed: int = 0,
    prior: str | None = None,
    settings_file: Path | None = None,
    as_json: bool = False,
) -> int:
    """Run every woman of a path; returns the exit code."""
    start = time.monotonic()
    start_engine()
    from scenarios import engine
    from scenarios.strategies import check_name
    from twin.cli import left_out
    from twin.errors import TwinError
    from twin.fhir import read_source
    from twin.inference.priors import DEFAULT_PRIOR, load_prior
    from twin.settings import SiteSettings

    try:  # what was asked for is judged before any record is read
        chosen = SiteSettings() if settings_file is None else SiteSettings.from_toml(settings_file)
        chosen = engine.with_settings(chosen, growth_standard, lga_reference)
        population = load_prior(prior or DEFAULT_PRIOR)
        for name in scenarios:
            check_name(name)
        if as_of is not None:
            engine.moment_of(as_of)
    except (TwinError, OSError, ValueError) as why:
        typer.echo(f"error: {why}", err=True)
        return USAGE
    found = read_source(path, chosen)
    if not found.records:
        for issue in [*found.issues, *(i for group in found.quarantined.values() for i in group)][:12]:
            typer.echo(f"  {issue.source}: {issue.message}", err=True)
        typer.echo(
            f"error (nothing-usable): nothing usable in {found.entries} entries of {path.name}.", err=True
        )
        return UNUSABLE
    if found.issues:
        typer.echo(
            f"{len(found.issues)} issues concern no single woman; they stand in every report.", err=True
        )
    refused = failed = 0
    risks = []
    for i, record in enumerate(found.records, 1):
        place = out if len(found.records) == 1 else out / record.pseudonym
        label = f"[{i}/{len(found.records)}] {record.pseudonym}"
        try:
            result = engine.run_record(
                replace(record, issues=found.issues + record.issues),  # what no woman owns may be hers
                settings=chosen,
                prior=population,
                as_of=as_of,
                birth_day=birth_day,
                method=method,
                scenarios=scenarios or engine.DEFAULT_SCENARIOS,
                draws=draws,
                seed=seed,
                progress=lambda what, label=label: _say(False, f"{label}: {what} ..."),  # type: ignore[misc]
                sampling=_sampling_bar(label),
            )
            report = engine.write_result(result, place, chosen)
            shown = engine.screen(result, chosen)
        except TwinError as why:
            failed += 1
            typer.echo(f"{label}: error ({why.code}): {why}", err=True)
            continue
        except Exception as why:  # one woman's fault must not stop the others
            failed += 1
            kept = _keep_traceback(place / engine.ERROR_FILE)
            typer.echo(
                f"{label}: error (unexpected): {type(why).__name__}. There is no result of this run for her; the "
                f"others go on. {kept} Report it with the version of gdm-twin.",
                err=True,
            )
            continue
        refused += result.scope.status == "refused"
        risks.append(result.risk)
        if not as_json:
            typer.echo(shown)
            typer.echo(f"\nreport: {report}   ({time.monotonic() - start:.0f} s)")
    if as_json:
        json.dump(risks[0] if len(risks) == 1 else risks, sys.stdout, indent=1)
        sys.stdout.write("\n")
    usable = len(found.records) - failed - refused
    if usable == 0:
        return UNUSABLE
    return IN_PART if failed or left_out(found) else DONE


def _keep_traceback(path: Path) -> str:
    """Write the current exception's traceback beside the results; returns where it is, in words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError as why:
        return f"The traceback could not be written ({type(why).__name__})."
    return f"The traceback is in {path}."
