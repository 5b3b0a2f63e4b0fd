"""`python -m cohorts.individuals`."""

from cohorts.individuals.cli import build_app

if __name__ == "__main__":
    build_app()()
