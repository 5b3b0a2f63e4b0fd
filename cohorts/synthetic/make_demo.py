"""Make the packaged demo women: `python -m cohorts.synthetic.make_demo`.

Each is the first woman of a seeded cohort who meets a stated rule; nobody is tuned by hand. The rules say what
the woman shall show, and that the scope gate answers in full.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax

from cohorts.synthetic.design import DESIGNS
from cohorts.synthetic.files import write_simulated
from cohorts.synthetic.physics import WIDTHS
from cohorts.synthetic.simulate import simulate_chunk, woman_key
from cohorts.synthetic.truth import Truth
from twin.encode import efw_of_scan
from twin.growth_standards import birthweight_centile
from twin.inference.priors import Prior, load_prior
from twin.record import PatientRecord, scope_gate
from twin.settings import SiteSettings

SEED = 20260101
FOLDER = Path(__file__).resolve().parents[2] / "scenarios" / "data"
REFERENCE = "intergrowth21_newborn"
MOST_TRIED = 640

Rule = Callable[[PatientRecord, Truth], bool]


@dataclass(frozen=True)
class Demo:
    """A packaged woman: her design, what she shows, and the rule that picks her."""

    name: str
    says: str
    rule_text: str
    rule: Rule

    @property
    def design(self) -> str:
        return f"demo-{self.name}"


def smbg_above_target(record: PatientRecord, first_day: float = 0.0, last_day: float = 400.0) -> float:
    """Share of finger pricks above target in a range of gestational days; 0 where there are none."""
    site = SiteSettings()
    table = record.glucose[record.glucose["kind"] == "smbg"]
    table = table[table["gestational_day"].between(first_day, last_day)]
    target = table["relation"].map({"fasting": site.fasting_target_mg_dl}).fillna(site.one_hour_target_mg_dl)
    return float((table["value_mg_dl"] >= target).mean()) if len(table) else 0.0


def without_outlier(record: PatientRecord) -> bool:
    """No finger prick in the alert range below 54 mg/dL, which without insulin is the error model's tail."""
    pricks = record.glucose[record.glucose["kind"] == "smbg"]["value_mg_dl"]
    return bool((pricks >= SiteSettings().alert_low_mg_dl).all())


def birth_centile(truth: Truth) -> float:
    return float(
        birthweight_centile(
            truth.birth_weight_g,
            truth.delivery_day,
            truth.fetal_sex,
            standard=REFERENCE,  # type: ignore[arg-type]
        )
    )


def _diet(record: PatientRecord, truth: Truth) -> bool:
    return bool(truth.gdm) and 0.05 <= smbg_above_target(record) <= 0.25 and without_outlier(record)


def _insulin(record: PatientRecord, truth: Truth) -> bool:
    plan = DESIGNS["demo-insulin"].insulin
    assert plan is not None
    if not truth.gdm or not len(record.insulin):
        return False
    before = smbg_above_target(record, 0.0, 7.0 * plan.start_week)
    newest_week = record.insulin[record.insulin["gestational_day"] >= truth.as_of_day - 7]
    units = float(newest_week["dose_U"].sum()) / 7.0
    return before > 1.0 / 3.0 and 10.0 <= units <= 45.0


def _large(record: PatientRecord, truth: Truth) -> bool:
    bmi = record.facts.bmi_pre
    large = truth.birth_weight_g > 4000.0 and birth_centile(truth) > 90.0
    return bmi is not None and bmi >= 30.0 and large and without_outlier(record)


def _normal(record: PatientRecord, truth: Truth) -> bool:
    return truth.gdm is False and 25.0 <= birth_centile(truth) <= 75.0


DEMOS = (
    Demo(
        "diet",
        "gestational diabetes controlled by diet, finger pricks four times a day",
        "meets IADPSG; 5 to 25 % of finger pricks above target, none below 54 mg/dL",
        _diet,
    ),
    Demo(
        "insulin",
        "gestational diabetes on insulin, with a sensor, meals and doses recorded",
        "meets IADPSG; over a third of finger pricks above target before insulin; 10 to 45 units a day at the end",
        _insulin,
    ),
    Demo(
        "large",
        "obesity and a large baby",
        "body mass index 30 or more; true birth weight above 4000 g and the 90th centile (INTERGROWTH newborn); "
        "no finger prick below 54 mg/dL",
        _large,
    ),
    Demo(
        "normal",
        "normal glucose tolerance, average baby",
        "does not meet IADPSG; true birth weight between the 25th and 75th centile (INTERGROWTH newborn)",
        _normal,
    ),
)


def find(demo: Demo, prior: Prior, seed: int = SEED) -> tuple[int, PatientRecord, Truth]:
    """(index, record, truth) of the first woman who meets the rule and is fully in scope.

    Raises : LookupError when nobody among MOST_TRIED does.
    """
    key, design, width = jax.random.key(seed), DESIGNS[demo.design], WIDTHS[1]
    for first in range(0, MOST_TRIED, width):
        chunk = [(woman_key(key, i), f"demo-{demo.name}") for i in range(first, first + width)]
        for i, (record, truth) in enumerate(simulate_chunk(chunk, design, prior, "hadlock1991")):
            scope = scope_gate(record, float(truth.as_of_day), SiteSettings(), efw=efw_of_scan)
            if demo.rule(record, truth) and scope.status == "full":
                return first + i, record, truth
    raise LookupError(f"no woman of design {demo.design} meets the rule: {demo.rule_text}")


def make(folder: Path = FOLDER) -> dict[str, object]:
    """Write demo_NAME.ndjson.gz and demo_truth.json; returns what demo_truth.json holds."""
    prior = load_prior()
    folder.mkdir(parents=True, exist_ok=True)
    women: dict[str, object] = {}
    for demo in DEMOS:
        index, record, truth = find(demo, prior)
        size = write_simulated([record], folder / f"demo_{demo.name}.ndjson.gz")
        print(f"{demo.name}: woman {index}, {size} bytes", file=sys.stderr)
        women[demo.name] = {"shows": demo.says, "rule": demo.rule_text, "index": index} | _plain(truth.row())
    told = {
        "simulated": True,
        "note": "Simulated by gdm-twin (python -m cohorts.synthetic.make_demo). These are not real women.",
        "seed": SEED,
        "women": women,
    }
    (folder / "demo_truth.json").write_text(json.dumps(told, indent=1) + "\n")
    return told


def _plain(row: dict[str, object]) -> dict[str, object]:
    return {k: float(f"{v:.8g}") if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    from scenarios.cli import start_engine

    start_engine()
    make()
