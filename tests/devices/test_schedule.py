"""The schedule: what is sent when, in flight within bounds, and again until answered."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Signed
from devices.schedule import (
    IN_FLIGHT_PER_ISSUER,
    RECONNECT_SPREAD_S,
    RESEND_FIRST_S,
    RESEND_MAX_S,
    Schedule,
    Waiting,
    backoff_s,
)


def waiting(number: int, issuer: str = "urn:dev:ops:32473-test-1", due_s: float = 0.0) -> Waiting:
    raw = b"%d" % number
    return Waiting(Signed(issuer, 1, number, raw, raw, 1), number, due_s)


def test_backoff_doubles_up_to_a_bound_and_spreads() -> None:
    """The mean wait doubles with each attempt up to the bound; two devices do not wait equally long."""
    random = Random(3)
    means = [sum(backoff_s(attempt, random) for _ in range(400)) / 400 for attempt in range(12)]
    for attempt, mean in enumerate(means):
        assert mean == pytest.approx(min(RESEND_MAX_S, RESEND_FIRST_S * 2**attempt), rel=0.05)
    assert len({backoff_s(0, random) for _ in range(100)}) == 100
    assert all(0.75 * RESEND_FIRST_S <= backoff_s(0, random) <= 1.25 * RESEND_FIRST_S for _ in range(100))
    assert backoff_s(10_000, random) <= 1.25 * RESEND_MAX_S


def test_first_sends_keep_their_order() -> None:
    """What is due at one time is sent in the order in which it was signed."""
    schedule = Schedule(Random(1), in_flight_max=100)
    for number in range(10):
        schedule.add(waiting(number))
    assert [one.signed.sequence for one in schedule.due(0.0, 100)] == list(range(10))


def test_what_is_held_back_lets_others_pass() -> None:
    """A statement held until later does not stop the ones after it, and is not counted as pressing."""
    schedule = Schedule(Random(1), in_flight_max=100)
    schedule.add(waiting(0, due_s=2.0))
    schedule.add(waiting(1))
    assert [one.signed.sequence for one in schedule.due(0.0, 100)] == [1]
    assert (schedule.pressing, schedule.size) == (1, 2)
    assert [one.signed.sequence for one in schedule.due(2.0, 100)] == [0]


def test_in_flight_is_bounded_in_all_and_per_issuer() -> None:
    """No more than the bound is in flight, no issuer takes the others' room, and an answer makes room."""
    schedule = Schedule(Random(1), in_flight_max=IN_FLIGHT_PER_ISSUER + 5)
    silent = [waiting(number) for number in range(3 * IN_FLIGHT_PER_ISSUER)]
    for one in silent:
        schedule.add(one)
    others = [waiting(number, f"urn:dev:ops:32473-other-{number}") for number in range(10)]
    for one in others:
        schedule.add(one)
    sent = list(schedule.due(0.0, 1000))
    assert sent[:IN_FLIGHT_PER_ISSUER] == silent[:IN_FLIGHT_PER_ISSUER]
    assert sent[IN_FLIGHT_PER_ISSUER:] == others[:5]
    assert schedule.in_flight == IN_FLIGHT_PER_ISSUER + 5
    assert list(schedule.due(0.0, 1000)) == []
    schedule.remove(silent[3])
    schedule.remove(others[0])
    assert list(schedule.due(0.0, 1000)) == [silent[IN_FLIGHT_PER_ISSUER], others[5]]


def test_a_lost_connection_brings_everything_in_flight_again_soon() -> None:
    """After a reconnect all that was in flight is due within a few seconds, whatever its back-off was."""
    schedule = Schedule(Random(1), in_flight_max=100)
    for number in range(10):
        schedule.add(waiting(number))
    list(schedule.due(0.0, 100))
    schedule.reconnected(1.0)
    assert {one.signed.sequence for one in schedule.due(1.0 + RECONNECT_SPREAD_S, 100)} == set(range(10))


@given(seed=st.integers(0, 10_000), in_flight_max=st.integers(1, 30))
def test_everything_is_sent_until_it_is_answered(seed: int, in_flight_max: int) -> None:
    """Against a model: once per due time, never after its answer, in flight within bounds, all in the end."""
    random = Random(seed)
    schedule = Schedule(Random(seed), in_flight_max=in_flight_max)
    everything = [
        waiting(number, f"urn:dev:ops:32473-test-{number % 3}", random.uniform(0.0, 20.0))
        for number in range(25)
    ]
    for one in everything:
        schedule.add(one)
    unanswered = {one.signed.sequence: one for one in everything}
    now_s = 0.0
    while unanswered:
        now_s += random.uniform(0.1, 10.0)
        sent = [one.signed.sequence for one in schedule.due(now_s, random.randint(1, 5))]
        assert len(sent) == len(set(sent))
        assert set(sent) <= unanswered.keys()
        assert schedule.in_flight == sum(one.attempts > 0 for one in unanswered.values()) <= in_flight_max
        for number in sent:
            if random.random() < 0.5:
                schedule.remove(unanswered.pop(number))
        assert now_s < 100_000.0
    assert schedule.in_flight == 0
    assert list(schedule.due(now_s + 1e6, 100)) == []
