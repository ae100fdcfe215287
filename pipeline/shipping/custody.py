"""Custody: which statement may follow which, whose it is, and what follows from them.

Statements form a chain: each names the leaf hash of the one before. Of several that follow the same one, the
first in the log that is allowed counts, so what has counted once counts for good, however late another part
of the log is read. A verdict follows the chain without being part of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from pipeline.shipping.shipment import Attached, Event, Holding, RefusedEvent, Shipment, State
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
    OfferRefused,
    Rejected,
    Released,
)


class Signer(StrEnum):
    """Whose turn it is."""

    SHIPPER = "shipper"
    HOLDER = "holder"
    OFFERED_TO = "one whom they were offered to"
    CONSIGNEE = "consignee"
    HOLDING_CONSIGNEE = "consignee, once it holds the goods,"


class Step(NamedTuple):
    """Who may take it, and what state it leads to."""

    signer: Signer
    state: State


# The whole state machine: (state, kind of statement) -> step; what is not here is refused.
STEPS: Mapping[tuple[State, str], Step] = MappingProxyType(
    {
        (State.CREATED, "limits"): Step(Signer.SHIPPER, State.COMMITTED),
        (State.COMMITTED, "limits"): Step(Signer.SHIPPER, State.COMMITTED),
        (State.COMMITTED, "loaded"): Step(Signer.SHIPPER, State.HELD),
        (State.HELD, "offered"): Step(Signer.HOLDER, State.OFFERED),
        (State.HELD, "loggers"): Step(Signer.HOLDER, State.HELD),
        (State.HELD, "delivered"): Step(Signer.HOLDING_CONSIGNEE, State.DELIVERED),
        (State.OFFERED, "offered"): Step(Signer.HOLDER, State.OFFERED),  # To another, instead.
        (State.OFFERED, "accepted"): Step(Signer.OFFERED_TO, State.HELD),
        (State.OFFERED, "refused"): Step(Signer.OFFERED_TO, State.HELD),
        (State.DELIVERED, "released"): Step(Signer.CONSIGNEE, State.RELEASED),
        (State.DELIVERED, "rejected"): Step(Signer.CONSIGNEE, State.REJECTED),
    }
)


def create(name: str, event: Event) -> Shipment:
    """Return the shipment that its first statement makes.

    Raises:
        VerificationError: SHIPMENT_ORDER, SHIPMENT_PARTY.
    """
    stated = event.stated
    if not isinstance(stated, Created):
        raise VerificationError(Reason.SHIPMENT_ORDER, f"{event.kind} of what nobody has created")
    if event.signer == stated.consignee:
        raise VerificationError(Reason.SHIPMENT_PARTY, "shipper and consignee are one")
    return Shipment(
        name=name,
        state=State.CREATED,
        shipper=event.signer,
        consignee=stated.consignee,
        carriers=stated.carriers,
        contents=stated.contents,
        route=stated.route,
        attached=tuple(Attached(logger, track) for track, logger in enumerate(stated.loggers)),
        events=(event,),
    )


def advance(shipment: Shipment, event: Event) -> Shipment:
    """Return the shipment after its next statement.

    Raises:
        VerificationError: SHIPMENT_STALE, SHIPMENT_LIMITS, SHIPMENT_ORDER, SHIPMENT_SIGNER, SHIPMENT_TIME,
            SHIPMENT_PARTY, SHIPMENT_LOGGERS, SHIPMENT_VERDICT, in this order.
    """
    stated, before = event.stated, shipment.events[-1]
    if isinstance(stated, Created):
        raise VerificationError(Reason.SHIPMENT_ORDER, f"{shipment.name} is there already")
    if stated.after != before.leaf_hash:
        raise VerificationError(Reason.SHIPMENT_STALE, f"the last one is {before.leaf_hash.hex()[:16]}")
    step = STEPS.get((shipment.state, event.kind))
    if step is None:
        limits = isinstance(stated, Limits)
        raise VerificationError(
            Reason.SHIPMENT_LIMITS if limits else Reason.SHIPMENT_ORDER,
            f"{event.kind} of a shipment that is {shipment.state}",
        )
    _check_signer(shipment, event, step.signer)
    if stated.time_us < before.stated.time_us:
        raise VerificationError(Reason.SHIPMENT_TIME)
    return replace(_change(shipment, event), state=step.state, events=(*shipment.events, event))


def follow(name: str, events: Iterable[Event]) -> Shipment | None:
    """Return what follows from statements in any order about a shipment; None where nobody created it."""
    verdicts: list[Event] = []
    following: dict[bytes | None, list[Event]] = {}
    for event in sorted(events, key=_place):
        if isinstance(event.stated, Judged):
            verdicts.append(event)
        else:
            after = None if isinstance(event.stated, Created) else event.stated.after
            following.setdefault(after, []).append(event)
    shipment, refused = _follow_chain(name, following, verdicts)
    if shipment is None:
        return None
    counted: list[Event] = []
    chain = {event.leaf_hash for event in shipment.events}
    for event in verdicts:
        assert isinstance(event.stated, Judged), "these are verdicts"
        if event.signer not in shipment.parties:
            refused.append(RefusedEvent(event, Reason.SHIPMENT_SIGNER))
        elif event.stated.after in chain:
            counted.append(event)
        else:
            following.setdefault(event.stated.after, []).append(event)
    refused += _behind([one.event for one in refused], following)
    refused.sort(key=lambda one: _place(one.event))
    waiting = sorted((event for left in following.values() for event in left), key=_place)
    return replace(shipment, verdicts=tuple(counted), refused=tuple(refused), waiting=tuple(waiting))


def _place(event: Event) -> tuple[int, int]:
    return event.entry, event.leaf


def _follow_chain(
    name: str, following: dict[bytes | None, list[Event]], verdicts: Sequence[Event]
) -> tuple[Shipment | None, list[RefusedEvent]]:
    """Take the chain, and all that would have been its next statement, out of `following`."""
    shipment: Shipment | None = None
    refused: list[RefusedEvent] = []
    candidates = following.pop(None, [])
    while candidates:
        tip = None if shipment is None else shipment.tip
        for event in candidates:
            try:
                if shipment is None:
                    shipment = create(name, event)
                else:
                    known = tuple(one for one in verdicts if _place(one) < _place(event))
                    shipment = advance(replace(shipment, verdicts=known), event)
            except VerificationError as error:
                refused.append(RefusedEvent(event, error.reason))
        if shipment is None or shipment.tip == tip:
            break
        candidates = following.pop(shipment.tip, [])
    return shipment, refused


def _behind(refused: Iterable[Event], following: dict[bytes | None, list[Event]]) -> list[RefusedEvent]:
    """Take out of `following`, and return, all that follows what is refused."""
    found: list[RefusedEvent] = []
    reached = [event.leaf_hash for event in refused]
    while reached:
        for event in following.pop(reached.pop(), []):
            found.append(RefusedEvent(event, Reason.SHIPMENT_STALE))
            reached.append(event.leaf_hash)
    return found


def _check_signer(shipment: Shipment, event: Event, wanted: Signer) -> None:
    offered = shipment.offer.stated if shipment.offer else None
    holder = shipment.holder
    allowed = {
        Signer.SHIPPER: shipment.shipper,
        Signer.HOLDER: holder,
        Signer.OFFERED_TO: offered.to if isinstance(offered, Offered) else None,
        Signer.CONSIGNEE: shipment.consignee,
        Signer.HOLDING_CONSIGNEE: holder if holder == shipment.consignee else None,
    }[wanted]
    if event.signer != allowed:
        raise VerificationError(Reason.SHIPMENT_SIGNER, f"{event.kind} is for the {wanted} to state")


def _change(shipment: Shipment, event: Event) -> Shipment:
    """Return the shipment with what a statement changes besides the state."""
    match event.stated:
        case Limits():
            shipment = replace(shipment, limits=event)
        case Loaded(time_us=time_us):
            at = Holding(shipment.shipper, time_us, None, shipment.route[0])
            shipment = replace(shipment, loaded_us=time_us, holdings=(at,))
        case Offered(to=to):
            _check_party(shipment, to)
            shipment = replace(shipment, offer=event)
        case Accepted(time_us=time_us):
            shipment = replace(shipment, offer=None, holdings=_take_over(shipment, event.signer, time_us))
        case OfferRefused():
            shipment = replace(shipment, offer=None)
        case LoggersChanged() as stated:
            shipment = replace(shipment, attached=_attach(shipment.attached, stated))
        case Delivered(time_us=time_us):
            shipment = replace(shipment, delivered_us=time_us)
        case Released(rests_on=rests_on) | Rejected(rests_on=rests_on):
            _check_rests_on(shipment, rests_on)
    return shipment


def _check_party(shipment: Shipment, to: str) -> None:
    if to not in shipment.parties or to == shipment.holder:
        raise VerificationError(Reason.SHIPMENT_PARTY, to)


def _take_over(shipment: Shipment, signer: str, time_us: int) -> tuple[Holding, ...]:
    """Let the holdings go on with whom the goods were offered to."""
    offer = shipment.offer.stated if shipment.offer else None
    assert isinstance(offer, Offered), "who was offered it may accept"
    *earlier, last = shipment.holdings
    return (*earlier, last._replace(to_us=time_us), Holding(signer, time_us, None, offer.place))


def _attach(attached: Sequence[Attached], stated: LoggersChanged) -> tuple[Attached, ...]:
    """Let loggers join and leave."""
    there = {one.logger: one for one in attached if one.to_us is None}
    left = set(there) - set(stated.leaves)
    if not there.keys() >= set(stated.leaves) or left & set(stated.joins) or not (left or stated.joins):
        raise VerificationError(Reason.SHIPMENT_LOGGERS)
    free = 1 + max(one.track for one in attached)
    after = [
        one._replace(to_us=stated.time_us) if one.to_us is None and one.logger in stated.leaves else one
        for one in attached
    ]
    for number, logger in enumerate(stated.joins):
        replaces = number < len(stated.leaves)
        track = there[stated.leaves[number]].track if replaces else free + number
        after.append(Attached(logger, track, stated.time_us))
    return tuple(after)


def _check_rests_on(shipment: Shipment, leaf_hash: bytes) -> None:
    """Check that a decision rests on a verdict about the whole trip."""
    for event in shipment.verdicts:
        judged = event.stated
        if (
            event.leaf_hash == leaf_hash
            and isinstance(judged, Judged)
            and event.signer in shipment.parties
            and judged.after == shipment.tip
        ):
            return
    raise VerificationError(Reason.SHIPMENT_VERDICT, leaf_hash.hex()[:16])
