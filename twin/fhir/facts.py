"""Statements about the pregnancy from Observations: dating, covariates, flags, birth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from twin import timeline
from twin.errors import RowRejected
from twin.fhir.codes import Code
from twin.fhir.context import Context, Found
from twin.fhir.elements import any_date, codes_of, codings, items, known_on, mapping, number, own_extension
from twin.record import PreviousBirth, Statement
from twin.record.scope import REVIEWED_ON, reviewed_on
from twin.timeline import DatingStatement

Exact = Callable[[Mapping[str, Any], Code, str, Found], float]
#: a stated EDD or LMP farther than this from the day it was stated cannot belong to the pregnancy
_FARTHEST_DAYS = 330
_WHOLE_WEEK_SD = 2.0  # a whole number of weeks is uniform over 7 days: SD 7 / sqrt(12)


def edd(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """Estimated date of delivery; the LMP-equivalent date is 280 days before."""
    lmp_equivalent = timeline.lmp_from_edd(_date_value(part))
    return _dating(part, lmp_equivalent, code.set["method"], True, None, source)


def lmp(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """First day of the last menstrual period."""
    return _dating(part, _date_value(part), "lmp", False, None, source)


def gestational_age(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found, exact: Exact
) -> Statement:
    """A gestational age stated for a day."""
    days = exact(part, code, source, found)
    on = any_date(part, "effectiveDateTime", "effectiveInstant")
    if on is None:
        raise RowRejected(
            "no-effective-time", "a gestational age without its date says nothing. Row not used."
        )
    if not 20 <= days <= 310:
        raise RowRejected(
            "implausible-value", f"gestational age of {days:g} days is not possible. Row not used."
        )
    whole_weeks = mapping(part.get("valueQuantity")).get("code") == "wk" and days % 7 == 0
    if whole_weeks:
        found.warn(source, "whole-weeks", "the gestational age is in whole weeks and may be rounded down.")
    lmp_equivalent = timeline.lmp_from_gestational_age(on, days)
    sd = _WHOLE_WEEK_SD if whole_weeks else None
    return _dating(part, lmp_equivalent, code.set["method"], False, sd, source)


def own_dating(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """This project's own statement: LMP-equivalent date with method and SD."""
    extension = own_extension(part, "dating")
    method, sd, is_edd = "edd", None, True
    for item in items(extension.get("extension")):
        if item.get("url") == "method" and isinstance(item.get("valueCode"), str):
            method = item["valueCode"]
        elif item.get("url") == "sd-days":
            sd = number(item.get("valueDecimal"))
        elif item.get("url") == "is-edd":
            is_edd = item.get("valueBoolean") is True
    if method not in ("edd", "lmp", "ultrasound", "biometry"):
        raise RowRejected("dating-method", "the dating method is not understood. Row not used.")
    return _dating(part, _date_value(part), method, is_edd, sd, source)


def _dating(
    part: Mapping[str, Any], lmp_equivalent: date, method: str, is_edd: bool, sd: float | None, source: str
) -> Statement:
    stated = known_on(part)
    if stated is not None and not -30 <= (stated - lmp_equivalent).days <= _FARTHEST_DAYS:
        raise RowRejected(
            "implausible-dating",
            f"the dating lies {(stated - lmp_equivalent).days} days from the day it was stated: it is not "
            "of this pregnancy. It was not used.",
        )
    said = DatingStatement(lmp_equivalent, method, is_edd, stated, sd, source)
    return Statement("dating", said, stated, source)


def _date_value(part: Mapping[str, Any]) -> date:
    value = part.get("valueDateTime")
    if value is None:
        raise RowRejected("no-value", "no date is given. Row not used.")
    return timeline.parse_date(value)


def hba1c(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found, exact: Exact
) -> Statement:
    """HbA1c in % with its date."""
    value = exact(part, code, source, found)
    on = any_date(part, "effectiveDateTime", "effectiveInstant")
    if on is None:
        raise RowRejected("no-effective-time", "the HbA1c has no date. Row not used.")
    return Statement("hba1c_percent", (on, value), on, source)


def fact_number(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found, exact: Exact
) -> Statement:
    """A covariate with a unit."""
    if items(part.get("focus")):
        raise RowRejected("focus", "the value is about someone else than its subject. Row not used.")
    return Statement(code.concept, exact(part, code, source, found), known_on(part), source)


def fact_integer(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found, exact: Exact
) -> Statement:
    """A count: valueInteger, or a quantity without a real unit."""
    raw = part.get("valueInteger")
    if raw is None:
        raw = mapping(part.get("valueQuantity")).get("value")
    value = number(raw)
    if value != int(value):
        raise RowRejected("not-a-count", f"{value:g} is not a whole number. Row not used.")
    return Statement(code.concept, int(value), known_on(part), source)


def birth_weight(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found, exact: Exact
) -> Statement:
    """Birth weight of this pregnancy's child, on the child or on the mother.

    Raises : RowRejected "her-own-birth" when the date shows the mother's own birth.
    """
    value = exact(part, code, source, found)
    on = any_date(part, "effectiveDateTime", "effectiveInstant", "effectivePeriod")
    year = context.mother_birth_year
    if not context.newborn and year is not None and on is not None and on.year - year < 10:
        raise RowRejected("her-own-birth", "the birth weight is the mother's own. Row not used.")
    return Statement(code.concept, value, on, source)


def multiple_pregnancy(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> Statement:
    """Boolean "multiple pregnancy": more than one fetus is recorded as two."""
    return Statement("fetal_number", 2 if _boolean(part) else 1, known_on(part), source)


def _boolean(part: Mapping[str, Any]) -> bool:
    value = part.get("valueBoolean")
    if not isinstance(value, bool):
        raise RowRejected("no-value", "no yes or no is given. Row not used.")
    return value


def flag(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """A yes or no of this project's own, or an Observation with a condition's code."""
    return Statement(code.concept, _boolean(part), known_on(part), source)


def smoking(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """Smoking now: a boolean, or a coded status (former and never are no)."""
    if isinstance(part.get("valueBoolean"), bool):
        return Statement("smoking", bool(part["valueBoolean"]), known_on(part), source)
    answers = [c.name for c in codes_of(part.get("valueCodeableConcept")) if c.reader == "smoking_answer"]
    if not answers:
        raise RowRejected("answer-not-understood", "the smoking status is not understood. Row not used.")
    return Statement("smoking", answers[0] == "yes", known_on(part), source)


def fact_date(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """A date of this project's own (day of birth, first steroid dose)."""
    day = _date_value(part)
    return Statement(code.concept, day, known_on(part) or day, source)


def fact_word(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> Statement:
    """A coded word of this project's own (sex)."""
    for c in codings(part.get("valueCodeableConcept")):
        if c.get("code") in code.set["words"]:
            return Statement(code.concept, c["code"], known_on(part), source)
    raise RowRejected(
        "answer-not-understood", f"{code.concept} is not one of {code.set['words']}. Row not used."
    )


def fact_window(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> Statement:
    """Days from and to (oral steroids, acute illness): the value's or the Observation's period."""
    period = mapping(part.get("valuePeriod")) or mapping(part.get("effectivePeriod"))
    if period.get("start") is None:
        raise RowRejected("no-effective-time", f"{code.concept} has no first day. Row not used.")
    first = timeline.parse_date(period["start"])
    last = timeline.parse_date(period["end"]) if period.get("end") is not None else None
    return Statement(code.concept, (first, last), first, source)


def previous_birth(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> Statement:
    """An earlier birth: weight (g), weeks, macrosomia, each in a component."""
    weight = weeks = None
    macrosomia: bool | None = None
    for component in items(part.get("component")):
        quantity = mapping(component.get("valueQuantity")).get("value")
        for c in codings(component.get("code")):
            if c.get("code") == "weight_g":
                weight = number(quantity)
            elif c.get("code") == "weeks":
                weeks = number(quantity)
            elif c.get("code") == "macrosomia":
                macrosomia = _boolean(component)
    return Statement("previous_births", PreviousBirth(weight, weeks, macrosomia), known_on(part), source)


def site_policy(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> Statement:
    """The site's delivery policy: a JSON object in valueString."""
    try:
        policy = json.loads(part.get("valueString", ""))
    except (ValueError, TypeError, RecursionError):
        policy = None
    if not isinstance(policy, dict):
        raise RowRejected("no-value", "the site policy is not a JSON object. Row not used.")
    if REVIEWED_ON in policy and reviewed_on(policy) is None:
        found.warn(
            source,
            "bad-review-date",
            f"{REVIEWED_ON} of the site policy is not a date YYYY-MM-DD. It was not used: values in the overt "
            "range count as not reviewed. Send the day of the review.",
        )
    return Statement("site_policy", policy, known_on(part), source)


def not_an_observation(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> Statement:
    """Codes that belong in another resource."""
    raise RowRejected("wrong-resource", f"code {code.code} does not belong in an Observation. Row not used.")
