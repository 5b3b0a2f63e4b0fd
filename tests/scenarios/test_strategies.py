"""Strategies: what each changes, and what it leaves alone."""

import dataclasses

import pytest

from scenarios.strategies import NAMES, delivery_policy, drug_class, plan_of
from tests.one_woman import AS_OF_DAY, at, make_record
from twin.encode import DailyPattern
from twin.errors import NotAvailable, UnusableInput


def test_as_now_and_doses_fixed_differ_in_titration_alone(one_record):
    now, fixed = (plan_of(n, one_record, AS_OF_DAY, None) for n in ("as_now", "doses_fixed"))
    assert now.titrated and not fixed.titrated
    assert now.pattern == fixed.pattern and now.delivery == fixed.delivery
    assert {f for *_, f in now.pattern.doses} == {"glargine", "rapid"}
    assert "insulin" in now.treatment_strategy and "titrated" in now.treatment_strategy
    assert "31+6" in fixed.treatment_strategy


def test_untreated_takes_no_drug_and_eats_no_less(one_record):
    bare = plan_of("untreated", one_record, AS_OF_DAY, None)
    assert bare.pattern.doses == bare.pattern.tablets == bare.pattern.bouts == ()
    dieting = make_record({"meals": [at(d, c, carbohydrate_g=25.0, source=f"m{d}{c}") for d in (210, 211)
                                     for c in ("08:00", "13:00", "19:00")]})  # fmt: skip
    assert sum(g for _, g in plan_of("as_now", dieting, AS_OF_DAY, None).pattern.meals) == pytest.approx(75.0)
    assert sum(g for _, g in plan_of("untreated", dieting, AS_OF_DAY, None).pattern.meals) == pytest.approx(
        220.0
    )


def test_a_scenario_that_changes_nothing_says_so(one_record):
    """Without drugs and without recorded meals there is nothing to hold and nothing to leave out."""
    on_diet = dataclasses.replace(
        one_record, insulin=one_record.insulin.iloc[:0], medication=one_record.medication.iloc[:0],
        activity=one_record.activity.iloc[:0], meals=one_record.meals.iloc[:0],
    )  # fmt: skip
    plans = {n: plan_of(n, on_diet, AS_OF_DAY, None) for n in NAMES}
    assert plans["as_now"].same_as_now is None
    assert "no insulin" in plans["doses_fixed"].same_as_now
    assert "meals are not recorded" in plans["untreated"].same_as_now
    assert plans["untreated"].pattern == plans["as_now"].pattern
    treated = {n: plan_of(n, one_record, AS_OF_DAY, None) for n in NAMES}
    assert all(p.same_as_now is None for p in treated.values())


def test_a_drug_without_doses_is_not_diet():
    """Insulin or metformin known without its doses: named, not modelled, and the birth is that of a woman on a drug."""
    for drug, word in (("insulin_rapid", "insulin"), ("metformin", "metformin")):
        record = make_record({"medication": [at(200, drug=drug, per_day=3.0, source="m")]})
        plans = {n: plan_of(n, record, AS_OF_DAY, None) for n in NAMES}
        assert f"{word} (doses not known" in plans["as_now"].treatment_strategy
        assert plans["as_now"].delivery.last_day == 279
        assert "cannot be computed" in plans["untreated"].same_as_now
        stopped = at(200, drug=drug, per_day=3.0, end_local=at(210)["time_local"], source="m")
        assert (
            plan_of("as_now", make_record({"medication": [stopped]}), AS_OF_DAY, None).delivery.last_day
            == 286
        )


@pytest.mark.parametrize("value", [40, "39+9", True, "40+6+1", -5, float("nan"), "9999", None, "soon", 400])
def test_policies_out_of_range_are_refused(one_record, value):
    facts = dataclasses.replace(one_record.facts, site_policy={"latest_birth_day": value})
    record = dataclasses.replace(one_record, facts=facts)
    if value is None:
        assert delivery_policy(record, DailyPattern(meals=()), None).last_day == 286
        return
    with pytest.raises(UnusableInput) as caught:
        delivery_policy(record, DailyPattern(meals=()), None)
    assert caught.value.code == "bad-policy" and "34+0" in str(caught.value)


def test_delivery_follows_the_site_then_the_guideline(one_record):
    diet, drug = DailyPattern(meals=()), DailyPattern(meals=(), tablets=((210.0, 500.0),))
    assert delivery_policy(one_record, diet, None).last_day == 286  # 40+6
    assert delivery_policy(one_record, drug, None).last_day == 279  # 39+6
    for given in ("38+6", 272):
        facts = dataclasses.replace(one_record.facts, site_policy={"latest_birth_day": given})
        policy = delivery_policy(dataclasses.replace(one_record, facts=facts), drug, None)
        assert policy.last_day == 272 and policy.name == "site policy"
    assert delivery_policy(one_record, drug, 270).given_day == 270
    assert drug_class(diet) == "diet" and drug_class(drug) == "diet and metformin"


def test_unreadable_policy_is_refused(one_record):
    facts = dataclasses.replace(one_record.facts, site_policy={"latest_birth_day": "soon"})
    with pytest.raises(UnusableInput, match="'soon'"):
        delivery_policy(dataclasses.replace(one_record, facts=facts), DailyPattern(meals=()), None)


def test_unknown_names_list_the_known(one_record):
    with pytest.raises(UnusableInput) as why:
        plan_of("perfect", one_record, AS_OF_DAY, None)
    assert all(n in str(why.value) for n in NAMES)
    with pytest.raises(NotAvailable, match="not built yet"):
        plan_of("walks.toml", one_record, AS_OF_DAY, None)
