"""The manifest, leaf 0 of a block: what part of the bus the block took in, and what became of it."""

import re
from dataclasses import dataclass
from typing import NamedTuple, cast

from pipeline.log.fields import are_uints, is_hash, is_uint
from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

_TOPIC_ID_SIZE = 16
_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)

# The usual form: nothing refused, no equivocations. What matches is CBOR of the profile by construction.
_UINT = (
    rb"([\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00).{2}|\x1a(?!\x00\x00).{4}"
    rb"|\x1b(?!\x00{4})\x00[\x00-\x1f].{6})"  # Up to 2^53 - 1.
)
_HASH = rb"\x58\x20(.{32})"
_USUAL = re.compile(
    rb"(?:\xab|(?P<twelve>\xac))\x01" + _UINT + rb"\x02" + _UINT + rb"\x03" + _HASH + rb"\x04\x50(.{16})"
    rb"\x05\x82" + _UINT + _UINT + rb"\x06\x82" + _UINT + _UINT + rb"\x07" + _UINT + rb"\x08" + _UINT
    + rb"\x09\xa0\x0a" + _HASH + rb"\x0b\x82" + _UINT + _HASH + rb"(?(twelve)\x0d" + _HASH + rb")",
    re.DOTALL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """Leaf 0 of a block: which part of the bus it took in, and what became of it.

    Attributes:
        shard: The shard, 0 is the registry.
        height: The block's place in its shard, from 0.
        previous: Root of the shard's previous block; 32 zero bytes at height 0.
        topic_id: 16-byte id of the bus topic.
        offset_first: First offset taken in.
        offset_last: Last offset taken in.
        arrival_first_ms: Earliest append time on the bus, POSIX milliseconds.
        arrival_last_ms: Latest append time.
        accepted: Statements in the block.
        duplicates: Messages dropped because their bytes were in the log already.
        refused: Reason code -> how many messages were refused for it.
        refused_hash: One hash over the refused.
        registry_blocks: How many registry blocks had been applied.
        registry_root: Root of the registry the statements were checked against.
        equivocations: Leaves under an identity that has another leaf already: evidence, not readings.
        state_hash: Hash of the state snapshot, where one was taken with this block.
    """

    shard: int
    height: int
    previous: bytes
    topic_id: bytes
    offset_first: int
    offset_last: int
    arrival_first_ms: int
    arrival_last_ms: int
    accepted: int
    duplicates: int
    refused: dict[str, int]
    refused_hash: bytes
    registry_blocks: int
    registry_root: bytes
    equivocations: tuple[int, ...] = ()
    state_hash: bytes | None = None


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's bytes, leaf 0 of its block."""
    m = manifest
    fields: dict[int, object] = {
        1: m.shard,
        2: m.height,
        3: m.previous,
        4: m.topic_id,
        5: [m.offset_first, m.offset_last],
        6: [m.arrival_first_ms, m.arrival_last_ms],
        7: m.accepted,
        8: m.duplicates,
        9: m.refused,
        10: m.refused_hash,
        11: [m.registry_blocks, m.registry_root],
    }
    if m.equivocations:
        fields[12] = list(m.equivocations)
    if m.state_hash is not None:
        fields[13] = m.state_hash
    return cbor.encode(fields)


def decode_manifest(raw: bytes) -> Manifest:
    """Parse a manifest. What it says is compared with block and log elsewhere.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, MANIFEST_SHAPE.
    """
    usual = _USUAL.fullmatch(raw)
    manifest = _from_usual(*usual.groups()[1:]) if usual else None
    return manifest or _from_fields(cbor.decode(raw))


class ManifestPlace(NamedTuple):
    """What of a manifest is asked most: where the block stands, and what it was checked against."""

    shard: int
    height: int
    arrival_last_ms: int
    accepted: int
    registry_root: bytes
    equivocations: tuple[int, ...]


def read_place(raw: bytes) -> ManifestPlace:
    """Check a manifest as `decode_manifest` does; return no more of it than this.

    Raises:
        VerificationError: As `decode_manifest`.
    """
    usual = _USUAL.fullmatch(raw)
    if usual:
        (
            _, shard, height, _, _, offset_first, offset_last, arrival_first, arrival_last, accepted, _, _, _,
            registry_root, _,
        ) = usual.groups()  # fmt: skip
        # Of integers in their shortest form the larger one has the larger bytes.
        if offset_first <= offset_last and arrival_first <= arrival_last:
            uints = [
                part[0] if len(part) == 1 else int.from_bytes(part[1:])
                for part in (shard, height, arrival_last, accepted)
            ]
            return ManifestPlace(uints[0], uints[1], uints[2], uints[3], registry_root, ())
    manifest = decode_manifest(raw)
    return ManifestPlace(
        manifest.shard,
        manifest.height,
        manifest.arrival_last_ms,
        manifest.accepted,
        manifest.registry_root,
        manifest.equivocations,
    )


def _from_usual(
    shard: bytes, height: bytes, previous: bytes, topic_id: bytes, offset_first: bytes, offset_last: bytes,
    arrival_first: bytes, arrival_last: bytes, accepted: bytes, duplicates: bytes, refused_hash: bytes,
    registry_blocks: bytes, registry_root: bytes, state_hash: bytes | None,
) -> Manifest | None:  # fmt: skip
    """Return the manifest of these encoded fields; None where a range is no range."""
    encoded = (
        shard, height, offset_first, offset_last, arrival_first, arrival_last, accepted, duplicates,
        registry_blocks,
    )  # fmt: skip
    uints = [raw[0] if len(raw) == 1 else int.from_bytes(raw[1:]) for raw in encoded]
    if uints[2] > uints[3] or uints[4] > uints[5]:
        return None
    return Manifest(
        uints[0], uints[1], previous, topic_id, uints[2], uints[3], uints[4], uints[5], uints[6], uints[7],
        {}, refused_hash, uints[8], registry_root, (), state_hash,
    )  # fmt: skip


def _from_fields(fields: object) -> Manifest:
    match fields:
        case {
            1: shard,
            2: height,
            3: previous,
            4: topic_id,
            5: [offset_first, offset_last],
            6: [arrival_first_ms, arrival_last_ms],
            7: accepted,
            8: duplicates,
            9: dict() as refused,
            10: refused_hash,
            11: [registry_blocks, registry_root],
            **rest,
        } if (
            are_uints(shard, height, offset_first, offset_last, arrival_first_ms, arrival_last_ms)
            and are_uints(accepted, duplicates, registry_blocks)
            and offset_first <= offset_last
            and arrival_first_ms <= arrival_last_ms
            and all(map(is_hash, (previous, refused_hash, registry_root)))
            and isinstance(topic_id, bytes)
            and len(topic_id) == _TOPIC_ID_SIZE
            and all(_is_refusal(reason, count) for reason, count in refused.items())
            and rest.keys() <= {12, 13}
            and (12 not in rest or _are_leaves(rest[12], accepted))
            and (13 not in rest or is_hash(rest[13]))
        ):
            return Manifest(
                shard=shard,
                height=height,
                previous=previous,
                topic_id=topic_id,
                offset_first=offset_first,
                offset_last=offset_last,
                arrival_first_ms=arrival_first_ms,
                arrival_last_ms=arrival_last_ms,
                accepted=accepted,
                duplicates=duplicates,
                refused=refused,
                refused_hash=refused_hash,
                registry_blocks=registry_blocks,
                registry_root=registry_root,
                equivocations=tuple(cast("list[int]", rest.get(12, ()))),
                state_hash=cast("bytes | None", rest.get(13)),
            )
    raise VerificationError(Reason.MANIFEST_SHAPE)


def _are_leaves(indices: object, accepted: int) -> bool:
    """Tell whether these are ascending indices of statements in a block of so many."""
    return (
        isinstance(indices, list)
        and bool(indices)
        and are_uints(*indices)
        and all(low < high for low, high in zip([0, *indices], [*indices, accepted + 1], strict=True))
    )


def _is_refusal(reason: object, count: object) -> bool:
    return isinstance(reason, str) and _REASON.fullmatch(reason) is not None and is_uint(count) and count > 0
