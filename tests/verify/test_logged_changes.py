"""What authorities have stated, read out of a log: each once, in its order, and the registry behind it."""

import pytest

from pipeline.identity.registry import Registry
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import TileReader
from pipeline.verify.logged_changes import LoggedChange, read_changes
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.changes import rotate
from tests.support.city import (
    AIR_ONLY,
    AIR_ONLY_NAME,
    AUTHORITIES,
    AUTHORITY_NAME,
    NOW_MS,
    POLICY,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
    leaf_hash,
)


def read(log: ForgedLog) -> tuple[list[LoggedChange], Registry]:
    """Publish, and read; nothing but shard 0 is there to be read."""
    checkpoint = open_checkpoint(log.publish(), POLICY).checkpoint
    files = {path: data for path, data in log.files.items() if not path.startswith("block/1")}
    registry = Registry()
    return list(read_changes(files.get, TileReader(files.get, checkpoint), AUTHORITIES, registry)), registry


def test_changes_are_read_in_the_order_of_the_log() -> None:
    """Over several blocks with readings between them; what contradicts an earlier one changes nothing."""
    first, second = device_in(1), device_in(1, 1)
    log = ForgedLog()
    one, twice = enrol(first, 0), enrol(second, 0)
    other = enrol(second, 0, by=AIR_ONLY, name=AIR_ONLY_NAME)
    log.enrol(one, twice, other, skip=(2,))
    log.add(1, [first.read()])
    rotated = rotate(first, sequence=1)
    manifest = log.enrol(rotated)
    changes, registry = read(log)
    assert [(each.authority, each.entry, each.leaf, each.leaf_hash) for each in changes] == [
        (AUTHORITY_NAME, 1, 1, leaf_hash(one)),
        (AIR_ONLY_NAME, 1, 3, leaf_hash(other)),
        (AUTHORITY_NAME, 3, 1, leaf_hash(rotated)),
    ]
    assert [each.arrival_ms for each in changes] == [NOW_MS, NOW_MS, manifest.arrival_last_ms]
    assert changes[0].change == enrolment(first)
    assert changes[1].change == enrolment(second, authority=AIR_ONLY_NAME)
    assert (registry.blocks, registry.root) == (2, log.registry.root)


def test_a_log_that_is_wrong_is_not_read() -> None:
    """An enrolment that its authority has not signed."""
    log = ForgedLog()
    raw = enrol(device_in(1), 0)
    log.add(0, [raw[:-1] + bytes([raw[-1] ^ 1])])
    with pytest.raises(VerificationError) as refused:
        read(log)
    assert refused.value.reason is Reason.SIGNATURE_INVALID
