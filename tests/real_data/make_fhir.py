"""People of the real-data shelf as FHIR R4 Bundles, for tests; no real data is stored in the repository.

Three sources, three shapes of missing data (see the README of each folder on the shelf):
- Porto Alegre cohort: fasting glucose, OGTT, covariates, a fetal weight of 14 to 20 weeks, the birth;
- BIG IDEAs: CGM and meals of people who are not pregnant, set at 28 weeks of an invented pregnancy;
- Sydney: one scan in cm and the birth, no dating.
Only gaps between events are real. Every date is invented, and follows from the person's number alone.

    python tests/real_data/make_fhir.py --shared DIR --out DIR
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
UCUM, OWN = "http://unitsofmeasure.org", "urn:gdm-twin:code"
Row = Mapping[str, str]
Resource = dict[str, Any]


class Writer:
    """Collects the resources of one invented pregnancy. `offset`: local offset from UTC, as FHIR writes it."""

    def __init__(self, identity: str, offset: str, birth_year: int | None = None):
        self.subject = {"reference": f"Patient/{identity}"}
        self.identity, self.offset = identity, offset
        self.mother: Resource = {"resourceType": "Patient", "id": identity}
        if birth_year is not None:
            self.mother["birthDate"] = str(birth_year)
        self.resources: list[Resource] = [self.mother]

    def when(self, day: date, clock: time) -> str:
        """A local moment with its offset."""
        return f"{datetime.combine(day, clock).isoformat()}{self.offset}"

    def observe(self, code: str, when: str | None, *, system: str = LOINC, **value: Any) -> None:
        """An Observation of the mother; `value` is a value[x] element."""
        out: Resource = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": system, "code": code}]},
            "subject": self.subject,
        }
        if when is not None:
            out["effectiveDateTime"] = when
        self.resources.append(out | value)

    def edd(self, lmp: date, stated: date) -> None:
        """EDD by ultrasound."""
        self.observe("11781-2", stated.isoformat(), valueDateTime=(lmp + timedelta(days=280)).isoformat())

    def flag(self, name: str, snomed: str, value: bool, known: date) -> None:
        """A condition that is there, or a recorded no."""
        if not value:
            self.observe(name, known.isoformat(), system=OWN, valueBoolean=False)
            return
        self.resources.append(
            {
                "resourceType": "Condition",
                "code": {"coding": [{"system": SNOMED, "code": snomed}]},
                "subject": self.subject,
                "recordedDate": known.isoformat(),
            }
        )

    def birth(self, day: date, weight_g: float) -> None:
        """A newborn linked to the mother, with day and weight."""
        child, relation = f"{self.identity}-newborn", f"{self.identity}-mother"
        self.mother["link"] = [{"other": {"reference": f"RelatedPerson/{relation}"}, "type": "seealso"}]
        role = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH"}
        self.resources += [
            {"resourceType": "Patient", "id": child, "birthDate": day.isoformat()},
            {
                "resourceType": "RelatedPerson",
                "id": relation,
                "patient": {"reference": f"Patient/{child}"},
                "relationship": [{"coding": [role]}],
            },
        ]
        self.observe("8339-4", day.isoformat(), valueQuantity=quantity(weight_g, "g"))
        self.resources[-1]["subject"] = {"reference": f"Patient/{child}"}

    def bundle(self) -> Resource:
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": r} for r in self.resources],
        }


def quantity(value: float, unit: str) -> Resource:
    """A UCUM Quantity."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def number(row: Row, column: str) -> float | None:
    """The column as a number, None where it is empty."""
    text = row.get(column, "")
    return float(text) if text else None


def _weeks_days(text: str) -> int:
    """Days of a gestational age published as "weeks,days"."""
    weeks, _, days = text.partition(",")
    return int(weeks) * 7 + int(days or 0)


def porto_alegre_bundle(row: Row, *, with_birth: bool = True) -> Resource:
    """One woman of the Porto Alegre cohort; samples of a trimester are set at 12+0, 26+0, 32+0 weeks."""
    case = int(row["case_id"])
    lmp = date(2026, 1, 5) + timedelta(days=case % 90)
    w = Writer(f"porto-alegre-{case}", "-03:00", birth_year=lmp.year - int(row["age_y"]))
    at = {"1": lmp + timedelta(days=84), "2": lmp + timedelta(days=182), "3": lmp + timedelta(days=224)}
    w.edd(lmp, at["1"])
    included = lmp + timedelta(days=_weeks_days(row["ga_inclusion_raw"]))
    fasting = number(row, "fasting_glucose_first_mg_dl")
    if fasting is not None:
        w.observe("1558-6", w.when(at["1"], time(7, 30)), valueQuantity=quantity(fasting, "mg/dL"))
    columns = {
        "1": ("", "l_1st_hour_ogtt75_1st_tri", "l_2nd_hour_ogtt_1tri"),
        "2": (
            "l_second_tri_fasting_blood_glucose",
            "l_1st_hour_ogtt75_2tri",
            "l_2nd_hour_ogtt75_2tri",
        ),
        "3": ("l_third_tri_fasting_blood_glucose", "l_1st_hour_ogtt75_3tri", "l_2nd_hour_ogtt_3tri"),
    }
    for trimester, names in columns.items():
        samples = [number(row, n) for n in names]
        loaded = any(v is not None for v in samples[1:])
        codes = ("1552-9" if loaded else "1558-6", "1507-3", "1518-0")
        for hour, (code, value) in enumerate(zip(codes, samples, strict=True)):
            if value is not None:
                moment = w.when(at[trimester] + timedelta(days=1), time(8 + hour))
                w.observe(code, moment, valueQuantity=quantity(value, "mg/dL"))
    weight = number(row, "l_fetal_weight_at_ultrasound")
    if weight is not None:
        w.observe("11727-5", included.isoformat(), valueQuantity=quantity(weight, "g"))
    _porto_alegre_covariates(w, row, lmp, at)
    if with_birth:
        w.birth(lmp + timedelta(days=_weeks_days(row["ga_birth_raw"])), float(row["birthweight_g"]))
    return w.bundle()


def _porto_alegre_covariates(w: Writer, row: Row, lmp: date, at: Mapping[str, date]) -> None:
    first = at["1"].isoformat()
    height, before = number(row, "r_height_at_inclusion"), number(row, "r_prepregnant_weight")
    bmi = number(row, "bmi_prepregnancy")
    if before is None and bmi is not None and height is not None:
        before = round(bmi * height**2, 1)
    if height is not None:
        w.observe("8302-2", first, valueQuantity=quantity(height, "m"))
    if before is not None:
        w.observe("56077-1", first, valueQuantity=quantity(before, "kg"))
    for trimester, column in (
        ("1", "r_current_maternal_weight_1st_tri"),
        ("2", "r_current_maternal_weight_2nd_tri"),
        ("3", "r_current_maternal_weight_3rd_tri"),
    ):
        now = number(row, column)
        if now is not None:
            w.observe("29463-7", at[trimester].isoformat(), valueQuantity=quantity(now, "kg"))
    smokes = number(row, "l_tobacco_use")
    if smokes is not None:
        w.observe("64234-8", first, valueBoolean=smokes == 1)
    past, hospital = number(row, "l_hypertension_past_reported"), number(row, "r_hospital_hypertension")
    if past == 1:
        w.flag("hypertension", "48194001", True, at["1"])
    elif past is not None:
        w.flag("hypertension", "48194001", False, at["1"])
        if hospital == 1:
            w.flag("hypertension", "48194001", True, lmp + timedelta(days=_weeks_days(row["ga_birth_raw"])))
    w.flag("diabetes_before_pregnancy", "73211009", row["prior_diabetes"] == "1", at["1"])
    w.flag("gdm", "11687002", row["gdm"] == "1", at["2"] + timedelta(days=2))


def bigideas_bundle(subject: str, cgm: Iterable[Row], meals: Iterable[Row]) -> Resource:
    """A BIG IDEAs person's CGM and meals, moved by whole days so that the recording begins at 28+0 weeks.

    Foods logged under one time are one meal; foods without a time or without carbohydrate are left out.
    """
    readings = sorted((datetime.fromisoformat(r["timestamp"]), float(r["glucose_mg_dl"])) for r in cgm)
    lmp = date(2026, 2, 2) + timedelta(days=int(subject))
    shift = lmp + timedelta(days=196) - readings[0][0].date()
    w = Writer(f"bigideas-{subject}", "-05:00", birth_year=lmp.year - 33)
    w.edd(lmp, lmp + timedelta(days=84))
    for moment, value in readings:
        w.observe("99504-3", _moved(w, moment, shift), valueQuantity=quantity(value, "mg/dL"))
    grams: dict[datetime, float] = {}
    for food in meals:
        if food["time_begin"] and food["total_carb"]:
            moment = datetime.fromisoformat(food["time_begin"].lstrip("s"))
            grams[moment] = grams.get(moment, 0.0) + float(food["total_carb"])
    for moment, carbohydrate in sorted(grams.items()):
        w.observe("9059-7", _moved(w, moment, shift), valueQuantity=quantity(round(carbohydrate, 3), "g"))
    return w.bundle()


def _moved(w: Writer, moment: datetime, shift: timedelta) -> str:
    return w.when(moment.date() + shift, moment.time())


def sydney_bundle(row: Row, *, with_birth: bool = False) -> Resource:
    """One Sydney woman: BPD, HC, AC, FL in cm on an invented day, parity, age; never any dating."""
    identity = int(row["id"])
    scan = date(2026, 6, 1) + timedelta(days=identity % 60)
    w = Writer(f"sydney-{identity}", "+10:00")
    for code, column in (
        ("11820-8", "bpd_cm"),
        ("11984-2", "hc_cm"),
        ("11979-2", "ac_cm"),
        ("11963-6", "fl_cm"),
    ):
        value = number(row, column)
        if value is not None:
            w.observe(code, w.when(scan, time(10)), valueQuantity=quantity(value, "cm"))
    w.observe("11977-6", scan.isoformat(), valueInteger=int(row["parity"].rstrip("+")))
    w.observe("30525-0", scan.isoformat(), valueQuantity=quantity(float(row["maternal_age_y"]), "a"))
    if with_birth:
        w.birth(
            scan + timedelta(days=round(float(row["days_before_delivery"]))),
            float(row["birthweight_g"]),
        )
    return w.bundle()


def load_porto_alegre(shared: Path) -> list[dict[str, str]]:
    """Rows of the cohort on the shelf."""
    return _rows(shared / "data" / "gdm_porto_alegre" / "cohort.csv")


def load_sydney(shared: Path) -> list[dict[str, str]]:
    """Rows of the scans on the shelf."""
    return _rows(shared / "data" / "sydney_ultrasound_birthweight" / "scans.csv")


def load_bigideas(shared: Path) -> dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]]:
    """Subject -> (CGM rows, food rows)."""
    folder = shared / "data" / "cgm_meals_bigideas"
    out: dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]] = {}
    for row in _rows(folder / "cgm.csv.gz"):
        out.setdefault(row["subject"], ([], []))[0].append(row)
    for row in _rows(folder / "food_log.csv"):
        if row["subject"] in out:
            out[row["subject"]][1].append(row)
    return out


def _rows(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return list(csv.DictReader(text.splitlines()))


def main() -> None:
    """Write one Bundle a person into the output folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True, help="the shelf of real data")
    parser.add_argument("--out", type=Path, required=True, help="folder to write Bundles to")
    parser.add_argument("--people", type=int, default=5, help="people a source (default 5; 0: all)")
    chosen = parser.parse_args()
    last = chosen.people or None
    bundles = [porto_alegre_bundle(r) for r in load_porto_alegre(chosen.shared)[:last]]
    bundles += [bigideas_bundle(s, *data) for s, data in list(load_bigideas(chosen.shared).items())[:last]]
    bundles += [sydney_bundle(r) for r in load_sydney(chosen.shared)[:last]]
    chosen.out.mkdir(parents=True, exist_ok=True)
    for bundle in bundles:
        name = bundle["entry"][0]["resource"]["id"]
        (chosen.out / f"{name}.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    print(f"{len(bundles)} Bundles written")


if __name__ == "__main__":
    main()
