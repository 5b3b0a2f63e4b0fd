# gdm-twin: `make demo` and `make test` do everything on a fresh machine with Python 3.11 or later.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench faithful prior evidence lint docs clean

help:  ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e ".[dev,docs]"
	@touch $(STAMP)

setup: $(STAMP)  ## make .venv with the tested versions

demo: $(STAMP)  ## run the packaged patient end to end and say where the report is
	$(BIN)/gdm-twin demo --out out/demo

lint: $(STAMP)  ## format, lint, types and import contracts
	$(BIN)/ruff format --check twin scenarios cohorts tests
	$(BIN)/ruff check twin scenarios cohorts tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) lint  ## everything CI runs: lint, types, contracts, tests, docs
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/benchmarks
	$(BIN)/mkdocs build --strict --quiet -f .ci/mkdocs.yml

bench: $(STAMP)  ## benchmarks as JSON under out/bench
	@mkdir -p out/bench
	$(BIN)/python -m pytest tests/benchmarks -p no:xdist --benchmark-only --benchmark-json=out/bench/benchmarks.json

faithful: $(STAMP)  ## is the posterior what it says it is: long, may be stopped and resumed
	$(BIN)/python -m tests.statistical.faithful.run --out out/checks/faithful $(FAITHFUL)

prior: $(STAMP)  ## learn the population prior from evidence and ../shared; may be stopped and resumed
	$(BIN)/python -m cohorts.ladder --shared ../shared --out twin/inference/data/population-1
	$(BIN)/python -m cohorts.ladder.page twin/inference/data/population-1.json

evidence: $(STAMP)  ## virtual women against every published row; may be stopped and resumed
	$(BIN)/gdm-twin cohort evidence --out out/evidence
	$(BIN)/python -m cohorts.evidence.page out/evidence

docs: $(STAMP)  ## build the documentation site into site/
	$(BIN)/mkdocs build --strict -f .ci/mkdocs.yml

clean:  ## remove what was built, not .venv
	rm -rf build dist site out
