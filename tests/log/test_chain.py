"""The chain of a shard's blocks: what the next block must follow on from, and the reason for every break."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from pipeline.log.chain import ChainTip, check_follows
from pipeline.log.manifest import Manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

TOPIC = bytes(range(16))
TIP = ChainTip(height=5, root=sha256(b"root").digest(), offset=100, arrival_ms=1_000)
LEAVES = [b"manifest", b"s1", b"s2", b"s3"]
NEXT = Manifest(
    shard=2,
    height=5,
    previous=TIP.root,
    topic_id=TOPIC,
    offset_first=100,
    offset_last=106,
    arrival_first_ms=1_000,
    arrival_last_ms=1_400,
    accepted=3,
    duplicates=2,
    refused={"cbor_tag": 1, "oversize": 1},
    refused_hash=bytes(32),
    registry_blocks=0,
    registry_root=bytes(32),
)


def test_the_next_block_follows() -> None:
    """Height, link, offset and time follow on; accepted, duplicates and refused are what was consumed."""
    check_follows(TIP, NEXT, 2, TOPIC, LEAVES)
    root = sha256(b"next").digest()
    assert TIP.after(NEXT, root) == ChainTip(height=6, root=root, offset=107, arrival_ms=1_400)


def test_a_shard_begins_with_zeros() -> None:
    """Height 0, previous of zeros, offset 0, at any time."""
    first = replace(NEXT, height=0, previous=bytes(32), offset_first=0, offset_last=6, arrival_first_ms=0)
    check_follows(ChainTip(), first, 2, TOPIC, LEAVES)
    with pytest.raises(VerificationError):
        check_follows(ChainTip(), NEXT, 2, TOPIC, LEAVES)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shard": 1}, Reason.BLOCK_HEIGHT),
        ({"height": 4}, Reason.BLOCK_HEIGHT),
        ({"height": 6}, Reason.BLOCK_HEIGHT),
        ({"previous": bytes(32)}, Reason.BLOCK_LINK),
        ({"topic_id": bytes(16)}, Reason.BLOCK_OFFSETS),
        ({"offset_first": 99, "offset_last": 105}, Reason.BLOCK_OFFSETS),
        ({"offset_first": 101, "offset_last": 107}, Reason.BLOCK_OFFSETS),
        ({"arrival_first_ms": 999}, Reason.BLOCK_TIMES),
        ({"arrival_first_ms": 1_401}, Reason.BLOCK_TIMES),
        ({"arrival_last_ms": 999}, Reason.BLOCK_TIMES),
        ({"accepted": 2}, Reason.BLOCK_COUNTS),
        ({"accepted": 4, "duplicates": 1}, Reason.BLOCK_COUNTS),
        ({"duplicates": 1}, Reason.BLOCK_COUNTS),
        ({"duplicates": 3}, Reason.BLOCK_COUNTS),
        ({"refused": {"cbor_tag": 1}}, Reason.BLOCK_COUNTS),
        ({"offset_last": 107}, Reason.BLOCK_COUNTS),
        ({"offset_last": 105}, Reason.BLOCK_COUNTS),
    ],
)
def test_every_break_has_its_reason(change: dict[str, Any], reason: Reason) -> None:
    """One thing wrong at a time."""
    with pytest.raises(VerificationError) as refused:
        check_follows(TIP, replace(NEXT, **change), 2, TOPIC, LEAVES)
    assert refused.value.reason is reason


def test_times_may_stand_still() -> None:
    """LogAppendTime never runs backwards, but many messages share a millisecond."""
    still = replace(NEXT, arrival_first_ms=TIP.arrival_ms, arrival_last_ms=TIP.arrival_ms)
    check_follows(TIP, still, 2, TOPIC, LEAVES)


@pytest.mark.parametrize("leaves", [LEAVES[:-1], [*LEAVES, b"s4"], LEAVES[:1], []])
def test_the_manifest_counts_what_is_there(leaves: list[bytes]) -> None:
    """A leaf more or less than accepted and the manifest itself."""
    with pytest.raises(VerificationError) as refused:
        check_follows(TIP, NEXT, 2, TOPIC, leaves)
    assert refused.value.reason is Reason.BLOCK_COUNTS


def test_what_breaks_first_is_the_reason() -> None:
    """Height before link before offsets before times before counts; the detail names the place."""
    wrong: dict[str, Any] = {}
    for field, value, reason in (
        ("accepted", 0, Reason.BLOCK_COUNTS),
        ("arrival_first_ms", 0, Reason.BLOCK_TIMES),
        ("offset_first", 0, Reason.BLOCK_OFFSETS),
        ("previous", bytes(32), Reason.BLOCK_LINK),
        ("height", 9, Reason.BLOCK_HEIGHT),
    ):
        wrong[field] = value
        with pytest.raises(VerificationError) as refused:
            check_follows(TIP, replace(NEXT, **wrong), 2, TOPIC, LEAVES)
        assert refused.value.reason is reason
        assert refused.value.detail == f"shard 2, height {wrong.get('height', 5)}"
