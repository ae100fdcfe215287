"""A shipment as the statements about it leave it: parties, goods, loggers, limits, who held it when."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import Content, ShipmentStatement, Stop, kind_of


class State(StrEnum):
    """Where a shipment stands."""

    CREATED = "created"
    COMMITTED = "committed"  # Limits are, and may still be replaced.
    HELD = "held"
    OFFERED = "offered"  # Half a handover; the goods are still the holder's.
    DELIVERED = "delivered"
    RELEASED = "released"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Event:
    """A statement about a shipment and its place in the log."""

    stated: ShipmentStatement
    signer: str
    leaf_hash: bytes
    entry: int
    leaf: int

    @property
    def kind(self) -> str:
        """What kind of statement it is."""
        return kind_of(self.stated)


class RefusedEvent(NamedTuple):
    """A statement that counts nothing, and why."""

    event: Event
    reason: Reason


class Holding(NamedTuple):
    """Who held the goods from when to when (POSIX µs; None: still), and where they took them over."""

    holder: str
    from_us: int
    to_us: int | None
    place: Stop


class Attached(NamedTuple):
    """A logger with the goods, from when to when (POSIX µs; None: from loading, to delivery).

    Loggers of one `track` go on for one another: together they recorded one place among the goods.
    """

    logger: str
    track: int
    from_us: int | None = None
    to_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """All that follows from the statements about a shipment.

    Attributes:
        name: The statements' subject.
        state: Where it stands.
        shipper: Who created it.
        consignee: Whom it goes to.
        carriers: Who may carry it.
        contents: Goods and logistic units.
        route: Places, the first where it comes from, the last where it goes.
        holdings: Who held it, in order; the last one holds it. None before it is loaded.
        offer: The offer that waits for its answer.
        attached: Loggers, in the order in which they joined.
        limits: The statement that committed the profile in force.
        loaded_us: When it was loaded, POSIX µs.
        delivered_us: When it was delivered.
        events: The chain; its last one is what the next statement follows.
        verdicts: Verdicts by parties about some part of the chain, in log order.
        refused: What counts nothing, and why.
        waiting: What follows a statement that is not in the log, or not yet.
    """

    name: str
    state: State
    shipper: str
    consignee: str
    carriers: tuple[str, ...]
    contents: tuple[Content, ...]
    route: tuple[Stop, ...]
    holdings: tuple[Holding, ...] = ()
    offer: Event | None = None
    attached: tuple[Attached, ...]
    limits: Event | None = None
    loaded_us: int | None = None
    delivered_us: int | None = None
    events: tuple[Event, ...]
    verdicts: tuple[Event, ...] = ()
    refused: tuple[RefusedEvent, ...] = ()
    waiting: tuple[Event, ...] = ()

    @property
    def tip(self) -> bytes:
        """Leaf hash of the chain's last statement, which the next one names."""
        return self.events[-1].leaf_hash

    @property
    def holder(self) -> str | None:
        """Who holds the goods; None before they are loaded."""
        return self.holdings[-1].holder if self.holdings else None

    @property
    def parties(self) -> tuple[str, ...]:
        """Shipper, carriers, consignee, each once."""
        return tuple(dict.fromkeys((self.shipper, *self.carriers, self.consignee)))

    @property
    def loggers(self) -> tuple[str, ...]:
        """All loggers that were with the goods, each once."""
        return tuple(dict.fromkeys(one.logger for one in self.attached))

    def holder_at(self, time_us: int) -> str | None:
        """Return who held the goods at a time; None where nobody did."""
        for holding in reversed(self.holdings):
            if holding.from_us <= time_us:
                over = self.delivered_us if holding.to_us is None else holding.to_us
                return holding.holder if over is None or time_us <= over else None
        return None
