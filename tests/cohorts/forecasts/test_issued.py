"""Forecasts of women whose births are known: what is asked, that nothing later is used, and how the birth is scored."""

import dataclasses
import math
from datetime import timedelta

import jax
import numpy as np
import pytest
from scipy import integrate
from scipy.special import ndtr

from cohorts.forecasts.issued import (
    PRIOR_ALONE,
    TWIN,
    LeftOut,
    Question,
    _ready,
    birth_of,
    mixture_crps,
)
from cohorts.forecasts.run import as_of_label, questions
from cohorts.forecasts.source import read_with_outcomes
from cohorts.synthetic import folder
from twin.errors import UnusableInput
from twin.record import PregnancyFacts
from twin.record.build import build_record
from twin.settings import SiteSettings

AS_OF = 200


def with_birth(record, day, grams=3500.0, sex="female"):
    born = record.facts.lmp_equivalent + timedelta(days=day)
    facts = dataclasses.replace(record.facts, delivery_day=born, birth_weight_g=grams, newborn_sex=sex)
    return dataclasses.replace(record, facts=facts)


def test_score_of_a_mixture_is_its_integral():
    means, sd, y = np.array([8.0, 8.1, 8.3]), 0.06, 8.15

    def under(x):
        return float(ndtr((x - means) / sd).mean())

    low = integrate.quad(lambda x: under(x) ** 2, 7.0, y)[0]
    high = integrate.quad(lambda x: (1.0 - under(x)) ** 2, y, 9.0)[0]
    assert mixture_crps(y, means, sd) == pytest.approx(low + high, rel=1e-6)


def test_score_of_one_normal_is_its_closed_form():
    z = (8.2 - 8.1) / 0.1
    closed = 0.1 * (
        z * (2 * ndtr(z) - 1) + 2 * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)
    )
    assert mixture_crps(8.2, np.array([8.1]), 0.1) == pytest.approx(closed, rel=1e-9)


def test_days_asked_about():
    assert (as_of_label("36"), as_of_label("30+4"), as_of_label("last-scan")) == (252, 214, "last scan")
    for text in ("19", "42+0", "36+7", "soon", ""):
        with pytest.raises(UnusableInput):
            as_of_label(text)


def test_women_without_a_birth_or_day_are_left_out(standard_women):
    record = standard_women[0][0]
    asked, left_out = questions([record], [AS_OF])
    assert not asked and [x.code for x in left_out] == ["no-birth"]
    born = with_birth(record, 270)
    asked, left_out = questions([born], [AS_OF, "last scan"])
    assert [q.model for q in asked] == [TWIN, PRIOR_ALONE] * 2 and not left_out
    assert (asked[0].on - record.facts.lmp_equivalent).days == AS_OF
    blind = dataclasses.replace(born, biometry=born.biometry.iloc[:0])
    assert [x.code for x in questions([blind], ["last scan"])[1]] == ["no-such-day"]


def test_nothing_later_is_used(standard_women):
    """The arrays of a fit are the same bits when every later reading is shifted, and the birth is another."""
    record = with_birth(standard_women[0][0], 270)
    on = record.facts.lmp_equivalent + timedelta(days=AS_OF)

    def shifted(table, column):
        later = table["time_local"] >= np.datetime64(on) + np.timedelta64(1, "D")
        assert later.any()
        return table.assign(**{column: table[column].where(~later, 1.3 * table[column])})

    other = dataclasses.replace(
        with_birth(record, 280, 4400.0, "male"),
        glucose=shifted(record.glucose, "value_mg_dl"),
        biometry=shifted(record.biometry, "value"),
    )
    assert isinstance(_ready(Question(with_birth(record, AS_OF), on, "x"), SiteSettings()).entries, tuple)
    mine, theirs = (_ready(Question(r, on, "x"), SiteSettings()) for r in (record, other))
    for a, b in zip(*(jax.tree.leaves(r.entries[0].data) for r in (mine, theirs)), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert mine.day == theirs.day and mine.born_day != theirs.born_day


def test_the_prior_alone_sees_none_of_her_readings(standard_women):
    record = with_birth(standard_women[0][0], 270)
    on = record.facts.lmp_equivalent + timedelta(days=AS_OF)
    alone = _ready(Question(record, on, "x", PRIOR_ALONE), SiteSettings())
    assert not len(alone.known.glucose) and not len(alone.known.biometry)
    assert alone.known.facts.height_cm == record.facts.height_cm


def test_why_a_question_has_no_answer(standard_women):
    record = standard_women[0][0]
    lmp = record.facts.lmp_equivalent
    undated = with_birth(build_record("u", {}, facts=PregnancyFacts(lmp_equivalent=lmp)), 270)
    undated = dataclasses.replace(undated, facts=dataclasses.replace(undated.facts, lmp_equivalent=None))
    cases = {
        "no-birth": (record, AS_OF),
        "born-before": (with_birth(record, 190), AS_OF),
        "born-outside": (with_birth(record, 320), AS_OF),
        "undated": (undated, AS_OF),
        "out-of-scope": (with_birth(record, 270), 100),
    }
    for code, (her, day) in cases.items():
        found = _ready(Question(her, lmp + timedelta(days=day), "x"), SiteSettings())
        assert isinstance(found, LeftOut) and found.code == code, (code, found)


def test_births_in_files_of_their_own_are_read_with_the_records(standard_women, tmp_path, monkeypatch):
    ready = [
        (dataclasses.replace(r, pseudonym=f"sim-{i:06d}"), t) for i, (r, t) in enumerate(standard_women[:2])
    ]
    monkeypatch.setattr(folder, "simulated", lambda asked, root, index: [ready[i] for i in index])
    asked = folder.Asked(n=2, outcomes=True)
    folder.make_file(asked, tmp_path, 0, folder.begin(asked, tmp_path).of_file(0))
    alone = read_with_outcomes(tmp_path / folder.RECORDS, None).records
    both = read_with_outcomes(tmp_path / folder.RECORDS, tmp_path / folder.OUTCOMES).records
    assert [birth_of(r) for r, _ in alone] == [None, None]
    weights = sorted(birth_of(r).weight_g for r, _ in both)
    assert weights == sorted(10.0 * round(t.birth_weight_g / 10.0) for _, t in ready)
