"""The tables of docs/benchmarks.md from the JSON of `make bench`.

    python -m tests.benchmarks.table [out/bench/benchmarks.json] [--page docs/benchmarks.md]

One table for each group of benchmarks, whatever is in the file: a benchmark gives its `extra_info` as one row, or
several under `rows`. What stands outside the page's marks is left alone.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

from cohorts.docs_page import put

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"

HEADS = {
    "case": "",
    "women": "women",
    "step_min": "step, min",
    "error_G_p99": "G error, p99, mg/dL",
    "error_IG_p99": "IG error, p99, mg/dL",
    "member_days_per_core_s": "member-days per core-s",
    "member_days_per_s": "member-days/s",
    "bar_member_days_per_s": "bar",
    "times_peer": "times RK4 (G, IG at the bar)",
    "times_peer_G": "times RK4 (G at the bar)",
    "weekly_days_ahead": "weekly days ahead",
    "forecast_core_s": "forecast, core-s",
    "forecast_wall_s": "forecast, s",
    "program_core_s": "its program alone, core-s",
    "calibrate_core_s": "calibrate, core-s",
    "bar_calibrate_core_s": "bar",
    "total_core_s": "with forecast, core-s",
    "bar_total_core_s": "bar",
    "slowest_core_s": "slowest woman, core-s",
    "first_core_s": "first call, core-s",
    "first_wall_s": "first call, s",
    "cgm_readings": "sensor values fitted",
    "spots_readings": "finger pricks fitted",
    "scan_rows": "scan measures",
    "peak_first_gib": "peak with compiling, GiB",
    "peak_gib": "peak after, GiB",
    "batch_core_s": "all, core-s",
    "batch_wall_s": "all, s",
    "times_half": "times half as many",
    "seconds": "s",
    "bar_seconds": "bar",
    "core_s": "core-s",
    "ess": "effective draws",
    "ess_per_core_s": "effective draws per core-s",
    "slowest_s": "slowest call, s",
    "rhat_max": "R-hat",
    "ess_min": "smallest ESS",
}
#: kept in the JSON, left out of the page
DETAILS = {
    "error_G_p50", "error_IG_p50", "total_wall_s", "draws", "scenarios", "ogtt_readings", "shapes",
    "adapted", "not_ok", "code_version", "one_core_each",
}  # fmt: skip
#: below a column that they are the bar of
BAR = "bar_"


def number(value: Any) -> str:
    """Three digits, thousands apart."""
    if value is None or isinstance(value, str | bool):
        return {None: "–", True: "yes", False: "no"}.get(value, value)  # type: ignore[arg-type, return-value]
    if isinstance(value, int) or abs(value) >= 1000.0:
        digits = value if isinstance(value, int) else round(float(f"{value:.3g}"))
        return f"{digits:,}".replace(",", " ")
    return f"{value:.3g}"


def scalars(found: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in found.items() if v is None or isinstance(v, str | int | float)}


def rows_of(benchmark: dict[str, Any]) -> list[dict[str, Any]]:
    """What a benchmark has measured; without a `case` its own name is the row's."""
    info = benchmark["extra_info"]
    rows = info.get("rows", [scalars(info)])
    name = benchmark["name"].removeprefix("test_").replace("_", " ")
    return [{"case": name} | scalars(row) for row in rows]


def markdown_table(rows: list[dict[str, Any]]) -> str:
    seen = dict.fromkeys(key for row in rows for key in row if key not in DETAILS)
    keys: list[str] = []
    for key in seen:  # a bar stands right of what it is the bar of
        if not key.startswith(BAR):
            keys += [key, *(k for k in (BAR + key,) if k in seen)]
    lines = [[HEADS.get(k, k.replace("_", " ")) for k in keys], ["---"] * len(keys)]
    lines += [[number(row[k]) if k in row else "" for k in keys] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def notes(benchmarks: list[dict[str, Any]]) -> str:
    """Figures that belong to a whole group with rows."""
    of_all = [scalars(b["extra_info"]) for b in benchmarks if "rows" in b["extra_info"]]
    found = {k: v for info in of_all for k, v in info.items() if k not in DETAILS}
    return ", ".join(f"{HEADS.get(k, k.replace('_', ' '))}: {number(v)}" for k, v in found.items())


def peers() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((HERE / "peers.toml").read_text(encoding="utf-8"))["peer"]
    return found


def peers_table(rows: list[dict[str, Any]]) -> str:
    """The peers' figures as quoted, this run's beside them where it has the case."""
    by_case = {row["case"]: row for row in rows}
    lines = [["peer", "figure", "conditions", "here", "what is comparable"], ["---"] * 5]
    for peer in peers():
        ours = peer.get("ours", {})
        row = by_case.get(ours.get("case"), {})
        here = ""
        if ours.get("key") in row:
            here = f"{number(row[ours['key']])} {HEADS[ours['key']]} ({ours['case']})"
        lines.append([peer["what"], peer["figure"], peer["conditions"], here, peer["comparable"]])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page_of(run: dict[str, Any]) -> str:
    """Markdown of one run."""
    cpu, machine = run["machine_info"]["cpu"], run["machine_info"]
    versions = sorted({str(b["extra_info"].get("code_version", "unknown")) for b in run["benchmarks"]})
    clock = cpu.get("hz_actual_friendly") or cpu.get("hz_advertised_friendly") or "clock not reported"
    head = (
        f"Run of {run['datetime'][:10]}, code {', '.join(versions)}: {cpu.get('brand_raw', machine['machine'])}, "
        f"{cpu.get('count', '?')} cores at {clock} as reported, {machine['system']}, "
        f"Python {machine['python_version']}."
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for benchmark in run["benchmarks"]:
        groups.setdefault(benchmark["group"] or "Others", []).append(benchmark)
    parts, every = [head], []
    for title, benchmarks in groups.items():
        rows = [row for b in benchmarks for row in rows_of(b)]
        every += rows
        parts += [f"### {title}", markdown_table(rows)]
        if said := notes(benchmarks):
            parts.append(f"{said[0].upper()}{said[1:]}.")
    parts += ["### Peers", peers_table(every)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", default=Path("out/bench/benchmarks.json"))
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    put(given.page, "measured", page_of(json.loads(given.run.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
