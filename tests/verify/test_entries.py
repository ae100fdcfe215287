"""The check of entries by itself: what it counts, and that it goes on where it stood."""

from pipeline.verify.entries import EntryCheck, LogIdentity, Tally
from tests.support.city import AUTHORITIES, LOG, ORIGIN, ForgedLog, device_in


def begin(log: ForgedLog) -> EntryCheck:
    """A check that has seen nothing."""
    return EntryCheck(log.files.get, LogIdentity(ORIGIN, LOG.signer.public_key), AUTHORITIES)


def test_following_counts_blocks_and_keeps_the_count() -> None:
    """Without bodies there are no statements to count; what is kept counts on."""
    log, device = ForgedLog(), device_in(1)
    for _ in range(5):
        log.add(1, [device.read()])
    check = begin(log)
    for index, raw in enumerate(log.entries[:4]):
        assert list(check.follow(index, raw)) == []
    assert check.tally == Tally(size=0, blocks=3, statements=0)
    again = begin(log)
    again.restore(check.to_bytes(), [])
    for index, raw in enumerate(log.entries[4:], 4):
        assert list(again.follow(index, raw)) == []
    assert again.tally == Tally(size=0, blocks=5, statements=0)
