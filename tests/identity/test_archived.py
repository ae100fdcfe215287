"""The registry out of a log's files: the snapshot and the bodies behind it, or all bodies."""

import pytest

from pipeline.identity.archived import REGISTRY_PATH, read_registry
from pipeline.identity.snapshot import encode_registry
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason
from tests.support.city import ForgedLog, device_in, enrol

BLOCKS = 7


def forged() -> tuple[ForgedLog, list[bytes]]:
    """A log with so many registry blocks, and the registry's bytes in every state."""
    log = ForgedLog()
    states = [encode_registry(log.registry)]
    for number in range(BLOCKS):
        log.enrol(enrol(device_in(1, number), number))
        states.append(encode_registry(log.registry))
    return log, states


LOG, STATES = forged()


@pytest.mark.parametrize("snapshot", [None, *range(BLOCKS + 1)])
def test_every_state_is_read_with_and_without_a_snapshot(snapshot: int | None) -> None:
    """An older one, that of the state itself, or a newer one; bodies are read behind it only."""
    files = dict(LOG.files)
    if snapshot is not None:
        files[REGISTRY_PATH] = STATES[snapshot]
        for height in range(snapshot):
            del files[f"block/0/00{height}"]
    assert [encode_registry(read_registry(files.get, state)) for state in range(BLOCKS + 1)] == STATES


def test_a_missing_body_is_named() -> None:
    """Of those that are needed."""
    files = {path: data for path, data in LOG.files.items() if path != "block/0/004"}
    assert read_registry(files.get, 4).blocks == 4
    with pytest.raises(MissingError, match="block/0/004"):
        read_registry(files.get, 5)


def test_what_is_no_snapshot_is_refused() -> None:
    """It is the operator's file, and may hold anything."""
    with pytest.raises(VerificationError) as refused:
        read_registry({**LOG.files, REGISTRY_PATH: b"\x80"}.get, 1)
    assert refused.value.reason is Reason.SNAPSHOT_SHAPE
