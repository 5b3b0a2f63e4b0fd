"""The command `gdm-twin`: one app, to which each package adds its commands; here `check`.

Commands come from the entry-point group `gdm_twin.commands`: every package's `cli.register(app)`. Heavy rooms
are imported inside the commands, so that `--help` stays fast.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.errors import TwinError, UnusableInput

if TYPE_CHECKING:
    from twin.fhir import ReadResult
    from twin.record import PatientRecord, RecordIssue

DONE, UNUSABLE, USAGE, IN_PART = 0, 1, 2, 3
GROUP = "gdm_twin.commands"
_TABLES = ("glucose", "meals", "insulin", "medication", "activity", "biometry", "weights")
_DATING = ("lmp_equivalent", "dating_method", "dating_sd_days")
_SHOWN_ISSUES = 12

_HELP = """A digital twin of pregnancies with gestational diabetes. It supports decisions and never takes them.

\b
Examples:
  gdm-twin check record.json         what was read, what was rejected and why
  gdm-twin check exports/ --json     the same for a folder, for machines

Exit codes: 0 done; 1 input unusable or out of scope; 2 wrong usage; 3 done in part.
"""


def build_app(points: list[EntryPoint] | None = None) -> typer.Typer:
    """The app with every command that can be loaded; what cannot be loaded is named on stderr."""
    app = typer.Typer(
        name="gdm-twin",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for point in entry_points(group=GROUP) if points is None else points:
        try:
            point.load()(app)
        except Exception as why:  # a broken package must not take the other commands with it
            typer.echo(
                f"error: the commands of {point.name!r} ({point.value}) could not be loaded: "
                f"{type(why).__name__}: {why}. The other commands work. Reinstall gdm-twin.",
                err=True,
            )
    return app


def _root() -> None:
    """Only a group: every command is registered by its package."""


def main() -> None:
    """Entry point of the script `gdm-twin`."""
    try:
        build_app()()
    except TwinError as why:
        typer.echo(f"error ({why.code}): {why}", err=True)
        sys.exit(UNUSABLE)


def register(app: typer.Typer) -> None:
    """Add the commands of `twin`."""
    app.command("check", help=_CHECK_HELP)(check)


_CHECK_HELP = """Say what was read from FHIR records, what was rejected and why, and whether a forecast is in scope.

PATH is a FHIR R4 Bundle (JSON), NDJSON (plain or .gz), or a folder of them.

\b
Examples:
  gdm-twin check record.json
  gdm-twin check night.ndjson.gz more/ --settings site.toml --json

Exit codes: 0 everything usable was read (rejected rows are listed); 1 nothing usable; 3 whole patients or files
had to be left out.
"""


def check(
    paths: Annotated[list[Path], typer.Argument(help="FHIR Bundle, NDJSON or folder", metavar="PATH...")],
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output on stdout")] = False,
    settings: Annotated[Path | None, typer.Option(help="site settings (TOML)")] = None,
) -> None:
    """Read the records and report; nothing is computed or written."""
    from twin.fhir import read_source
    from twin.settings import SiteSettings

    try:
        site = SiteSettings.from_toml(settings) if settings is not None else SiteSettings()
    except (OSError, ValueError, TwinError) as why:
        typer.echo(f"error: the site settings cannot be used: {why}", err=True)
        raise typer.Exit(USAGE) from why
    results: list[tuple[str, ReadResult | UnusableInput]] = []
    for path in paths:
        typer.echo(f"reading {path.name} ...", err=True)
        try:
            results.append((path.name, read_source(path, site)))
        except UnusableInput as why:
            results.append((path.name, why))
    report = _report(results, site)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        _show(report)
    raise typer.Exit(report["exit_code"])


def left_out(result: ReadResult) -> bool:
    """Whether whole women or whole files had to be left out: exit code 3 of every command that reads."""
    lost = any(i.code in ("not-json", "unreadable", "xml", "not-fhir") for i in result.issues)
    return lost or any(result.quarantined.values())


def _report(results: list[tuple[str, Any]], site: Any) -> dict[str, Any]:
    patients: list[dict[str, Any]] = []
    quarantined: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for name, result in results:
        if isinstance(result, UnusableInput):
            issue = {"source": name, "code": result.code, "message": str(result), "severity": "rejected"}
            files.append({"path": name, "entries": 0, "usable": False, "issues": [issue]})
            continue
        issues = [_issue(i) for i in result.issues]
        if not (result.records or issues or any(result.quarantined.values())):
            message = f"nothing usable in {result.entries} entries: no reading, scan or statement of a woman."
            issues = [{"source": name, "code": "nothing-usable", "message": message, "severity": "rejected"}]
        files.append(
            {
                "path": name,
                "entries": result.entries,
                "usable": bool(result.records),
                "issues": issues,
            }
        )
        patients += [_patient(r, site) for r in result.records]
        quarantined += [
            {"patient": who, "issues": [_issue(i) for i in issues]}
            for who, issues in result.quarantined.items()
            if issues
        ]
    in_part = any(isinstance(r, UnusableInput) or not r.records or left_out(r) for _, r in results)
    code = UNUSABLE if not patients else IN_PART if in_part else DONE
    return {
        "schema": "gdm-twin/check/1",
        "exit_code": code,
        "files": files,
        "patients": patients,
        "quarantined": quarantined,
    }


def _issue(issue: RecordIssue) -> dict[str, str]:
    return {
        "source": issue.source,
        "code": issue.code,
        "message": issue.message,
        "severity": issue.severity,
    }


def _patient(record: PatientRecord, site: Any) -> dict[str, Any]:
    from twin.record import scope_gate
    from twin.record.build import last_observation
    from twin.timeline import gestational_day, weeks_and_days

    facts = record.facts
    newest = last_observation(record)
    day = None
    if newest is not None and facts.lmp_equivalent is not None:
        day = gestational_day(newest, facts.lmp_equivalent)
    scope = scope_gate(record, day, site, efw=_efw_of_scan)
    kinds = record.glucose["kind"].value_counts()
    return {
        "patient": record.pseudonym,
        "rows": {name: len(getattr(record, name)) for name in _TABLES},
        "glucose_by_kind": {str(k): int(n) for k, n in kinds.items()},
        "facts": sorted(
            f.name
            for f in fields(facts)
            if f.name not in _DATING and getattr(facts, f.name) not in (None, (), {})
        ),
        "scans": int(record.biometry["scan"].nunique()),
        "dating": {
            "method": facts.dating_method,
            "sd_days": facts.dating_sd_days,
            "newest_data_at": weeks_and_days(day) if day is not None else None,
        },
        "scope": scope.as_dict(),
        "issues": [_issue(i) for i in record.issues],
    }


def _efw_of_scan(rows: Any) -> float | None:
    from twin.encode import efw_of_scan  # imported only for a woman whose scans are judged

    return efw_of_scan(rows)


def _plain(text: str) -> str:
    """Text of a record for the console: no markup is read from it, and every character can be printed."""
    from rich.markup import escape

    return escape(text.encode("utf-8", "backslashreplace").decode())


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    for patient in report["patients"]:
        _show_patient(console, patient)
    for who in report["quarantined"]:
        console.print(f"\n[bold red]{_plain(who['patient'])}: nothing usable[/]")
        _show_issues(console, who["issues"])
    for file in report["files"]:
        if file["issues"]:
            console.print(f"\n[bold]{_plain(file['path'])}[/]: not attributed to a patient")
            _show_issues(console, file["issues"])
    used, rejected = len(report["patients"]), len(report["quarantined"])
    console.print(f"\n{used} patient(s) usable, {rejected} left out.")


def _show_patient(console: Any, patient: dict[str, Any]) -> None:
    from rich.table import Table

    dating, scope = patient["dating"], patient["scope"]
    at = f", newest data at {dating['newest_data_at']} weeks" if dating["newest_data_at"] else ""
    sd = f" +- {dating['sd_days']:.0f} days" if dating["sd_days"] is not None else ""
    table = Table(
        show_edge=False,
        title=f"{_plain(patient['patient'])}: dated by {dating['method']}{sd}{at}",
        title_justify="left",
        min_width=60,
    )
    table.add_column("what")
    table.add_column("used", justify="right")
    for kind, count in patient["glucose_by_kind"].items():
        table.add_row(f"glucose, {kind}", str(count))
    for name in _TABLES[1:]:
        if patient["rows"][name]:
            scans = f" ({patient['scans']} scans)" if name == "biometry" else ""
            table.add_row(f"{name}{scans}", str(patient["rows"][name]))
    if patient["facts"]:
        table.add_row(f"facts: {', '.join(patient['facts'])}", str(len(patient["facts"])))
    console.print()
    console.print(table)
    colour = {"full": "green", "partial": "yellow", "refused": "red"}[scope["status"]]
    console.print(f"scope: [{colour}]{scope['status']}[/]")
    for message in scope["messages"].values():
        console.print(f"  {_plain(message)}")
    if scope["withheld"]:
        console.print(f"  withheld: {_plain(', '.join(scope['withheld']))}")
    _show_issues(console, patient["issues"])


def _show_issues(console: Any, issues: list[dict[str, str]]) -> None:
    """Rejected rows first, each with place and reason; many of one kind are counted after the first ones."""
    from rich.padding import Padding

    for severity, title in (
        ("rejected", "not used"),
        ("not-understood", "not understood, not used"),
        ("warning", "used with a doubt, or said for completeness"),
    ):
        group = [i for i in issues if i["severity"] == severity]
        if group:
            console.print(f"{title}: {len(group)}")
        shown: Counter[str] = Counter()
        for issue in group:
            shown[issue["code"]] += 1
            if shown[issue["code"]] <= _SHOWN_ISSUES:
                text = f"[bold]{_plain(issue['source'])}[/] {issue['code']}: {_plain(issue['message'])}"
                console.print(Padding(text, (0, 0, 0, 2)))
        for code, count in shown.items():
            if count > _SHOWN_ISSUES:
                console.print(f"  ... {count - _SHOWN_ISSUES} more {code}; --json lists all")


if __name__ == "__main__":
    main()
