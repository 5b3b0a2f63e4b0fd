"""Tolerance tests of single people with insulin: how people differ, learnt on the twin's own equations."""

from cohorts.individuals.artefact import as_artefact, read_artefact, write_artefact
from cohorts.individuals.data import PeopleTests, load
from cohorts.individuals.hidden import leave_one_time_out
from cohorts.individuals.population import Hyperprior, Learnt, hyperprior_after, hyperprior_of, learn
from cohorts.individuals.study import fold, gathered

__all__ = [
    "Hyperprior",
    "Learnt",
    "PeopleTests",
    "as_artefact",
    "fold",
    "gathered",
    "hyperprior_after",
    "hyperprior_of",
    "learn",
    "leave_one_time_out",
    "load",
    "read_artefact",
    "write_artefact",
]
