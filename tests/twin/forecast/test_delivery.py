"""The site's policy ends the wait for birth, and pairs births."""

import numpy as np

from twin.forecast import DeliveryPolicy, birth_days, week_day

ONSET = np.arange(225.0, 309.0)


def test_policy_ends_the_wait_and_pairs_births():
    early, late = (birth_days(ONSET, DeliveryPolicy(last_day=d), 224.0) for d in (279, 286))
    assert early.max() == 279 and late.max() == 286
    np.testing.assert_array_equal(early, np.minimum(late, 279))  # the same births, some brought forward
    np.testing.assert_array_equal(late[ONSET <= 286], ONSET[ONSET <= 286])


def test_policy_already_past_means_tomorrow_at_the_latest():
    got = birth_days(np.array([283.0, 284.0, 290.0]), DeliveryPolicy(last_day=279), 283.0)
    assert got.tolist() == [283.0, 284.0, 284.0]


def test_given_day_replaces_the_model():
    got = birth_days(ONSET, DeliveryPolicy(given_day=273), 224.0)
    assert set(got.tolist()) == {273.0}
    assert "39+0" in DeliveryPolicy(given_day=273).describe()
    assert week_day(286) == "40+6" and "40+6" in DeliveryPolicy().describe()


def test_says_whether_births_are_brought_about():
    assert "US births of 2022" in DeliveryPolicy().describe()
    assert "spontaneous onset" in DeliveryPolicy(initiated=False).describe()
