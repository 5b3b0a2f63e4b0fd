"""PRIOR.html: what was learnt, from whom, and whether it can be trusted. Self-contained."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from matplotlib.figure import Figure

from cohorts.calibrate import figures
from cohorts.calibrate.cohort import CohortFit

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;border-bottom:1px solid #ddd}"
    "img{max-width:100%}.bad{border-left:4px solid #D55E00;padding-left:.8rem}"
)


def page(fit: CohortFit, told: dict[str, Any]) -> str:
    """told : of `artefact.as_told`."""
    sampler = ", ".join(f"{k} {v}" for k, v in told["sampler"].items())
    reasons = told["left_out_by_reason"].items()
    left_out = "; ".join(f"{code}: {n}" for code, n in reasons) or "none"
    trusted = (
        "<p>The sampler's limits are met.</p>"
        if told["ok"]
        else f'<p class="bad"><b>Not to be trusted:</b> {escape("; ".join(told["reasons"]))}</p>'
    )
    parts = [
        f"<h1>Population prior {escape(told['id'])}</h1>",
        f"<p>Learnt from {told['women']} women, starting at {escape(told['start_id'])}. Left out: {escape(left_out)}."
        f" Sampler: {escape(sampler)}. Research software; a population learnt here holds for women like these.</p>",
        trusted,
        "<h2>Prior and population</h2>",
        _image(figures.densities(fit), "densities of the start prior and the learnt population"),
    ]
    together = fit.what.latents[: fit.what.correlated]
    if len(together) > 1:
        parts += [
            "<h2>Correlations between women</h2>",
            _image(figures.correlations(fit.prior, together), "correlation matrix"),
        ]
    parts += [
        "<h2>Hyperparameters</h2>",
        f"<p>In {escape(told['unit'])}.</p>",
        _table(told["hyperparameters"]),
    ]
    if fit.before or fit.after:
        parts += [
            "<h2>Predictive checks</h2>",
            f"<p>{escape(told['predictive_checks']['meaning'].capitalize())}. Grey band: 95 % where they hold.</p>",
            _image(figures.checks(fit), "predictive checks before and after"),
        ]
    body = "\n".join(parts)
    title = escape(told["id"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>\n'
        f"{body}\n</html>\n"
    )


def _table(rows: dict[str, dict[str, Any]]) -> str:
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{r['mean']:.3f}</td><td>{r['q05']:.3f} to {r['q95']:.3f}</td></tr>"
        for name, r in rows.items()
    )
    return f"<table><tr><th>name</th><th>mean</th><th>90 % interval</th></tr>{cells}</table>"


def _image(figure: Figure, says: str) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{escape(says)}" src="data:image/png;base64,{data}">'
