"""What stages say to one another on the bus, beside blocks and log entries.

`statements` carries what MQTT delivered, keyed by its MQTT topic: a zero byte and the bytes as received; or,
for input over the limit, a one, its length, its SHA-256 and its first 16 KiB; or, for a message beyond the
sender's quota, a two, its length and its SHA-256. `refused` carries, for each
block, the statements it refused and the identities of the duplicates it dropped.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.wire.cbor import STATEMENT_SIZE_MAX, decode, encode
from pipeline.wire.reasons import Reason

RAW = b"\x00"
OVERSIZE = b"\x01"
OVER_QUOTA = b"\x02"
LENGTH_BYTES = 8
CHUNK_BYTES_MAX = 256 * 1024

_REFUSALS = {OVERSIZE: Reason.OVERSIZE, OVER_QUOTA: Reason.QUOTA_EXCEEDED}


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes that came over MQTT: `head` is all of them unless `length` is larger."""

    head: bytes
    length: int
    sha256: bytes | None


def wrap_arrival(payload: bytes) -> bytes:
    """Frame a payload for the topic `statements`."""
    if len(payload) <= STATEMENT_SIZE_MAX:
        return RAW + payload
    length = len(payload).to_bytes(LENGTH_BYTES, "big")
    return OVERSIZE + length + hashlib.sha256(payload).digest() + payload[:STATEMENT_SIZE_MAX]


def wrap_over_quota(payload: bytes) -> bytes:
    """Frame what stands for a payload that nobody will look at: a flood must not cost what it is made of."""
    return OVER_QUOTA + len(payload).to_bytes(LENGTH_BYTES, "big") + hashlib.sha256(payload).digest()


def refusal_of(value: bytes) -> Reason | None:
    """Return why what `wrap_arrival` or `wrap_over_quota` framed is refused unread, or None."""
    return _REFUSALS.get(value[:1])


def unwrap_arrival(value: bytes) -> Arrival:
    """Read what `wrap_arrival` or `wrap_over_quota` framed."""
    if value[:1] == RAW:
        return Arrival(value[1:], len(value) - 1, None)
    assert value[:1] in _REFUSALS, "the bridge frames everything"
    return Arrival(value[41:], int.from_bytes(value[1:9], "big"), value[9:41])


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused arrival: where it came from, what it was, why."""

    mqtt_topic: str
    sha256: bytes
    reason: str
    records: int
    length: int
    arrival_ms: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A statement that stands in the log already."""

    mqtt_topic: str
    issuer: str
    epoch: int
    sequence: int
    records: int


def wrap_outcomes(refused: Sequence[Refused], duplicates: Sequence[Duplicate]) -> Iterator[bytes]:
    """Frame a block's refused and duplicates for the topic `refused`, in messages of bounded size."""
    rows: list[list[object]] = []
    size = 0
    for row in chain(map(_refused_row, refused), map(_duplicate_row, duplicates)):
        rows.append(row)
        size += sum(len(part) if isinstance(part, (bytes, str)) else 9 for part in row)
        if size >= CHUNK_BYTES_MAX:
            yield encode(rows)
            rows, size = [], 0
    if rows:
        yield encode(rows)


def _refused_row(r: Refused) -> list[object]:
    return [0, r.mqtt_topic, r.sha256, r.reason, r.records, r.length, r.arrival_ms, r.head]


def _duplicate_row(d: Duplicate) -> list[object]:
    return [1, d.mqtt_topic, d.issuer, d.epoch, d.sequence, d.records]


def unwrap_outcomes(value: bytes) -> tuple[list[Refused], list[Duplicate]]:
    """Read what `wrap_outcomes` framed."""
    refused: list[Refused] = []
    duplicates: list[Duplicate] = []
    rows: Any = decode(value, size_max=len(value))
    for kind, *fields in rows:
        if kind == 0:
            refused.append(Refused(*fields))
        else:
            duplicates.append(Duplicate(*fields))
    return refused, duplicates


@dataclass(frozen=True, slots=True)
class ShardPosition:
    """How far the log has come in a shard: the next height, and the bus offset of the block before it."""

    height: int = 0
    block_offset: int = 0


def wrap_positions(positions: Sequence[ShardPosition]) -> bytes:
    """Make the key of a message on the topic `log`: where every shard stands after this entry."""
    return encode([[p.height, p.block_offset] for p in positions])


def unwrap_positions(key: bytes) -> list[ShardPosition]:
    """Read what `wrap_positions` made."""
    rows: Any = decode(key, size_max=len(key))
    return [ShardPosition(*row) for row in rows]
