"""Results of long checks, one JSON line per case with the code version, so that a check can be stopped and resumed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def code_version() -> str:
    """Commit of the code under test, marked where the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return found.stdout.strip() or "unknown"


def stored_cases(out: Path) -> dict[str, dict[str, Any]]:
    """Results by case; a line torn by a stop is left out, and its case is run again."""
    found = {}
    for line in out.read_text().splitlines() if out.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["case"]] = row
    return found


def run_cases(
    out: Path, cases: Iterable[tuple[str, Callable[[], dict[str, Any]]]], say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Run the cases not stored yet and return all results, in the order of `cases`."""
    done = stored_cases(out)
    version = code_version()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        with out.open("a") as stream:
            stream.write("\n")
    results = []
    for name, work in cases:
        if name not in done:
            done[name] = {"case": name, "version": version, **work()}
            with out.open("a") as stream:
                stream.write(json.dumps(done[name]) + "\n")
            say(f"{name}: {done[name]}")
        results.append(done[name])
    return results


def verdict(found: dict[str, Any], short: list[str]) -> None:
    """Print the figures and whether the bars are met; the process fails where one is not."""
    print(json.dumps(found, indent=1))
    print("falls short: " + "; ".join(short) if short else "meets its bars")
    if short:
        raise SystemExit(1)
