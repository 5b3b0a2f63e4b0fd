"""Stored results to figures, bars, tables and plots.

    python -m tests.statistical.faithful.summary [--out out/checks/faithful] [--docs]

`--docs` writes the tables between the marks of docs/model/faithfulness.md and the plots of docs/images.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from cohorts.docs_page import put
from tests.statistical.faithful import oracle, ranks
from tests.statistical.faithful.women import GENERATORS, KEPT, PATTERNS
from tests.statistical.store import stored_cases

DOCS = Path(__file__).resolve().parents[3] / "docs"
FAMILY = 1e-3  # false alarm of all rank tests together: half for the headlines, half for the rest
OTHER_COVERAGE = (0.85, 0.95)
SHARP_BAR = 1.1
AGREE_SHARE = 0.95
#: false alarm of each comparison of flags with their nominal rate
FLAG_ALARM = 1e-3
PLOTS = (
    (
        "faithfulness_ranks.svg",
        "Empirical distribution of ranks less uniform; red birth weight, orange mean glucose",
    ),
    ("faithfulness_coverage.svg", "Coverage of 90 % intervals, own and other generator"),
)
HEADLINES = {
    "birth_weight": "birth weight at the true birth day",
    "mean_glucose_last_week": "mean glucose, reference day of the last week",
    "mean_glucose": "mean glucose, 20 weeks to the record's end",
}


GLUCOSE = ("mean_glucose_last_week", "mean_glucose")


@dataclass
class Block:
    """One table: title, header, rows of text; and what falls short of a bar."""

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""
    short: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stored:
    """Everything stored, by part, generator and pattern."""

    cases: dict[tuple[str, str, str], list[dict[str, Any]]]

    def women(self, part: str, generator: str, pattern: str) -> list[dict[str, Any]]:
        return [w for c in self.cases.get((part, generator, pattern), []) for w in c["women"]]

    def trained(self, generator: str, pattern: str) -> int:
        """Women the oracle is trained on."""
        cases = self.cases.get(("oracle", generator, pattern), [])
        return sum(len(c["women"]["ln_weight"]) for c in cases)

    def versions(self) -> dict[str, list[str]]:
        """Code versions of each part."""
        found: dict[str, set[str]] = {}
        for (part, _, _), cases in self.cases.items():
            found.setdefault(part, set()).update(c["version"] for c in cases)
        return {part: sorted(versions) for part, versions in found.items()}


def load(out: Path, gold: Path | None = None) -> Stored:
    """Everything stored in a folder, and the NUTS runs in another; files of other checks are passed over."""
    found = {}
    for path in sorted([*out.glob("*-*-*.jsonl"), *(gold.glob("*-*-*.jsonl") if gold else ())]):
        part, generator, pattern = path.stem.split("-")
        found[part, generator, pattern] = list(stored_cases(path).values())
    return Stored(found)


def ranks_of(women: list[dict[str, Any]], name: str, issued: bool = False) -> np.ndarray:
    """issued : of forecasts with the error of the equations themselves, which own women do not have."""
    return np.array([(w["issued"] if issued and name in w["issued"] else w["ranks"])[name] for w in women])


def percent(x: float) -> str:
    return f"{100.0 * x:.1f}"


# ---------------------------------------------------------------------------------------------------- rank tests


def rank_blocks(stored: Stored) -> list[Block]:
    """Every shared latent, composite parameter, birth weight, mean glucose and the meals, own generator."""
    women = {p: stored.women("calibration", "own", p) for p in PATTERNS}
    women = {p: w for p, w in women.items() if w}
    if not women:
        return []
    tests: dict[bool, list[tuple[str, str, str]]] = {True: [], False: []}
    for p, rows in women.items():
        for name in rows[0]["ranks"]:
            tests[name in HEADLINES] += [(p, name, kind) for kind in ("90 %", "50 %", "ranks")]
        if rows[0]["meals"]:
            tests[False] += [(p, "meals", kind) for kind in ("90 %", "50 %", "ranks")]
    alpha = {headline: 0.5 * FAMILY / max(len(t), 1) for headline, t in tests.items()}
    failed = [
        (*t, said)
        for headline, some in tests.items()
        for t in some
        if (said := _rejected(women[t[0]], t[1], t[2], alpha[headline]))
    ]
    rows = []
    for p, some in women.items():
        line = [p, str(len(some))]
        for name in HEADLINES:
            u = ranks_of(some, name)
            line.append(" / ".join(percent(ranks.covered(u, q).mean()) for q in ranks.LEVELS))
        names = [n for n in some[0]["ranks"] if n not in HEADLINES]
        each = np.array([ranks.covered(ranks_of(some, n), 0.9).mean() for n in names])
        line.append(f"{percent(each.min())}-{percent(each.max())} ({len(names)})")
        meals = [np.array(w["meals"]) for w in some if w["meals"]]
        line.append(
            " / ".join(percent(np.mean([ranks.covered(m, q).mean() for m in meals])) for q in ranks.LEVELS)
            if meals
            else "-"
        )
        line.append("; ".join(f"{n} ({k}: {said})" for q, n, k, said in failed if q == p) or "none")
        rows.append(line)
    n = min(len(some) for some in women.values())
    count = sum(len(t) for t in tests.values())
    low, high = ranks.accepted_hits(n, 0.9, alpha[True])
    note = (
        f"{count} tests, family-wise false alarm {FAMILY:g}: {alpha[True]:.1e} for each of {len(tests[True])} of "
        f"the headlines, {alpha[False]:.1e} for each of {len(tests[False])} others (Bonferroni). With {n} women a "
        f"headline's 90 % interval may hold {low}-{high} truths."
    )
    short = [f"{p}, {name}: {kind} {said}" for p, name, kind, said in failed]
    header = ["data", "women", *HEADLINES.values(), "parameters, 90 % (number)", "meals, pooled", "rejected"]
    return [
        Block("Coverage of 90 % / 50 % intervals, own generator, %", header, rows, note, short),
        power_block(n, alpha),
    ]


def _rejected(women: list[dict[str, Any]], name: str, kind: str, alpha: float) -> str:
    """What was found where a test rejects, else nothing."""
    if name == "meals":
        meals = [np.array(w["meals"]) for w in women if w["meals"]]
        if kind == "ranks":
            p = ranks.grouped_uniform_p(np.array([ranks.bin_shares(m) for m in meals]))
            return f"p {p:.0e}" if p < alpha else ""
        level = float(kind.split()[0]) / 100.0
        share = [float(ranks.covered(m, level).mean()) for m in meals]
        return percent(np.mean(share)) if ranks.grouped_coverage_p(share, level) < alpha else ""
    u = ranks_of(women, name)
    if kind == "ranks":
        if ranks.furthest(u) > ranks.simultaneous(len(u), alpha):
            return ""
        return f"mean {u.mean():.3f}, SD {u.std():.3f}"
    level = float(kind.split()[0]) / 100.0
    hits = int(ranks.covered(u, level).sum())
    return percent(hits / len(u)) if ranks.coverage_p(hits, len(u), level) < alpha else ""


@functools.lru_cache(maxsize=8)
def _power(n: int, alpha: float, spread: float, shift: float) -> float:
    return ranks.uniform_power(n, alpha, spread, shift)


def power_block(n: int, alpha: dict[bool, float]) -> Block:
    """What the tests would find."""
    rows = []
    for label, a in (("headline", alpha[True]), ("other", alpha[False])):
        for true in (0.86, 0.85, 0.84, 0.94, 0.95):
            rows.append(
                [
                    label,
                    f"true coverage of 90 % intervals {true:.2f}",
                    f"{ranks.coverage_power(n, 0.9, true, a):.2f}",
                ]
            )
        for spread, shift in ((0.85, 0.0), (0.8, 0.0), (1.25, 0.0), (1.0, 0.2), (1.0, 0.25)):
            what = (
                f"posterior SD {spread:g} of the right one"
                if shift == 0.0
                else f"posterior mean off by {shift:g} SD"
            )
            rows.append([label, what + ", ranks", f"{_power(n, a, spread, shift):.2f}"])
    return Block(f"Power of one test, {n} women", ["test", "if", "found with probability"], rows)


# ----------------------------------------------------------------------------------- own against other generator


def side_by_side(stored: Stored) -> list[Block]:
    """Coverage at nominal 90 %, both columns; and by number of scans."""
    rows, short = [], []
    for p in PATTERNS:
        found = {g: stored.women("calibration", g, p) for g in GENERATORS}
        for name, words in HEADLINES.items():
            line = [p, words]
            for g in GENERATORS:
                if not found[g]:
                    line += ["-", "-", "-"]
                    continue
                u = ranks_of(found[g], name, issued=g == "other")
                inside = float(ranks.covered(u, 0.9).mean())
                error = np.sqrt(inside * (1.0 - inside) / len(u))
                line += [
                    f"{percent(inside)} ± {percent(error)}",
                    percent((u < 0.05).mean()),
                    percent((u > 0.95).mean()),
                ]
                if g == "other" and not OTHER_COVERAGE[0] <= inside <= OTHER_COVERAGE[1]:
                    short.append(f"other generator, {p}, {words}: covered {percent(inside)} %")
            if line[2:] != ["-"] * 6:
                rows.append(line)
    header = ["data", "quantity", "own, %", "below", "above", "other, %", "below", "above"]
    own = stored.women("calibration", "own", "cgm")
    as_issued = (
        [percent(ranks.covered(ranks_of(own, name, issued=True), 0.9).mean()) for name in GLUCOSE]
        if own
        else []
    )
    note = (
        "± one standard error; below and above: truths outside the interval on that side (nominal 5). Bar on the other "
        "generator: 85-95. Mean glucose of other women is as issued, with the equations' own error; of own women, "
        "whose equations are right, without it"
        + (f"; with it the two of sensor women hold {' and '.join(as_issued)} %." if own else ".")
    )
    blocks = [Block("90 % intervals, own and other generator", header, rows, note, short)] if rows else []
    by_scans = []
    for scans in range(len(KEPT)):
        line = [str(scans)]
        for g in GENERATORS:
            some = [w for p in PATTERNS for w in stored.women("calibration", g, p) if w["scans"] == scans]
            if not some:
                line += ["-", "-"]
                continue
            width = [w["weight_quantiles_g"][-1] - w["weight_quantiles_g"][0] for w in some]
            inside = ranks.covered(ranks_of(some, "birth_weight"), 0.9)
            line += [f"{percent(inside.mean())} ({len(some)})", f"{np.median(width):.0f}"]
        by_scans.append(line)
    header = ["scans", "own, % (women)", "median width, g", "other, % (women)", "median width, g"]
    return [*blocks, Block("Birth weight by number of scans, all patterns", header, by_scans)] if rows else []


# ------------------------------------------------------------------------------------------------------ sharpness


def sharpness(stored: Stored) -> list[Block]:
    """Median width of the 90 % interval of birth weight over the oracle's."""
    rows, short = [], []
    for p in PATTERNS:
        line = [p]
        for g in GENERATORS:
            widths = _widths(stored, g, p)
            if widths is None:
                line += ["-"] * 4
                continue
            twin, told, held = widths
            ratio = float(np.median(twin) / np.median(told))
            line += [f"{np.median(twin):.0f}", f"{np.median(told):.0f}", f"{ratio:.3f}", percent(held.mean())]
            if ratio > SHARP_BAR:
                short.append(f"{g} generator, {p}: width {ratio:.3f} of the oracle's, accepted {SHARP_BAR}")
        rows.append(line)
    if all(set(r[1:]) == {"-"} for r in rows):
        return []
    header = ["data"] + [
        f"{g}: {h}" for g in GENERATORS for h in ("twin, g", "oracle, g", "ratio", "oracle covers, %")
    ]
    trained = ", ".join(f"{max(stored.trained(g, p) for p in PATTERNS)} {g}" for g in GENERATORS)
    note = f"Bar: ratio at most {SHARP_BAR}. The oracle is trained on women of the same generator: {trained}."
    return [Block("Median width of the 90 % interval of birth weight", header, rows, note, short)]


def _widths(stored: Stored, generator: str, pattern: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(twin's width, oracle's width, oracle covers), (woman,)."""
    cases = stored.cases.get(("oracle", generator, pattern), [])
    women = stored.women("calibration", generator, pattern)
    if not cases or not women:
        return None
    rows = oracle.gathered(cases)
    twin, told, held = [], [], []
    for scans in range(len(KEPT)):
        some = [w for w in women if w["scans"] == scans]
        if not some:
            continue
        predictor = oracle.fit(rows, scans)
        tested = oracle.Rows(
            *(np.array([w["seen"][name] for w in some], dtype=float) for name in oracle.Rows._fields)
        )
        low, high = predictor.interval(tested, scans)
        truth = np.array([w["truth_g"] for w in some])
        twin += [w["weight_quantiles_g"][-1] - w["weight_quantiles_g"][0] for w in some]
        told += (high - low).tolist()
        held += ((low <= truth) & (truth <= high)).tolist()
    return np.array(twin), np.array(told), np.array(held)


# ------------------------------------------------------------------------------------- flags, learning, two methods


def flags(stored: Stored) -> list[Block]:
    """False alarms on women the model made; power on planted conflicts; what the other generator's women raise."""
    from tests.statistical.faithful.planted import PLANTS

    rows, short = [], []
    for p in PATTERNS:
        line = [p]
        for part, g in (("calibration", "own"), ("planted", "own"), ("calibration", "other")):
            some = [
                w
                for w in stored.women(part, g, p)
                if w["conflicts"] and (part != "planted" or p != "nothing" or w["scans"])
            ]
            if not some:
                line.append("-")
                continue
            raised = sum(any(c[4] for c in w["conflicts"]) for w in some)
            line.append(f"{percent(raised / len(some))} ({raised} of {len(some)})")
            if (
                part == "calibration"
                and g == "own"
                and 2.0 * binom.sf(raised - 1, len(some), 0.01) < FLAG_ALARM
            ):
                short.append(
                    f"flags, {p}: raised without a cause in {percent(raised / len(some))} %, nominal 1"
                )
        rows.append([*line[:2], PLANTS[p][0], *line[2:]])
    if all(r[1] == "-" for r in rows):
        return []
    header = [
        "data",
        "own: women flagged, % (nominal 1)",
        "planted",
        "flagged of these, %",
        "other generator, %",
    ]
    return [Block("Conflict flags", header, rows, short=short)]


def learnt(stored: Stored) -> list[Block]:
    """Median contraction of each parameter by pattern."""
    women = {p: stored.women("calibration", "own", p) for p in PATTERNS}
    women = {p: w for p, w in women.items() if w}
    if not women:
        return []
    names = list(dict.fromkeys(n for w in women.values() for n in w[0]["variance"]))
    rows = []
    for name in names:
        line = [name]
        for some in women.values():
            if name not in some[0]["variance"]:
                line.append("-")
                continue
            found = 1.0 - np.median([w["variance"][name] for w in some if w["scans"] == 3])
            line.append(f"{max(found, 0.0):.2f}")
        if any(cell not in ("-", "0.00", "0.01", "0.02", "0.03") for cell in line[1:]):
            rows.append(line)
    note = (
        "Women with three scans; 1 - posterior / prior variance. Latents nowhere above 0.03 are left out: "
        + ", ".join(n for n in names if n not in [r[0] for r in rows])
        + "."
    )
    return [Block("Median contraction by pattern of data", ["latent", *women], rows, note)]


def _by_both(stored: Stored) -> dict[str, list[dict[str, Any]]]:
    from tests.statistical.faithful.nuts_agreement import pairs

    return {
        p: pairs(*(stored.cases.get((method, "own", p), []) for method in ("nuts", "laplace")))
        for p in PATTERNS
    }


def two_methods_latents(stored: Stored) -> list[Block]:
    """Posterior SDs by `laplace` over those by NUTS, mean over women: of all latents, and the narrowest."""
    rows = []
    for p, some in _by_both(stored).items():
        if not some:
            continue
        names = list(some[0]["nuts_latents"])
        fast, gold = (
            np.array([[c[f"{method}_latents"][k] for k in names] for c in some])
            for method in ("laplace", "nuts")
        )
        ratio = (fast[..., 1] / gold[..., 1]).mean(axis=0)
        off = ((fast[..., 0] - gold[..., 0]) / gold[..., 1]).mean(axis=0)
        narrow, moved = np.argsort(ratio)[:4], np.argsort(-np.abs(off))[:4]
        rows.append(
            [
                p,
                str(len(some)),
                f"{ratio.mean():.3f}",
                ", ".join(f"{names[i]} {ratio[i]:.2f}" for i in narrow),
                ", ".join(f"{names[i]} {off[i]:+.2f}" for i in moved),
            ]
        )
    header = ["data", "women", "SD ratio, all latents", "smallest SD ratios", "largest mean offsets, SD"]
    note = "Of 25 women the Monte-Carlo error of a latent's ratio is about 0.005, of its offset 0.01."
    return [Block("laplace against NUTS, latent by latent", header, rows, note)] if rows else []


def two_methods(stored: Stored) -> list[Block]:
    from tests.statistical.faithful.nuts_agreement import P_BAR, WEIGHT_BAR_G
    from tests.statistical.faithful.run import NUTS_WOMEN

    every = _by_both(stored)
    if not any(every.values()):
        return []
    rows = []
    for p, some in {**every, "all": [c for cases in every.values() for c in cases]}.items():
        if not some:
            continue
        off_p = np.array([abs(c["laplace"]["p_large"] - c["nuts"]["p_large"]) for c in some])
        off_g = np.array(
            [max(abs(c["laplace"][q] - c["nuts"][q]) for q in ("q05", "q50", "q95")) for c in some]
        )
        chance = {
            q: np.median([np.hypot(c["error"]["laplace"][q], c["error"]["nuts"][q]) for c in some])
            for q in ("p_large", "q95")
        }
        rows.append(
            [
                p,
                str(len(some)),
                f"{int((off_p <= P_BAR).sum())}",
                f"{off_p.max():.3f}",
                f"{chance['p_large']:.4f}",
                f"{int((off_g <= WEIGHT_BAR_G).sum())}",
                f"{off_g.max():.0f}",
                f"{chance['q95']:.0f}",
                f"{sum(c['nuts_ok'] for c in some)}",
            ]
        )
    total = rows[-1]
    need = int(np.ceil(AGREE_SHARE * NUTS_WOMEN))
    short = (
        [] if int(total[2]) >= need else [f"P(> 4000 g) agrees in {total[2]} of {total[1]}, wanted {need}"]
    )
    if total[5] != total[1]:
        short.append(f"birth-weight quantiles agree within {WEIGHT_BAR_G:g} g in {total[5]} of {total[1]}")
    header = [
        "data", "women", f"P(> 4000 g) within {P_BAR}", "largest difference", "its Monte-Carlo error (median)",
        f"q05, q50, q95 within {WEIGHT_BAR_G:g} g", "largest difference, g", "Monte-Carlo error of q95, g", "NUTS ok",
    ]  # fmt: skip
    alone = [c for cases in every.values() for c in cases if not c["nuts_ok"]]
    note = f"NUTS is not ok in {len(alone)}, which count like the others" + (
        f": {'; '.join(sorted({r for c in alone for r in c['nuts_reasons']}))}." if alone else "."
    )
    return [Block("laplace against NUTS", header, rows, note, short)]


def health(stored: Stored) -> list[Block]:
    """How the fits went, and what they cost."""
    rows = []
    for g in GENERATORS:
        for p in PATTERNS:
            cases = stored.cases.get(("calibration", g, p), [])
            women = stored.women("calibration", g, p)
            if not women:
                continue
            k = np.array([w["pareto_k"] for w in women if w["pareto_k"] is not None])
            ess = np.array([w["ess"] for w in women])
            cost = np.median([c["core_s"] for c in cases], axis=0) / np.median(
                [len(c["women"]) for c in cases]
            )
            rows.append(
                [
                    g,
                    p,
                    str(len(women)),
                    str(sum(not w["ok"] for w in women)),
                    str(sum(w["fallback"] is not None for w in women)),
                    f"{np.quantile(k, 0.99):.2f}" if len(k) else "-",
                    f"{np.quantile(ess, 0.01):.0f}",
                    " / ".join(f"{c:.2f}" for c in cost),
                ]
            )
    header = [
        "generator", "data", "women", "not ok", "adapted", "Pareto k, p99", "effective draws, p1",
        "core-s a woman: simulate, fit, forecast",
    ]  # fmt: skip
    return [Block("The fits", header, rows)] if rows else []


# ---------------------------------------------------------------------------------------------------------- plots


def plots(stored: Stored, folder: Path) -> None:
    """ECDF differences with bands by pattern; coverage of own against other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "faithfulness", "font.size": 8, "svg.fonttype": "none"})
    here = [p for p in PATTERNS if stored.women("calibration", "own", p)]
    fig, axes = plt.subplots(1, len(here), figsize=(2.4 * len(here), 2.5), sharey=True, squeeze=False)
    at = np.arange(1, ranks.POINTS) / ranks.POINTS
    for ax, p in zip(axes[0], here, strict=True):
        women = stored.women("calibration", "own", p)
        n, names = len(women), list(women[0]["ranks"])
        low, high = ranks.band(n, ranks.simultaneous(n, 0.5 * FAMILY / (3 * len(names) * len(here))))
        ax.fill_between(at, low / n - at, high / n - at, color="0.9", label="band, family-wise 1e-3")
        for name in names:
            style = (
                {"color": "C3", "lw": 1.4}
                if name == "birth_weight"
                else {"color": "C0", "lw": 0.4, "alpha": 0.6}
            )
            if name.startswith("mean_glucose"):
                style = {"color": "C1", "lw": 1.2}
            ax.plot(at, ranks.ecdf_counts(ranks_of(women, name)) / n - at, **style)
        ax.set_title(f"{p}, {n} women")
        ax.set_xlabel("rank of the truth")
    axes[0, 0].set_ylabel("share of women below, less the rank")
    _save(fig, folder / PLOTS[0][0])
    fig, ax = plt.subplots(figsize=(6.0, 3.2))
    ax.axhspan(85, 95, color="0.92")
    ax.axhline(90, color="0.6", lw=0.8)
    for k, name in enumerate(HEADLINES):
        for j, g in enumerate(GENERATORS):
            label: str | None = f"{HEADLINES[name]}, {g}"
            for i, p in enumerate(PATTERNS):
                women = stored.women("calibration", g, p)
                if not women:
                    continue
                inside = ranks.covered(ranks_of(women, name, issued=g == "other"), 0.9).mean()
                error = 2.0 * np.sqrt(inside * (1 - inside) / len(women))
                look = {"color": f"C{k}", "mfc": f"C{k}" if g == "own" else "white", "ms": 4, "label": label}
                at_x = i + 0.12 * (2 * k + j - 2.5)
                ax.errorbar(at_x, 100 * inside, 100 * error, fmt="o" if g == "own" else "s", **look)
                label = None  # one entry of the legend
    ax.set_xticks(range(len(PATTERNS)), list(PATTERNS))
    ax.set_ylabel("truths in the 90 % interval, %")
    ax.legend(fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False)
    _save(fig, folder / PLOTS[1][0])


def _save(fig: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


# --------------------------------------------------------------------------------------------------------- report


def blocks_of(stored: Stored) -> list[Block]:
    made = (rank_blocks, side_by_side, sharpness, two_methods, two_methods_latents, flags, learnt, health)
    return [b for make in made for b in make(stored)]


def mixed(stored: Stored) -> list[str]:
    """Parts whose cases are of several versions of the code: no verdict on any of them."""
    return [
        f"{part}: cases of {len(versions)} code versions, {', '.join(versions)}; run those of one in a new folder"
        for part, versions in stored.versions().items()
        if len(versions) > 1
    ]


def markdown(blocks: list[Block], versions: dict[str, list[str]]) -> str:
    told = "; ".join(f"{part} {', '.join(f'`{v}`' for v in some)}" for part, some in versions.items())
    parts = [f"Code versions: {told}.\n"]
    for b in blocks:
        lines = [f"### {b.title}\n", "| " + " | ".join(b.header) + " |", "|" + "---|" * len(b.header)]
        lines += ["| " + " | ".join(row) + " |" for row in b.rows]
        parts.append("\n".join(lines) + "\n" + (f"\n{b.note}\n" if b.note else ""))
        if b.short:
            parts.append("Falls short:\n\n" + "\n".join(f"- {s}" for s in b.short) + "\n")
    return "\n".join(parts)


def report(out: Path, *, write_docs: bool = False) -> list[str]:
    """Print the tables; returns what falls short."""
    from tests.statistical.faithful.run import GOLD

    stored = load(out, GOLD)
    blocks = blocks_of(stored)
    console = Console(width=200)
    for b in blocks:
        table = Table(title=b.title, caption=b.note or None)
        for name in b.header:
            table.add_column(name)
        for row in b.rows:
            table.add_row(*row)
        console.print(table)
    short = mixed(stored) + [s for b in blocks for s in b.short]
    console.print("falls short:\n  " + "\n  ".join(short) if short else "meets its bars")
    if write_docs:
        text = markdown(blocks, stored.versions()) + "".join(
            f"\n![{says}](../images/{name})\n" for name, says in PLOTS
        )
        put(DOCS / "model" / "faithfulness.md", "measured", text)
        plots(stored, DOCS / "images")
    return short


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/checks/faithful"))
    parser.add_argument("--docs", action="store_true")
    args = parser.parse_args()
    report(args.out, write_docs=args.docs)


if __name__ == "__main__":
    main()
