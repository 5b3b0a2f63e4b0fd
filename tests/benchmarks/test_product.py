"""What a user waits for, in seconds, beside the project's aims."""

from __future__ import annotations

from tests.benchmarks.apart import apart

TABLE = "What a user waits for"


def test_nuts_of_a_sensor_woman(store, size, folder):
    """Compiling included: a woman is sampled once."""

    def work():
        found = apart("product", cache=folder / "nuts", one_core=False, what="nuts", folder=str(folder))
        return {
            "rows": [
                {"case": "NUTS, 14 sensor days, 4 chains of 500 after 500", "bar_seconds": 180.0, **found}
            ]
        }

    store(TABLE, work)


def test_what_if_on_a_stored_posterior(store, size, folder):
    def work():
        rows = []
        for design in ("14 sensor days", "finger pricks"):
            options = {"folder": str(folder), "design": design, "repeats": 3 * size.repeats}
            found = apart("product", cache=folder / "what if", one_core=False, what="what if", **options)
            rows.append({"case": f"what-if, {design}", "bar_seconds": 0.3, **found})
        return {"rows": rows}

    store(TABLE, work)


def test_commands_from_the_shell(store, size):
    def work():
        found = apart("product", one_core=False, what="shell", repeats=size.repeats)
        rows = [
            {
                "case": "gdm-twin run",
                "bar_seconds": 12.0,
                "seconds": found["run_s"],
                "first_wall_s": found["run_first_s"],
            },
            {"case": "gdm-twin --help", "bar_seconds": 0.6, "seconds": found["help_s"]},
        ]
        return {"rows": rows}

    store(TABLE, work)
