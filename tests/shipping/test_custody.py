"""Custody: the story as it should be; every other step by every signer in every state refused; any order."""

import random
from dataclasses import replace
from typing import Any

import pytest

from pipeline.shipping.custody import STEPS, advance, create, follow
from pipeline.shipping.shipment import Event, Shipment, State
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import (
    Accepted,
    Created,
    Delivered,
    Judged,
    Limits,
    Loaded,
    LoggersChanged,
    Offered,
    Rejected,
    Released,
)
from tests.shipping.shipments import (
    BEGIN_US,
    CARRIER,
    CONSIGNEE,
    HUB,
    LOGGER,
    MINUTE_US,
    NAME,
    OTHER,
    SECOND,
    SHIPPER,
    SIGNERS,
    SPARE,
    Story,
    anything,
    created,
    whole_story,
)


def told(story: Story) -> Shipment:
    shipment = follow(NAME, story.events)
    assert shipment is not None
    return shipment


def test_a_shipment_from_dock_to_door() -> None:
    """State, who held it when, which logger was there, what was committed; nothing refused or waiting."""
    shipment = told(whole_story())
    minutes = [
        (one.holder, (one.from_us - BEGIN_US) // MINUTE_US, one.place.name) for one in shipment.holdings
    ]
    assert shipment.state is State.RELEASED
    assert minutes == [(SHIPPER, 3, "plant"), (CARRIER, 5, "plant"), (CONSIGNEE, 11, "clinic")]
    assert [one.to_us for one in shipment.holdings] == [
        BEGIN_US + 5 * MINUTE_US,
        BEGIN_US + 11 * MINUTE_US,
        None,
    ]
    assert [(one.logger, one.track) for one in shipment.attached] == [(LOGGER, 0), (SPARE, 0)]
    assert shipment.attached[0].to_us == shipment.attached[1].from_us == BEGIN_US + 6 * MINUTE_US
    assert shipment.limits is not None
    assert shipment.limits.stated.profile_hash[-1:] == b"1"  # type: ignore[union-attr]
    assert (shipment.loaded_us, shipment.delivered_us) == (
        BEGIN_US + 3 * MINUTE_US,
        BEGIN_US + 12 * MINUTE_US,
    )
    assert shipment.holder_at(BEGIN_US) is None
    assert shipment.holder_at(BEGIN_US + 4 * MINUTE_US) == SHIPPER
    assert shipment.holder_at(BEGIN_US + 8 * MINUTE_US) == CARRIER
    assert shipment.holder_at(BEGIN_US + 13 * MINUTE_US) is None
    assert (shipment.refused, shipment.waiting) == ((), ())


# The table of the page, written down again: (state, kind) -> who.
ALLOWED = {
    ("created", "limits"): "shipper",
    ("committed", "limits"): "shipper",
    ("committed", "loaded"): "shipper",
    ("held", "offered"): "holder",
    ("held", "loggers"): "holder",
    ("held", "delivered"): "consignee",
    ("offered", "offered"): "holder",
    ("offered", "accepted"): "offeree",
    ("offered", "refused"): "offeree",
    ("delivered", "released"): "consignee",
    ("delivered", "rejected"): "consignee",
}


def states() -> list[tuple[str, Shipment, dict[str, str]]]:
    """Every state that the story passes through, each once for every holder and offer, with who is who."""
    found: dict[Any, tuple[str, Shipment, dict[str, str]]] = {}
    events = whole_story().events
    for length in range(1, len(events) + 1):
        shipment = follow(NAME, events[:length])
        assert shipment is not None
        offered = shipment.offer.stated.to if shipment.offer else ""  # type: ignore[union-attr]
        roles = {
            "shipper": SHIPPER,
            "consignee": CONSIGNEE,
            "holder": shipment.holder or "",
            "offeree": offered,
        }
        found[shipment.state, shipment.holder, offered] = (f"{shipment.state} {length}", shipment, roles)
    rejected = [one for one in whole_story().events if not isinstance(one.stated, Released)]
    story = Story(rejected)
    story.add(Rejected, CONSIGNEE, rests_on=rejected[-1].leaf_hash, why="too warm")
    shipment = told(story)
    found[shipment.state] = ("rejected", shipment, {"shipper": SHIPPER, "consignee": CONSIGNEE})
    return list(found.values())


STATES = states()


def test_the_table_is_the_pages() -> None:
    """No step more, no step less; every state is one that the tests below try."""
    assert {(state.value, kind) for state, kind in STEPS} == set(ALLOWED)
    assert {shipment.state for _, shipment, _ in STATES} == set(State)


@pytest.mark.parametrize(("_name", "shipment", "roles"), STATES, ids=[name for name, _, _ in STATES])
def test_every_other_step_and_signer_is_refused(
    _name: str, shipment: Shipment, roles: dict[str, str]
) -> None:
    """Each kind by each signer: admitted where the table says so, else refused for the right reason."""
    last = shipment.events[-1]
    rests_on = shipment.verdicts[-1].leaf_hash if shipment.verdicts else bytes(32)
    tried = admitted = 0
    for stated in anything(last.leaf_hash, last.stated.time_us, rests_on):
        for signer in SIGNERS:
            event = Event(stated, signer, b"x" * 32, 99, 1)
            expected = expect(shipment, event, roles)
            tried += 1
            admitted += expected is None
            assert outcome(shipment, event) is expected, (event.kind, signer)
    assert tried == 70
    assert admitted == sum(1 for state, _ in ALLOWED if state == shipment.state.value) + ways(shipment)


def outcome(shipment: Shipment, event: Event) -> Reason | None:
    """Why a step is refused, None where it is taken."""
    try:
        after = advance(shipment, event)
    except VerificationError as error:
        return error.reason
    assert after.events == (*shipment.events, event)
    return None


def ways(shipment: Shipment) -> int:
    """How many more ways there are than kinds: offers go to each of three others; some steps are not open."""
    more = {"held": 2, "offered": 2}.get(shipment.state.value, 0)
    if shipment.state is State.HELD and shipment.holder != CONSIGNEE:
        more -= 1  # Nobody delivers but the consignee.
    return more - (shipment.state is State.DELIVERED and not shipment.verdicts) * 2


def expect(shipment: Shipment, event: Event, roles: dict[str, str]) -> Reason | None:
    """The reason that the page gives, None where the step is right."""
    whose = ALLOWED.get((shipment.state.value, event.kind))
    if whose is None:
        return Reason.SHIPMENT_LIMITS if event.kind == "limits" else Reason.SHIPMENT_ORDER
    holds = event.kind != "delivered" or shipment.holder == CONSIGNEE
    if event.signer != roles[whose] or not holds:
        return Reason.SHIPMENT_SIGNER
    if isinstance(event.stated, Offered):
        wrong = event.stated.to in (OTHER, shipment.holder)
        return Reason.SHIPMENT_PARTY if wrong else None
    if isinstance(event.stated, Released | Rejected) and not shipment.verdicts:
        return Reason.SHIPMENT_VERDICT
    return None


@pytest.mark.parametrize(("_name", "shipment", "_roles"), STATES, ids=[name for name, _, _ in STATES])
def test_what_follows_another_statement_is_refused(
    _name: str, shipment: Shipment, _roles: dict[str, str]
) -> None:
    """Whatever it is and whoever signs it: the last statement has to be named, and time does not run back."""
    for after in [event.leaf_hash for event in shipment.events[:-1]] + [bytes(32)]:
        for stated in anything(after, BEGIN_US + 10**9, bytes(32)):
            if isinstance(stated, Created):
                continue
            for signer in SIGNERS:
                with pytest.raises(VerificationError) as refused:
                    advance(shipment, Event(stated, signer, b"x" * 32, 99, 1))
                assert refused.value.reason is Reason.SHIPMENT_STALE


def test_time_does_not_run_backwards() -> None:
    """A microsecond before the statement that it follows."""
    story = Story()
    story.add(Created, SHIPPER)
    story.add(Limits, SHIPPER, profile_hash=bytes(32))
    story.add(Loaded, SHIPPER, time_us=story.events[-1].stated.time_us - 1)
    assert [(one.event.kind, one.reason) for one in told(story).refused] == [("loaded", Reason.SHIPMENT_TIME)]


@pytest.mark.parametrize(
    ("joins", "leaves", "reason"),
    [
        ((), (), None),
        ((SPARE,), (), None),
        ((SPARE,), (LOGGER,), None),
        ((LOGGER,), (), Reason.SHIPMENT_LOGGERS),
        ((), (LOGGER,), Reason.SHIPMENT_LOGGERS),
        ((), (SPARE,), Reason.SHIPMENT_LOGGERS),
        ((SPARE,), (SPARE,), Reason.SHIPMENT_LOGGERS),
    ],
)
def test_a_shipment_is_never_without_a_logger(
    joins: tuple[str, ...], leaves: tuple[str, ...], reason: Reason | None
) -> None:
    """One joins that is not there, one leaves that is, and one stays or comes."""
    story = Story(whole_story().events[:6])
    story.add(LoggersChanged, CARRIER, joins=joins, leaves=leaves)
    assert [one.reason for one in told(story).refused] == ([reason] if reason else [])


@pytest.mark.parametrize("seed", range(200))
def test_the_order_of_arrival_changes_nothing_that_the_log_does_not(seed: int) -> None:
    """Read in any order they come out the same; a part of the log never says what the whole denies."""
    draw = random.Random(seed)
    story = whole_story()
    events = list(story.events)
    for _ in range(draw.randint(0, 12)):  # Others mix in, with places of their own in the log.
        after = draw.choice(story.events).leaf_hash
        stated = draw.choice(list(anything(after, story.time_us, draw.choice(story.events).leaf_hash)))
        events.append(story.event(stated, draw.choice(SIGNERS)))
    places = draw.sample(range(1, 100), len(events))
    events = [replace(event, entry=place) for event, place in zip(events, places, strict=True)]
    whole = follow(NAME, events)
    assert follow(NAME, draw.sample(events, len(events))) == whole
    events.sort(key=lambda event: event.entry)
    for length in range(len(events)):
        part = follow(NAME, events[:length])
        if part is not None:
            assert whole is not None
            assert part.events == whole.events[: len(part.events)]
            assert set(part.refused) <= set(whole.refused)
    if whole is not None:
        seen = [*whole.events, *whole.verdicts, *(one.event for one in whole.refused), *whole.waiting]
        assert sorted(event.entry for event in seen) == [event.entry for event in events]


def test_an_acceptance_waits_for_an_offer_that_is_late() -> None:
    """The offer was made without a network: the acceptance stands in the log first, and counts later."""
    story = Story()
    story.add(Created, SHIPPER)
    story.add(Limits, SHIPPER, profile_hash=bytes(32))
    story.add(Loaded, SHIPPER)
    offer = story.add(Offered, SHIPPER, to=CARRIER, place=HUB)
    accepted = story.add(Accepted, CARRIER)
    without = follow(NAME, [event for event in story.events if event is not offer])
    assert without is not None
    assert (without.state, without.waiting) == (State.HELD, (accepted,))
    late = replace(offer, entry=50)
    shipment = follow(NAME, [late if event is offer else event for event in story.events])
    assert shipment is not None
    assert (shipment.state, shipment.holder, shipment.waiting) == (State.HELD, CARRIER, ())


def test_two_answers_to_one_offer_are_one() -> None:
    """The first in the log counts; the second is refused, and so is all that follows it."""
    story = Story(whole_story().events[:5])
    accepted = story.add(Accepted, CARRIER)
    again = replace(accepted, leaf_hash=b"y" * 32, entry=60)
    behind = Event(
        Offered(after=again.leaf_hash, time_us=story.time_us, to=SECOND, place=HUB), CARRIER, b"z" * 32, 61, 1
    )
    story.events += [again, behind]
    shipment = told(story)
    assert shipment.holder == CARRIER
    assert [(one.event, one.reason) for one in shipment.refused] == [
        (again, Reason.SHIPMENT_STALE),
        (behind, Reason.SHIPMENT_STALE),
    ]


def test_a_shipment_is_created_once() -> None:
    """By whoever was first in the log; by nobody for oneself; and nothing follows from nothing."""
    story = Story()
    first = story.add(Created, SHIPPER)
    second = story.event(created(), OTHER)
    shipment = follow(NAME, [second, first])
    assert shipment is not None
    assert shipment.shipper == SHIPPER
    assert [one.reason for one in shipment.refused] == [Reason.SHIPMENT_ORDER]
    with pytest.raises(VerificationError) as refused:
        create(NAME, story.event(created(), CONSIGNEE))
    assert refused.value.reason is Reason.SHIPMENT_PARTY
    with pytest.raises(VerificationError) as refused:
        create(NAME, story.event(Loaded(after=bytes(32), time_us=1), SHIPPER))
    assert refused.value.reason is Reason.SHIPMENT_ORDER
    assert follow(NAME, [story.event(Loaded(after=bytes(32), time_us=1), SHIPPER)]) is None


def test_a_decision_rests_on_a_verdict_about_the_whole_trip() -> None:
    """Not on one by a stranger, about a part, behind it in the log, or on another statement."""
    story = Story([one for one in whole_story().events if not isinstance(one.stated, Judged | Released)])
    (delivered,) = (one for one in story.events if isinstance(one.stated, Delivered))
    stranger = story.judge(OTHER)
    early = story.judge(CONSIGNEE, after=story.events[2].leaf_hash)
    elsewhere = story.judge(CONSIGNEE, after=b"q" * 32)
    decisions = [
        story.event(Released(after=delivered.leaf_hash, time_us=story.time_us, rests_on=grounds), CONSIGNEE)
        for grounds in (stranger.leaf_hash, early.leaf_hash, elsewhere.leaf_hash, delivered.leaf_hash)
    ]
    late = story.judge(CARRIER)
    decisions.append(
        replace(
            story.event(
                Released(after=delivered.leaf_hash, time_us=story.time_us, rests_on=late.leaf_hash), CONSIGNEE
            ),
            entry=late.entry,
            leaf=0,
        )
    )
    story.events += decisions
    shipment = told(story)
    assert shipment.state is State.DELIVERED
    assert (shipment.verdicts, shipment.waiting) == ((early, late), (elsewhere,))
    assert {(one.event, one.reason) for one in shipment.refused} == {
        (stranger, Reason.SHIPMENT_SIGNER),
        *((decision, Reason.SHIPMENT_VERDICT) for decision in decisions),
    }
