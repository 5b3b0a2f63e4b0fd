"""Virtual patients with known truth, written as the same FHIR records real women have."""

from cohorts.synthetic.design import (
    DESIGNS,
    CgmPlan,
    Design,
    InsulinPlan,
    MetforminPlan,
    SmbgPlan,
    WalkPlan,
    design_named,
)
from cohorts.synthetic.files import simulated_resources, write_simulated
from cohorts.synthetic.other import simulate_other
from cohorts.synthetic.readings import IADPSG_MG_DL, meets_iadpsg
from cohorts.synthetic.simulate import simulate_cohort, simulate_woman, woman_key
from cohorts.synthetic.truth import Truth, write_truth

__all__ = [
    "DESIGNS",
    "IADPSG_MG_DL",
    "CgmPlan",
    "Design",
    "InsulinPlan",
    "MetforminPlan",
    "SmbgPlan",
    "Truth",
    "WalkPlan",
    "design_named",
    "meets_iadpsg",
    "simulate_cohort",
    "simulate_other",
    "simulate_woman",
    "simulated_resources",
    "woman_key",
    "write_simulated",
    "write_truth",
]
