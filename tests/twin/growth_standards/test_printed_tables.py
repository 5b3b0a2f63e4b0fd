"""Every printed cell against the curves; cells that contradict their own equation are listed, exactly.

`contradictions.csv` is that list (docs/model/growth_standards.md explains it). A cell counts when it differs
from the curve by more than half a unit of its last printed digit (plus 0.1 % of the unit, for ties).
"""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri

from twin import growth_standards as gs

HERE = Path(__file__).parent
CENTILES = {"p3": 3, "p5": 5, "p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "p95": 95, "p97": 97}
CENTILES |= {"p2.5": 2.5, "p97.5": 97.5}
Z = {"z_m3": -3, "z_m2": -2, "z_m1": -1, "z_0": 0, "z_p1": 1, "z_p2": 2, "z_p3": 3}
Z |= {name: float(ndtri(centile / 100)) for name, centile in CENTILES.items()}
SEX = {"F": "female", "M": "male"}


def cells(path, **keep):
    """Rows (row dict, column, printed number) of a shelf table, blanks left out."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if all(row[key] == value for key, value in keep.items()):
                yield from ((row, name, float(row[name])) for name in row if name in Z and row[name])


def days_of(ga):
    weeks, _, days = ga.partition("+")
    return int(weeks) * 7 + int(days) if days else round(float(ga) * 7)


def compare(table, curve, unit, found, value_from_z):
    """Largest difference; appends every cell beyond rounding to `found`."""
    table = list(table)
    day = np.array([days_of(row.get("ga") or row["ga_weeks"]) for row, _, _ in table])
    z = np.array([Z[name] for _, name, _ in table])
    printed = np.array([value for _, _, value in table])
    computed = np.asarray(value_from_z(z, day))
    difference = np.abs(computed - printed)
    assert len(table) > 0 and np.isfinite(difference).all(), curve
    for i in np.flatnonzero(difference > 0.501 * unit):
        found.append((curve, f"{day[i] // 7}+{day[i] % 7}", table[i][1], printed[i], round(computed[i], 4)))
    return difference.max()


def intergrowth_fetal(shelf, found):
    worst = {}
    for kind in ("centiles", "zscores"):
        path = shelf / f"intergrowth21_fetal_{kind}.csv"
        for quantity in ("ac_mm", "bpd_mm", "fl_mm", "hc_mm", "ofd_mm"):
            table = cells(path, measure=quantity[:-3].upper() + "_mm")
            worst[kind, quantity] = compare(
                table,
                f"intergrowth21 {quantity} {kind}",
                0.1,
                found,
                lambda z, day, q=quantity: gs.biometry_from_z(q, z, day),
            )
        for standard, measure in (
            ("intergrowth21_efw", "EFW_IG2017_g"),
            ("intergrowth21_hadlock_efw", "EFW_HADLOCK_IG2020_g"),
        ):
            if kind == "centiles" or standard == "intergrowth21_efw":
                worst[kind, standard] = compare(
                    cells(path, measure=measure),
                    f"{standard} {kind}",
                    1,
                    found,
                    lambda z, day, s=standard: gs.weight_from_z(z, day, standard=s),
                )
    return worst


def intergrowth_newborn(shelf, found):
    worst = {}
    for kind, file, measures in (
        ("centiles", "intergrowth21_newborn_centiles.csv", ("weight_kg", "len_cm", "hc_cm")),
        ("zscores", "intergrowth21_newborn_weight_zscores.csv", ("weight_kg",)),
    ):
        for measure in measures:
            quantity = {"weight_kg": "weight_g", "len_cm": "length_cm", "hc_cm": "head_cm"}[measure]
            scale, unit = (1000, 0.01) if measure == "weight_kg" else (1, 0.1)
            for sex, word in SEX.items():
                worst[kind, quantity, word] = compare(
                    cells(shelf / file, measure=measure, sex=sex),
                    f"intergrowth21_newborn {measure} {word} {kind}",
                    unit,
                    found,
                    lambda z, day, q=quantity, s=word, k=scale: gs.newborn_from_z(q, z, day, s) / k,
                )
    return worst


def who_weight(shelf, found):
    worst = {}
    for group, word in (("EFWT", "unknown"), ("EFWT_FE", "female"), ("EFWT_M", "male")):
        worst[word] = compare(
            cells(shelf / "who_efw_percentiles_weeks.csv", group=group),
            f"who weight_g {word} centiles",
            1,
            found,
            lambda z, day, s=word: gs.weight_from_z(z, day, standard="who", sex=s),
        )
    return worst


@pytest.fixture(scope="module")
def shelf(shared_data):
    return shared_data / "data/growth_standards"


@pytest.fixture(scope="module")
def found_and_worst(shelf):
    found = []
    worst = intergrowth_fetal(shelf, found) | intergrowth_newborn(shelf, found) | who_weight(shelf, found)
    return found, worst


@pytest.mark.shared_data
def test_the_contradictions_are_exactly_the_listed_ones(found_and_worst):
    found, _ = found_and_worst
    with (HERE / "contradictions.csv").open(encoding="utf-8") as lines:
        listed = {
            (row["curve"], row["age"], row["column"], float(row["printed"])): float(row["computed"])
            for row in csv.DictReader(lines)
        }
    computed = {cell[:4]: float(cell[4]) for cell in found}
    assert set(computed) == set(listed)
    assert all(abs(computed[cell] - listed[cell]) <= 0.001 for cell in listed)


@pytest.mark.shared_data
def test_contradictions_are_small_except_one_table(found_and_worst):
    """The bounds of the docs page: biometry 0.08 mm, newborn weight 15 g, WHO by sex 2.3 g."""
    _, worst = found_and_worst
    for (kind, name, *_), difference in ((k, v) for k, v in worst.items() if isinstance(k, tuple)):
        if name.endswith("_mm"):
            assert difference < 0.08
        if name.endswith("_cm"):
            assert difference < 0.0551
        if name == "weight_g":
            assert difference < (0.015 if kind == "centiles" else 0.0055)
    assert worst["centiles", "intergrowth21_hadlock_efw"] < 0.5
    assert worst["centiles", "intergrowth21_efw"] < 0.51
    assert (
        31 < worst["zscores", "intergrowth21_efw"] < 32
    )  # this printed z table is not the published equation
    assert worst["unknown"] < 0.5
    assert max(worst["female"], worst["male"]) < 2.3


@pytest.mark.shared_data
def test_very_preterm_newborns_have_no_contradiction(found_and_worst):
    found, _ = found_and_worst
    assert not [cell for cell in found if "newborn" in cell[0] and int(cell[1][:2]) < 33]


@pytest.mark.shared_data
def test_nichd_weight_by_week_has_no_contradiction(shelf):
    found = []
    for group in ("White", "Black", "Hispanic", "Asian"):
        table = cells(shelf / "nichd_efw_percentiles_by_race_weeks.csv", race_ethnicity=group)
        compare(
            table,
            group,
            1,
            found,
            lambda z, day, g=group: gs.weight_from_z(z, day, standard="nichd", group=g.lower()),
        )
    assert found == []


@pytest.mark.shared_data
def test_nichd_biometry_by_day(shelf):
    """Whole weeks within rounding (0.005 mm); days between within 0.0125 mm (weekly spline)."""
    path = shelf / "nichd_fetal_percentiles_by_race.csv.gz"
    quantities = {
        "Abdominal Circ.": "ac_mm",
        "Biparietal Diameter": "bpd_mm",
        "Femur Length": "fl_mm",
        "Head Circ.": "hc_mm",
    }
    groups = {
        "Non-Hispanic White": "white",
        "Non-Hispanic Black": "black",
        "Hispanic": "hispanic",
        "Asian & Pacific Islander": "asian",
    }
    everything = list(cells(path))
    for measure, quantity in quantities.items():
        for label, group in groups.items():
            table = [c for c in everything if c[0]["measure"] == measure and c[0]["race_ethnicity"] == label]
            found = []

            def curve(z, day, q=quantity, g=group):
                return gs.biometry_from_z(q, z, day, standard="nichd", group=g)

            assert compare(table, measure, 0.01, found, curve) < 0.0125
            assert not [cell for cell in found if cell[1].endswith("+0")]


@pytest.mark.shared_data
def test_who_and_fmf_vectors_on_the_shelf(shelf):
    vectors = json.loads((shelf / "test_vectors.json").read_text())["who_fetal_centiles"]
    for key, printed in vectors.items():
        if key.startswith("EFW"):
            _, _, grams, _, week, *_ = key.split("_")
            computed = [
                float(gs.who_centile_linear("weight_g", float(grams), 7 * int(week[:-1]), sex=sex))
                for sex in ("unknown", "male", "female")
            ]
            assert computed == pytest.approx(printed, abs=0.051), key


def test_who_biometry_vectors():
    ac = gs.who_centile_linear("ac_mm", 90.0, np.array([98, 105, 112]))
    np.testing.assert_allclose(ac, [91.5, 39.9, 4.0], atol=0.051)
    bpd = gs.who_centile_linear("bpd_mm", 92.0, np.array([245, 252, 259]))
    np.testing.assert_allclose(bpd, [91.6, 80.1, 64.9], atol=0.051)


PRINTED = [  # facts that must hold without the shelf
    ("intergrowth21_hadlock_efw", None, "18+0", {3: 184, 10: 193, 50: 216, 90: 244, 97: 260}),
    ("intergrowth21_efw", None, "22+0", {3: 463, 90: 578, 97: 607}),
    ("who", None, "14+0", {2.5: 70, 5: 73, 10: 78, 25: 83, 50: 90, 75: 98, 90: 104, 95: 109, 97.5: 113}),
]


@pytest.mark.parametrize(("standard", "sex", "age", "printed"), PRINTED)
def test_printed_weights(standard, sex, age, printed):
    computed = gs.weight_from_centile(
        np.array(list(printed), float), float(days_of(age)), standard=standard, sex=sex
    )
    np.testing.assert_allclose(computed, list(printed.values()), atol=0.5)


def test_printed_intergrowth_abdomen_and_newborn():
    ac = gs.biometry_from_z("ac_mm", np.array([Z[c] for c in ("p3", "p10", "p50", "p90", "p97")]), 16 * 7)
    np.testing.assert_allclose(ac, [93.0, 96.3, 103.2, 110.1, 113.4], atol=0.0501)
    centiles = ndtri(np.array([0.1, 0.5, 0.9]))  # [C-STD-13]
    boys = gs.birthweight_from_z(centiles, 281, "male")
    girls = gs.birthweight_from_z(centiles, 281, "female")
    np.testing.assert_allclose(boys, [2900, 3400, 3950], atol=5.1)
    np.testing.assert_allclose(girls, [2800, 3280, 3820], atol=5.1)


@pytest.mark.parametrize(
    ("group", "p5", "p50", "p95"),
    [
        ("white", 2790, 3505, 4402),
        ("hispanic", 2633, 3336, 4226),
        ("asian", 2621, 3270, 4078),
        ("black", 2622, 3260, 4053),
    ],
)
def test_nichd_abstract_at_39_weeks(group, p5, p50, p95):
    """[C-STD-11]: abstract and printed table differ by up to 11 g."""
    computed = gs.weight_from_centile(np.array([5.0, 50.0, 95.0]), 273, standard="nichd", group=group)
    np.testing.assert_allclose(computed, [p5, p50, p95], atol=11.0)


def test_fmf_2018_check_values_and_equation():
    assert float(gs.weight_median_g(280, standard="fmf2018")) == pytest.approx(3459, abs=0.5)
    assert float(gs.weight_from_centile(90.0, 280, standard="fmf2018")) == pytest.approx(3897, abs=0.5)
    day = np.arange(140, 295)
    x = day - 199
    mean = 3.0893 + 0.00835 * x - 0.00002965 * x**2 - 0.00000006062 * x**3
    sd = 0.02464 + 0.0000564 * day
    for z in (-1.88, -1.28, 0.0, 1.28, 1.88):
        np.testing.assert_allclose(
            gs.weight_from_z(z, day, standard="fmf2018"), 10 ** (mean + z * sd), rtol=1e-11
        )


def test_hadlock_1991_is_its_equation_exactly():
    week = np.arange(10, 41)
    for z in (-2.0, 0.0, 1.5):
        np.testing.assert_allclose(
            gs.weight_from_z(z, 7 * week, standard="hadlock1991"),
            np.exp(0.578 + 0.332 * week - 0.00354 * week**2 + 0.12 * z),
            rtol=1e-12,
        )


def test_hadlock_1991_published_chart_is_another_distribution():
    """The chart's medians are the equation; its centiles are the median times 0.75, 0.83, 1.17 and 1.25
    (normal in weight, CV 13.3 %), not lognormal with 12 %. One cell, 30 weeks 97th, breaks even that rule."""
    chart = np.genfromtxt(HERE / "hadlock_1991_chart.csv", delimiter=",", names=True)
    median = np.asarray(gs.weight_median_g(7 * chart["week"], standard="hadlock1991"))
    np.testing.assert_allclose(chart["p50"], median, atol=0.5)
    for column, factor in (("p3", 0.75), ("p10", 0.83), ("p90", 1.17), ("p97", 1.25)):
        off = np.abs(chart[column] - factor * median) > 1.7
        assert list(chart["week"][off]) == ([30] if column == "p97" else [])
    assert chart["p97"][20] == 1649 < chart["p90"][20]  # 1949 would fit
    term = np.array([chart[c][-1] for c in ("p3", "p10", "p90", "p97")])
    centiles = gs.weight_centile(term, 280, standard="hadlock1991")
    np.testing.assert_allclose(centiles, [0.82, 6.0, 90.4, 96.9], atol=0.1)


def test_the_packaged_tables_are_the_ones_whose_sources_are_named():
    data = Path(gs.__file__).parent / "data"
    sources = (data / "SOURCES.md").read_text(encoding="utf-8")
    tables = sorted(data.glob("*.csv"))
    assert len(tables) == 3
    for table in tables:
        assert table.name in sources
        assert hashlib.sha256(table.read_bytes()).hexdigest() in sources, table.name
