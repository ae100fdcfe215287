"""The signed EPCIS events and the shipments that stand in a log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.tiles import ReadFile, TileReader
from pipeline.shipping.custody import follow
from pipeline.shipping.inputs import event_of
from pipeline.shipping.shipment import Event, Shipment
from pipeline.shipping.signed_events import SignedEvent, from_statement
from pipeline.wire.epcis_event import decode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.statement import (
    CONTENT_EPCIS,
    CONTENT_SHIPMENT,
    Statement,
    parse_statement,
    verify_statement,
)

Progress: TypeAlias = Callable[[int, int], None]
REGISTRY_SHARD = 0
_WANTED = (CONTENT_EPCIS.encode(), CONTENT_SHIPMENT.encode())


@dataclass(slots=True)
class LoggedGoods:
    """What a log says of goods; `refused` are events that their signers have signed and that are none."""

    events: list[SignedEvent] = field(default_factory=list[SignedEvent])
    refused: list[tuple[bytes, VerificationError]] = field(
        default_factory=list[tuple[bytes, VerificationError]]
    )
    _stated: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])

    def shipments(self) -> list[Shipment]:
        """Return all shipments that somebody has created."""
        followed = (follow(name, events) for name, events in self._stated.items())
        return [shipment for shipment in followed if shipment is not None]

    def take(self, statement: Statement, role: str, entry: int, leaf: int) -> None:
        """Take a statement whose signature was verified."""
        if statement.content_type == CONTENT_SHIPMENT:
            self._stated.setdefault(statement.subject, []).append(event_of(statement, entry, leaf))
            return
        leaf_hash = hash_leaf(statement.raw)
        try:
            event = from_statement(decode_epcis_event(statement.payload))
        except VerificationError as error:
            self.refused.append((leaf_hash, error))
            return
        self.events.append(
            SignedEvent(event.fields, event.hash, statement.issuer, role, leaf_hash, entry, leaf)
        )


def read_goods(
    read: ReadFile,
    tiles: TileReader,
    authorities: Authorities,
    progress: Progress = lambda _done, _size: None,
) -> LoggedGoods:
    """Return what a log says of goods, every signature verified under the key that was enrolled.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        tiles: The log's tiles under a verified checkpoint.
        authorities: Who may enrol.
        progress: Hears how many entries of how many were read.

    Raises:
        VerificationError: The log itself is wrong: run fsck.
        UnavailableError: A file of the log is missing, or does not answer.
    """
    registry, goods = Registry(), LoggedGoods()
    for entry in range(1, tiles.size):
        progress(entry, tiles.size)
        block = parse_signed_block(tiles.read_entry(entry))
        leaves, _ = read_block(read, block)
        manifest = decode_manifest(leaves[0])
        if block.shard == REGISTRY_SHARD:
            registry.apply_block(leaves, manifest.equivocations, authorities)
            continue
        for leaf, raw in enumerate(leaves[1:], 1):
            if leaf in manifest.equivocations or not any(wanted in raw for wanted in _WANTED):
                continue  # Most statements are readings: this spares parsing them.
            statement = parse_statement(raw)
            if statement.content_type in {CONTENT_EPCIS, CONTENT_SHIPMENT}:
                record = registry.check_key(statement, manifest.arrival_last_ms, manifest.registry_blocks)
                verify_statement(statement, record.public_key)
                goods.take(statement, record.kind, entry, leaf)
    return goods
