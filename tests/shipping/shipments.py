"""A shipment of three parties, and every statement that anyone could make about it next."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any

from pipeline.shipping.shipment import Event
from pipeline.wire.shipment import (
    Accepted,
    Content,
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
    ShipmentStatement,
    Stop,
    encode_shipment,
)

NAME = "https://id.gs1.org/00/106141412345678908"
SHIPPER, CARRIER, SECOND, CONSIGNEE, OTHER = (
    f"https://{name}.example/" for name in ("shipper", "carrier", "second", "clinic", "other")
)
SIGNERS = (SHIPPER, CARRIER, SECOND, CONSIGNEE, OTHER)
LOGGER, SPARE = "urn:dev:ops:32473-truck-1", "urn:dev:ops:32473-truck-2"
PLANT, HUB, CLINIC = Stop("plant", 119.9, 31.8), Stop("hub", 120.0, 31.7), Stop("clinic", 120.1, 31.6)
BEGIN_US = 1_800_000_000_000_000
MINUTE_US = 60_000_000


def created(**changes: Any) -> Created:
    made = Created(
        time_us=BEGIN_US,
        consignee=CONSIGNEE,
        carriers=(CARRIER, SECOND),
        contents=(Content("09506000134352", "L7"),),
        route=(PLANT, HUB, CLINIC),
        loggers=(LOGGER,),
    )
    return replace(made, **changes)


def verdict(**changes: Any) -> Judged:
    zero = bytes(32)
    made = Judged(
        after=zero, time_us=BEGIN_US, limits=zero, profile_hash=zero, from_us=0, to_us=1, size=1, root=zero,
        inputs=zero, statements=1, rules=1, verdict="breach", findings=(), result=zero,
    )  # fmt: skip
    return replace(made, **changes)


class Story:
    """Statements one after the other, a minute apart, each an entry of the log of its own."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._entries = count(1 + max((event.entry for event in events), default=0))
        self.events: list[Event] = list(events)

    @property
    def time_us(self) -> int:
        """When the next statement is made."""
        return BEGIN_US + len(self.events) * MINUTE_US

    def event(self, stated: ShipmentStatement, signer: str) -> Event:
        """A statement with the next place in the log."""
        entry = next(self._entries)
        return Event(stated, signer, sha256(encode_shipment(stated) + b"%d" % entry).digest(), entry, 1)

    def add(self, form: Any, signer: str, **fields: Any) -> Event:
        """The next statement of the chain."""
        if form is not Created:
            last = next(one for one in reversed(self.events) if not isinstance(one.stated, Judged))
            fields = {"after": last.leaf_hash, "time_us": self.time_us, **fields}
        stated = created(**fields) if form is Created else form(**fields)
        self.events.append(self.event(stated, signer))
        return self.events[-1]

    def judge(self, signer: str, **changes: Any) -> Event:
        """A verdict on the chain as it is."""
        last = next(one for one in reversed(self.events) if not isinstance(one.stated, Judged))
        self.events.append(self.event(verdict(**{"after": last.leaf_hash, **changes}), signer))
        return self.events[-1]


def whole_story() -> Story:
    """From the plant over a hub to the clinic, refused once, judged and released."""
    story = Story()
    story.add(Created, SHIPPER)
    story.add(Limits, SHIPPER, profile_hash=bytes(32))
    story.add(Limits, SHIPPER, profile_hash=bytes(31) + b"1")
    story.add(Loaded, SHIPPER)
    story.add(Offered, SHIPPER, to=CARRIER, place=PLANT)
    story.add(Accepted, CARRIER)
    story.add(LoggersChanged, CARRIER, joins=(SPARE,), leaves=(LOGGER,))
    story.add(Offered, CARRIER, to=SECOND, place=HUB)
    story.add(OfferRefused, SECOND, why="a torn film")
    story.add(Offered, CARRIER, to=SECOND, place=HUB)
    story.add(Offered, CARRIER, to=CONSIGNEE, place=CLINIC)
    story.add(Accepted, CONSIGNEE)
    story.add(Delivered, CONSIGNEE)
    judged = story.judge(CONSIGNEE)
    story.add(Released, CONSIGNEE, rests_on=judged.leaf_hash)
    return story


def anything(after: bytes, time_us: int, rests_on: bytes) -> Iterator[ShipmentStatement]:
    """Every kind of statement that follows another one, offers to everybody."""
    at: dict[str, Any] = {"after": after, "time_us": time_us}
    yield created()
    yield Limits(**at, profile_hash=bytes(32))
    yield Loaded(**at)
    for to in SIGNERS:
        yield Offered(**at, to=to, place=HUB)
    yield Accepted(**at)
    yield OfferRefused(**at, why="no")
    yield LoggersChanged(**at, joins=(), leaves=())
    yield Delivered(**at)
    yield Released(**at, rests_on=rests_on)
    yield Rejected(**at, rests_on=rests_on, why="no")
