"""What goes into the judgement of a shipment: the statements about it, and its loggers' readings.

Both come out of the log, each with its place there, from evidence or from the stream.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from pipeline.log.merkle import hash_leaf
from pipeline.shipping.custody import follow
from pipeline.shipping.mean_kinetic import COLDEST_CEL
from pipeline.shipping.shipment import Event, Shipment
from pipeline.verify.evidence import ProvenStatement
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.shipment import decode_shipment
from pipeline.wire.statement import CONTENT_SENML, CONTENT_SHIPMENT, Statement


class Value(NamedTuple):
    """One record of a logger: what it read, when (POSIX µs), and the value with its shortest digits."""

    quantity: str
    time_us: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Pack:
    """A logger's statement, its place in the log, and its records."""

    logger: str
    epoch: int
    sequence: int
    leaf_hash: bytes
    entry: int
    leaf: int
    values: tuple[Value, ...]

    @property
    def place(self) -> tuple[int, int]:
        """Its place in the log."""
        return self.entry, self.leaf

    def within(self, from_us: int, to_us: int) -> bool:
        """Tell whether any of its records was read in this time, both ends inside."""
        return any(from_us <= value.time_us <= to_us for value in self.values)


def event_of(statement: Statement, entry: int, leaf: int) -> Event:
    """Return the event that a statement about a shipment is.

    Raises:
        VerificationError: `cbor_*`, `shipment_shape`.
    """
    stated = decode_shipment(statement.payload)
    return Event(stated, statement.issuer, hash_leaf(statement.raw), entry, leaf)


def pack_of(statement: Statement, entry: int, leaf: int) -> Pack:
    """Return what a logger's statement holds; a temperature that cannot be is no reading.

    Raises:
        VerificationError: `cbor_*`, `pack_*`.
    """
    values = [
        Value(record.quantity, time_us(record), Decimal(repr(record.value)))
        for record in decode_pack(statement.payload, statement.issuer)
        if record.unit != "Cel" or record.value >= COLDEST_CEL
    ]
    issuer, epoch, sequence = statement.issuer, statement.epoch, statement.sequence
    return Pack(issuer, epoch, sequence, hash_leaf(statement.raw), entry, leaf, tuple(values))


@dataclass(slots=True)
class Inputs:
    """The statements about one shipment, and readings by loggers, hers or not, in log order."""

    name: str
    events: list[Event] = field(default_factory=list[Event])
    packs: list[Pack] = field(default_factory=list[Pack])

    def take(self, proven: ProvenStatement) -> None:
        """Take a statement of evidence; an equivocation counts for nothing."""
        statement = proven.statement
        if proven.equivocation:
            return
        if statement.content_type == CONTENT_SENML:
            self.packs.append(pack_of(statement, proven.entry, proven.leaf))
        elif statement.content_type == CONTENT_SHIPMENT and statement.subject == self.name:
            self.events.append(event_of(statement, proven.entry, proven.leaf))

    def shipment(self) -> Shipment | None:
        """Return what follows from the statements; None where nobody created the shipment."""
        return follow(self.name, self.events)

    def below(self, size: int) -> "Inputs":
        """Return what a log of this size held of it."""
        return Inputs(
            self.name,
            [event for event in self.events if event.entry < size],
            [pack for pack in self.packs if pack.entry < size],
        )


def read_inputs(name: str, statements: Iterable[ProvenStatement]) -> Inputs:
    """Return what evidence holds about a shipment; it is proven once the evidence is read to its end."""
    inputs = Inputs(name)
    for proven in statements:
        inputs.take(proven)
    return inputs
