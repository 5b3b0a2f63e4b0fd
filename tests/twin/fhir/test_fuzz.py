"""Random damage to a good Bundle: only UnusableInput is raised, and no entry is lost in silence."""

import copy
import importlib.util
import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from twin.errors import UnusableInput
from twin.fhir import read_source
from twin.record import COLUMNS

_spec = importlib.util.spec_from_file_location("fhir_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)

BASE = _rows.bundle(
    _rows.patient(),
    _rows.edd(),
    _rows.observation("41653-7", valueQuantity=_rows.quantity(98, "mg/dL")),
    _rows.observation("1507-3", "2026-09-02T09:00:00Z", valueQuantity=_rows.quantity(181, "mg/dL")),
    _rows.observation("11984-2", "2026-09-10", valueQuantity=_rows.quantity(25.9, "cm")),
    _rows.observation("9059-7", "2026-09-14T12:05:00+02:00", valueQuantity=_rows.quantity(52, "g")),
    _rows.observation("8302-2", "2026-05-20", valueQuantity=_rows.quantity(1.66, "m")),
    {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": _rows.MOTHER,
        "medicationCodeableConcept": {"coding": [{"system": "http://www.whocc.no/atc", "code": "A10BA02"}]},
        "effectivePeriod": {"start": "2026-09-01"},
        "dosage": [{"doseAndRate": [{"doseQuantity": _rows.quantity(500, "mg")}]}],
    },
    {
        "resourceType": "Condition",
        "subject": _rows.MOTHER,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "11687002"}]},
    },
)

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "2026-02-30",
            "9999-12-31",
            "0001-01-01",
            "2026-09-14T07:30:00",
            "mg/dL",
            "#",
            "urn:uuid:x",
            "HI",
            "-",
        ]
    ),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"coding": "x"}),
    st.just([[]]),
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for k, v in value.items():
            yield from places(v, (*path, k))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from places(v, (*path, i))


PLACES = [p for p in places(BASE) if len(p) > 1 and p[0] == "entry"]


@st.composite
def damaged(draw):
    document = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(PLACES))
        action = draw(st.sampled_from(("replace", "delete", "add", "twice")))
        node = document
        try:
            for p in parents:
                node = node[p]
            if action == "replace":
                node[last] = draw(JUNK)
            elif action == "delete":
                del node[last]
            elif action == "add" and isinstance(node[last], dict):
                node[last][draw(st.sampled_from(("value", "extension", "component", "status", "zzz")))] = (
                    draw(JUNK)
                )
            elif action == "twice" and isinstance(node, list):
                node.append(copy.deepcopy(node[last]))
        except (KeyError, IndexError, TypeError):
            pass  # an earlier change removed the place
    return document


def covered(result):
    issues = [
        *result.issues,
        *(i for r in result.records for i in r.issues),
        *(i for group in result.quarantined.values() for i in group),
    ]
    assert "unexpected" not in {i.code for i in issues}, issues
    sources = {i.source for i in issues} | set(result.context)
    for r in result.records:
        sources |= {s.source for s in r.history}
        for name in COLUMNS:
            sources |= set(getattr(r, name)["source"])
    return sources


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(damaged())
@example(BASE)
def test_damage_is_reported_never_raised_and_never_silent(document):
    try:
        result = read_source(document)
    except UnusableInput:
        return
    sources = covered(result)
    for i in range(len(document["entry"])):
        place = f"Bundle.entry[{i}]"
        assert any(s == place or s.startswith(place + ".") for s in sources), f"{place} vanished"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.integers(0, 4000).map(lambda n: json.dumps(BASE).encode()[:n]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.json"
    path.write_bytes(data)
    try:
        covered(read_source(path))
    except UnusableInput as why:
        assert str(why)
