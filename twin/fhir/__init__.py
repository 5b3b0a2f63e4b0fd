"""The only room that knows FHIR: reading records, dating them, writing records and risk assessments."""

from twin.fhir.dating import date_from_biometry, known_at, with_dating
from twin.fhir.read import ReadResult, read_bundle, read_source
from twin.fhir.risk_assessment import risk_assessment_bundle
from twin.fhir.write import write_ndjson, write_patient_bundle

__all__ = [
    "ReadResult",
    "date_from_biometry",
    "known_at",
    "read_bundle",
    "read_source",
    "risk_assessment_bundle",
    "with_dating",
    "write_ndjson",
    "write_patient_bundle",
]
