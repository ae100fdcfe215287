"""`cityproof shipment create`, `handover`, `accept` … : a party states the next step, if it is one.

What is stated is checked against the log first, so that nobody signs what counts nothing. Where the log
cannot be read, the statement that it follows is named by hand, and others check when they can.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from pipeline.commands.shipment_desk import Answer, open_desk
from pipeline.commands.shipment_files import profile_file
from pipeline.commands.shipment_log import Source, read_shipment
from pipeline.commands.times import parse_time_us
from pipeline.commands.verify import load_policy
from pipeline.edges.keyfile import load_key
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.custody import advance, create
from pipeline.shipping.gs1 import check_key, full_gtin
from pipeline.shipping.profile import parse_profile
from pipeline.shipping.shipment import Event, Shipment
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.shipment import (
    PROFILE_SIZE_MAX,
    Accepted,
    Content,
    Created,
    Delivered,
    Limits,
    Loaded,
    LoggersChanged,
    Offered,
    OfferRefused,
    Rejected,
    Released,
    ShipmentStatement,
    Stop,
    encode_shipment,
    kind_of,
)

IN_LOG, REFUSED, WAITING = 0, 1, 3
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Party:
    """Who states, about what, when, where the log is read and by which broker it is told.

    `after` is the leaf hash of the statement to follow, where the log is not to be read for it.
    """

    name: str
    key: Path
    source: Source
    broker: str
    at: str | None
    after: str | None
    as_json: bool
    wait_s: float = ANSWER_S

    @property
    def time_us(self) -> int:
        """When it happened: as given, else now."""
        return int(time.time() * 1e6) if self.at is None else parse_time_us(self.at, "--at")


Next = Callable[[bytes, int], ShipmentStatement]  # From the last leaf hash and the time.


def state_next(party: Party, make: Next) -> int:
    """State the next step. Exit 0: it is in the log; 1: the log refuses it; 3: it waits for a network."""
    if party.after is not None:
        stated = make(parse_hash("--after", party.after), party.time_us)
    else:
        _, issuer = load_key(party.key)
        shipment = read_shipment(party.source, party.name, readings=False).shipment
        stated = make(shipment.tip, party.time_us)
        check_next(shipment, stated, issuer)
    return asyncio.run(_state(party, [stated]))


def check_next(shipment: Shipment, stated: ShipmentStatement, issuer: str) -> None:
    """Check that a statement would be the shipment's next.

    Raises:
        InputError: It would count nothing; the reason is that of the page.
    """
    _check(stated)
    try:
        # Behind all that is there, as it will be.
        advance(shipment, Event(stated, issuer, bytes(32), 1 << 62, 1))
    except VerificationError as error:
        problem = f"{kind_of(stated)} by {issuer} would count nothing: {error}"
        remedy = f"It is {shipment.state}; `cityproof shipment show` says whose turn it is."
        raise InputError(shipment.name, problem, remedy) from error


def _check(stated: ShipmentStatement) -> None:
    try:
        encode_shipment(stated)
    except VerificationError as error:
        raise InputError(
            "what is stated", str(error), "docs/formats.md, section 17, has the bounds."
        ) from error


async def _state(party: Party, stated: Sequence[ShipmentStatement]) -> int:
    """Sign, keep, send; say what became of it."""
    async with open_desk(party.key) as desk:
        raws = await desk.sign(party.name, stated)
        answers = await desk.send(party.broker, load_policy(party.source.policy_file), party.wait_s)
    own = {hash_leaf(raw): kind_of(one) for raw, one in zip(raws, stated, strict=True)}
    return tell([answer for answer in answers if answer.leaf_hash in own], own, as_json=party.as_json)


def tell(answers: Sequence[Answer], kinds: dict[bytes, str], *, as_json: bool) -> int:
    """Say what became of statements; return how the command ends."""
    rows = [
        {
            "kind": kinds.get(answer.leaf_hash, "statement"),
            "leaf_hash": answer.leaf_hash.hex(),
            "outcome": answer.outcome,
            "why": answer.why,
        }
        for answer in answers
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    for row in rows if not as_json else ():
        print(f"{row['kind']} {row['leaf_hash']}: {row['outcome']}{': ' + row['why'] if row['why'] else ''}")
    if not as_json and any(row["outcome"] == "waiting" for row in rows):
        print("It is signed and kept, and goes out with the next one: cityproof shipment send --key KEY")
    outcomes = {answer.outcome for answer in answers}
    return REFUSED if "refused" in outcomes else WAITING if "waiting" in outcomes else IN_LOG


def send_waiting(key: Path, source: Source, broker: str, *, as_json: bool) -> int:
    """Send what was stated without a network. Exit 0: all of it is in the log; 1: refused; 3: it waits."""

    async def send() -> list[Answer]:
        async with open_desk(key) as desk:
            return await desk.send(broker, load_policy(source.policy_file), ANSWER_S)

    answers = asyncio.run(send())
    if not answers and not as_json:
        print("Nothing waits.")
    return tell(answers, {}, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Consignment:
    """What a person says of a new shipment."""

    consignee: str
    carriers: Sequence[str]
    goods: Sequence[str]
    route: Sequence[str]
    loggers: Sequence[str]


def create_shipment(party: Party, consignment: Consignment, profile: str) -> int:
    """State what goes where, and commit the limits."""
    created = Created(
        time_us=party.time_us,
        consignee=consignment.consignee,
        carriers=tuple(consignment.carriers),
        contents=tuple(parse_goods(text) for text in consignment.goods),
        route=tuple(parse_stop(text, "--stop") for text in consignment.route),
        loggers=tuple(consignment.loggers),
    )
    _check(created)
    _, issuer = load_key(party.key)
    first = Event(created, issuer, bytes(32), 0, 1)
    limits = _limits(bytes(32), party.time_us, profile)
    try:
        advance(create(party.name, first), Event(limits, issuer, bytes(32), 1, 1))
    except VerificationError as error:
        raise InputError(party.name, str(error), "Look at --to and --carrier.") from error
    return asyncio.run(_create(party, created, limits))


async def _create(party: Party, created: Created, limits: Limits) -> int:
    async with open_desk(party.key) as desk:
        (first,) = await desk.sign(party.name, [created])
        (second,) = await desk.sign(party.name, [replace(limits, after=hash_leaf(first))])
        answers = await desk.send(party.broker, load_policy(party.source.policy_file), party.wait_s)
    own = {hash_leaf(first): "created", hash_leaf(second): "limits"}
    return tell([answer for answer in answers if answer.leaf_hash in own], own, as_json=party.as_json)


def _limits(after: bytes, time_us: int, name: str) -> Limits:
    content = profile_file(name)
    parse_profile(content, name)
    digest = sha256(content).digest()
    # A file too large for a statement is named by its hash alone, and has to be sent along by other means.
    whole = content if len(content) <= PROFILE_SIZE_MAX else None
    return Limits(after=after, time_us=time_us, profile_hash=digest, profile=whole)


def limits(party: Party, profile: str) -> int:
    """Commit other limits, before loading."""
    return state_next(party, lambda after, time_us: _limits(after, time_us, profile))


def load(party: Party) -> int:
    """State that the goods are loaded."""
    return state_next(party, lambda after, time_us: Loaded(after=after, time_us=time_us))


def hand_over(party: Party, to: str, place: str) -> int:
    """Offer the goods to somebody: half a handover."""
    stop = parse_stop(place, "--place")
    return state_next(party, lambda after, time_us: Offered(after=after, time_us=time_us, to=to, place=stop))


def accept(party: Party) -> int:
    """Accept what was offered: the other half."""
    return state_next(party, lambda after, time_us: Accepted(after=after, time_us=time_us))


def refuse(party: Party, why: str) -> int:
    """Refuse what was offered."""
    return state_next(party, lambda after, time_us: OfferRefused(after=after, time_us=time_us, why=why))


def change_loggers(party: Party, joins: Sequence[str], leaves: Sequence[str]) -> int:
    """State which loggers join and which leave."""
    joining, leaving = tuple(joins), tuple(leaves)
    return state_next(
        party,
        lambda after, time_us: LoggersChanged(after=after, time_us=time_us, joins=joining, leaves=leaving),
    )


def deliver(party: Party) -> int:
    """State that the goods are delivered."""
    return state_next(party, lambda after, time_us: Delivered(after=after, time_us=time_us))


def decide(party: Party, verdict: str | None, why: str | None) -> int:
    """Release the goods, or reject them for a reason, on the grounds of a verdict, else of the last one."""
    grounds = parse_hash("--verdict", verdict) if verdict else last_verdict(party)
    if why is None:
        return state_next(
            party, lambda after, time_us: Released(after=after, time_us=time_us, rests_on=grounds)
        )
    return state_next(
        party, lambda after, time_us: Rejected(after=after, time_us=time_us, rests_on=grounds, why=why)
    )


def last_verdict(party: Party) -> bytes:
    """Return the leaf hash of the last verdict about the whole trip.

    Raises:
        InputError: There is none in the log.
    """
    shipment = read_shipment(party.source, party.name, readings=False).shipment
    found = [one for one in shipment.verdicts if getattr(one.stated, "after", None) == shipment.tip]
    if not found:
        remedy = "State one: cityproof shipment judge SHIPMENT --key KEY"
        raise InputError(party.name, "the log has no verdict about the whole trip", remedy)
    return found[-1].leaf_hash


def parse_goods(text: str) -> Content:
    """Return goods of GTIN[,LOT[,SERIAL]], or a unit by its SSCC of 18 digits.

    Raises:
        InputError: It is neither, or a check digit is wrong.
    """
    first, *rest = text.split(",")
    try:
        if len(first) == len("106141412345678908"):
            check_key("00", first)
            if not rest:
                return Content(sscc=first)
        elif len(rest) <= 2:
            return Content(full_gtin(first), *rest)
    except VerificationError as error:
        raise InputError("--goods", str(error), "Check its digits.") from error
    raise InputError("--goods", f"{text!r} is too much", "Write GTIN[,LOT[,SERIAL]], or an SSCC.")


def parse_stop(text: str, option: str) -> Stop:
    """Return a place of NAME,LONGITUDE,LATITUDE[,GLN].

    Raises:
        InputError: It is none.
    """
    name, *rest = text.split(",")
    try:
        longitude, latitude = map(float, rest[:2])
        if rest[2:]:
            check_key("414", *rest[2:])
        return Stop(name, longitude, latitude, *rest[2:])
    except VerificationError as error:
        raise InputError(option, str(error), "Check the GLN's digits.") from error
    except (TypeError, ValueError):
        remedy = "Write NAME,LONGITUDE,LATITUDE, perhaps with ,GLN behind."
        raise InputError(option, f"{text!r} is no place", remedy) from None


def parse_hash(option: str, text: str) -> bytes:
    """Return 32 bytes given in hexadecimal.

    Raises:
        InputError: It is none.
    """
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise InputError(option, f"{text!r} is no leaf hash", "`cityproof shipment show` has them.")
    return value
