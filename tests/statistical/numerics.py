"""Error of the fast path against the reference, by the project's definition, and a resumable command for it.

Each dose at its own recorded minute in both; per woman the largest |G| and |IG| difference over two days at each
path's own edges; the reference is Runge-Kutta at 0.1 min in float64.

    python -m tests.statistical.numerics --out out/numerics.jsonl [--women 2000] [--seed 1]

writes one JSON line per chunk and use with the code version, skips lines already there for this version,
and prints the summary that docs/model/numerics.md quotes. float32 runs without the x64 flag.
"""

import argparse
import functools
import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.reference import maternal_rk4
from tests.reference.women import draw_women
from tests.statistical.bridge import matched_women, to_twin
from twin.physiology.simulate import COARSE_STEP_MIN, STEP_MIN, simulate_day

DAYS = 2
CHUNK = 250
#: the path by its use: precision, step in minutes, and the bar (mg/dL) for the 99th percentile over women of the
#: largest error
USES = {
    "density": ("float64", STEP_MIN, 0.5),
    "weights of draws": ("float32", STEP_MIN, 0.5),
    "ensemble": ("float32", COARSE_STEP_MIN, 1.5),
}
LARGEST = 10.0
EVERY_MIN = 0.5  # of the reference's output: divides every path's step


@functools.partial(jax.jit, static_argnames="h")
def fast_path(p, events, h=STEP_MIN):
    """(G, IG, ok) at the step edges over two days from rest."""
    run = simulate_day(p, events, n_steps=round(DAYS * 1440 / h), h=h, repeated=False)
    return run.G, run.IG, run.ok


def run_fast(women, dtype="float64", h=STEP_MIN):
    """(G, IG, ok), (edge, woman), by the fast path; float32 is run as a user without the x64 flag would."""
    if dtype == "float32":
        with jax.enable_x64(False):
            G, IG, ok = fast_path(*to_twin(women, jnp.float32), h=h)
    else:
        G, IG, ok = fast_path(*to_twin(women), h=h)
    assert G.dtype == IG.dtype == dtype, f"{G.dtype} where {dtype} was asked for"
    return np.asarray(G), np.asarray(IG), np.asarray(ok)


def run_reference(women, step_min=0.1, every=EVERY_MIN):
    """G and IG, (edge, woman), by the reference."""
    runs = [
        maternal_rk4.simulate(p, e, DAYS * 1440.0, out_every_min=every, step_min=step_min) for p, e in women
    ]
    return np.stack([r["G"] for r in runs], axis=1), np.stack([r["IG"] for r in runs], axis=1)


def errors(truth, fast, h=STEP_MIN):
    """Largest |G| and |IG| error of each woman, mg/dL, at the path's edges; infinite where not finite."""
    skip = round(h / EVERY_MIN)
    return tuple(
        np.where(fast[2], np.abs(ours - exact[::skip]).max(axis=0), np.inf)
        for ours, exact in zip(fast[:2], truth, strict=True)
    )


def code_version():
    """What git says this code is."""
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--tags"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def stored_lines(path, version):
    """Lines of an earlier, interrupted run of the same code; a torn last line is ignored."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line["code"] == version:
            lines.append(line)
    return lines


def summary(lines, use):
    """Percentiles over women of the stored errors of one use."""
    chosen = [line for line in lines if line["use"] == use]
    out = {"use": use, "women": sum(len(line["G"]) for line in chosen)}
    for name in ("G", "IG"):
        worst = np.concatenate([np.array(line[name], float) for line in chosen])
        out |= {f"{name} median": np.median(worst), f"{name} p99": np.quantile(worst, 0.99)}
        out |= {f"{name} largest": worst.max(), f"{name} non-finite": int((~np.isfinite(worst)).sum())}
    return out


def measure(path, women=2000, seed=1):
    """Run what is not stored yet; return the summaries in the order of USES."""
    version = code_version()
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = stored_lines(path, version)
    done = {(line["seed"], line["first"], line["count"], line["use"]) for line in lines}
    drawn = matched_women(draw_women(women, seed))
    for first in range(0, women, CHUNK):
        part = drawn[first : first + CHUNK]
        missing = [use for use in USES if (seed, first, len(part), use) not in done]
        if not missing:
            continue
        truth = run_reference(part)
        for use in missing:
            dtype, h, _ = USES[use]
            worst_G, worst_IG = errors(truth, run_fast(part, dtype, h), h)
            line = {"code": version, "seed": seed, "first": first, "count": len(part), "use": use}
            line |= {"G": worst_G.round(6).tolist(), "IG": worst_IG.round(6).tolist()}
            with path.open("a") as out:
                out.write(json.dumps(line) + "\n")
            lines.append(line)
    kept = [line for line in lines if line["seed"] == seed and line["first"] + line["count"] <= women]
    return [summary(kept, use) for use in USES]


def main():
    parser = argparse.ArgumentParser(description="Error of the fast path over women of the prior.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--women", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for row in measure(chosen.out, chosen.women, chosen.seed):
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}))


if __name__ == "__main__":
    main()
