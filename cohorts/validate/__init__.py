"""Everything that judges a table of predictions against what happened. It never runs the twin."""

from cohorts.validate.comparators import COMPARATORS, Comparator, Compared, cross_validated
from cohorts.validate.decisions import DECISIONS, Decision
from cohorts.validate.evaluate import Case, Evaluation, Settings, evaluate
from cohorts.validate.folds import FOLDS, fold_of, folds_of
from cohorts.validate.report import SCHEMA, as_told, write
from cohorts.validate.subgroups import Minimum
from cohorts.validate.table import ESTIMANDS, OUTCOMES, QUANTILES, Accepted, accept

__all__ = [
    "COMPARATORS",
    "DECISIONS",
    "ESTIMANDS",
    "FOLDS",
    "OUTCOMES",
    "QUANTILES",
    "SCHEMA",
    "Accepted",
    "Case",
    "Comparator",
    "Compared",
    "Decision",
    "Evaluation",
    "Minimum",
    "Settings",
    "accept",
    "as_told",
    "cross_validated",
    "evaluate",
    "fold_of",
    "folds_of",
    "write",
]
