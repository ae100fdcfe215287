"""Whether one checkpoint extends another, at the smallest sizes that there are."""

import pytest

from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, open_checkpoint, sign_checkpoint
from pipeline.log.cosigning import parse_add_checkpoint
from pipeline.log.tiles import TileReader
from pipeline.verify.succession import Shown, conflict_between
from tests.support.city import LOG, ORIGIN, POLICY, WITNESSES, ForgedLog


def shown(note: bytes) -> Shown:
    """A checkpoint as it is found."""
    return Shown(open_checkpoint(note, POLICY).checkpoint, note)


def signed(size: int, root: bytes) -> Shown:
    """A checkpoint that the log signed and the witnesses cosigned, whatever it says."""
    checkpoint = Checkpoint(ORIGIN, size, root)
    cosignatures = [cosign(checkpoint, witness, 1) for witness in WITNESSES]
    return shown(add_signatures(sign_checkpoint(checkpoint, LOG), cosignatures))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_smaller_tree_of_another_root_convicts(size: int) -> None:
    """From the very first entry on, or of the same size, for which no tile is needed.

    The true one does not, and nothing stands against an empty log.
    """
    log = ForgedLog()
    notes = []
    for count in range(4):
        notes.append(log.publish())
        log.add(1, [b"statement %d" % count])
    true, larger = shown(notes[size - 1]), shown(notes[3])
    tiles = TileReader(log.files.get, larger.checkpoint)
    assert conflict_between(true, larger, tiles) is None
    other = signed(size, b"x" * 32)
    evidence = conflict_between(other, larger, None if size == 4 else tiles)
    assert evidence is not None
    assert evidence.keys() == {"smaller.checkpoint", "larger.request", "larger.prefix"}
    assert evidence["smaller.checkpoint"] == other.note
    request = parse_add_checkpoint(evidence["larger.request"])
    assert (request.old_size, request.note) == (size, larger.note)
    assert evidence["larger.prefix"] == true.note.partition(b"\n\n")[0] + b"\n"
    assert conflict_between(signed(0, b"x" * 32), larger, tiles) is None
