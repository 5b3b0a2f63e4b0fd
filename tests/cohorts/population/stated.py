"""What one of many women would say of herself."""

from datetime import date

from cohorts.population.women import Women
from twin.record import Statement
from twin.timeline import DatingStatement


def stated(w: Women, i: int, lmp: date) -> list[Statement]:
    """Dating and covariates of woman i."""
    facts = {
        "maternal_age_y": float(w.age_y[i]),
        "height_cm": float(w.height_cm[i]),
        "weight_pre_kg": float(w.weight_pre_kg[i]),
        "parity": int(w.parity[i]),
        "smoking": bool(w.smoking[i]),
        "hypertension": bool(w.hypertension[i]),
        "fetal_sex": "male" if w.male[i] else "female",
    }
    dating = Statement("dating", DatingStatement(lmp, "ultrasound", True, lmp), lmp)
    return [dating, *(Statement(k, v, lmp) for k, v in facts.items())]
