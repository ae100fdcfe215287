"""Holding a log to its receipts: what it does not keep is named, at its place, and nothing else."""

from hashlib import sha256

import cbor2
import pytest

from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.tiles import TileReader
from pipeline.verify.entries import Finding
from pipeline.verify.receipts import HeldReceipt, check_kept
from pipeline.wire.errors import MissingError
from tests.support.city import POLICY, ForgedLog, device_in, policy_text

COSIGNED_S = 1_800_000_100  # As ForgedLog.publish has it.
Said = list[tuple[str, str]]


def leaf_hash(raw: bytes) -> bytes:
    """Of a statement."""
    return sha256(b"\0" + raw).digest()


def receipt(log: ForgedLog, entry: int, raw: bytes) -> HeldReceipt:
    """The receipt of a block's only statement, written by another encoder."""
    tag = cbor2.loads(log.entries[entry])
    protected, _, _, signature = tag.value
    _, _, manifest_hash, size = cbor2.loads(protected)[-70002]
    assert size == 2
    proof = cbor2.dumps([2, 1, [manifest_hash]])
    raw_receipt = cbor2.dumps(cbor2.CBORTag(18, [protected, {396: {-1: [proof]}}, None, signature]))
    return HeldReceipt(raw_receipt, leaf_hash(raw), COSIGNED_S)


def found(log: ForgedLog, *held: HeldReceipt, policy: Policy = POLICY) -> list[Finding]:
    """What is found, where 60 seconds are promised."""
    opened = open_checkpoint(log.files["checkpoint"], policy)
    return list(check_kept(held, TileReader(log.files.get, opened.checkpoint), opened, 60))


def said(log: ForgedLog, *held: HeldReceipt, policy: Policy = POLICY) -> Said:
    """Places and reasons of what is found."""
    return [(finding.path, finding.reason.value) for finding in found(log, *held, policy=policy)]


def log_of(statements: int) -> tuple[ForgedLog, list[bytes]]:
    """A log of blocks of one statement, more than a bundle of entries if there are many."""
    log, device = ForgedLog(), device_in(1)
    raws = [device.read() for _ in range(statements)]
    for raw in raws:
        log.add(1, [raw])
    log.publish()
    return log, raws


def test_what_a_log_holds_is_kept() -> None:
    """Wherever it stands, in the last bundle too, and however old the receipt."""
    log, raws = log_of(300)
    held = [receipt(log, n + 1, raw) for n, raw in enumerate(raws)]
    assert said(log, *held) == []
    assert said(log, HeldReceipt(held[0].receipt, held[0].leaf_hash, 0)) == []


def test_another_block_at_the_place_is_named_at_once() -> None:
    """By its shard, height and leaf; the receipts of other blocks are not touched by it."""
    log, raws = log_of(3)
    other, device = ForgedLog(), device_in(1)
    for n in range(3):
        other.add(1, [device.read(records=2 if n == 2 else 1)])
    other.publish()
    held = [receipt(log, n + 1, raw) for n, raw in enumerate(raws)]
    assert said(other, *held) == [("block/1/002 leaf 1", "receipt_broken")]
    assert [finding.detail for finding in found(other, *held)] == ["the log has another block there"]


@pytest.mark.parametrize(("late_s", "expected"), [(60, []), (61, [("block/1/002 leaf 1", "receipt_broken")])])
def test_a_block_that_is_not_there_has_the_promised_time(late_s: int, expected: Said) -> None:
    """By the earliest cosignature: as late as is promised is not too late."""
    log, raws = log_of(3)
    shorter, _ = log_of(2)
    late = receipt(log, 3, raws[2])
    held = HeldReceipt(late.receipt, late.leaf_hash, COSIGNED_S - late_s)
    assert said(shorter, held) == expected
    assert all(finding.detail == "not there 61 s after its receipt" for finding in found(shorter, held))


def test_without_cosignatures_a_block_may_still_come() -> None:
    """Nobody says when the checkpoint was; another block at its place convicts all the same."""
    policy = parse_policy((policy_text().rpartition("quorum")[0] + "quorum none\n").encode())
    log, raws = log_of(3)
    shorter, _ = log_of(2)
    shorter.publish(witnesses=())
    late = receipt(log, 3, raws[2])
    assert said(shorter, HeldReceipt(late.receipt, late.leaf_hash, 0), policy=policy) == []


def test_what_is_no_receipt_of_the_log_accuses_nobody() -> None:
    """It is named by its own reason, and the others are looked at."""
    log, raws = log_of(3)
    shorter, _ = log_of(2)
    good = receipt(log, 1, raws[0])
    bad = HeldReceipt(good.receipt, leaf_hash(b"x"), 0)
    late = receipt(log, 3, raws[2])
    broken = HeldReceipt(late.receipt, late.leaf_hash, 0)
    assert said(shorter, bad, good, broken, HeldReceipt(b"", bytes(32), 0)) == [
        ("receipt", "signature_invalid"),
        ("receipt", "cbor_truncated"),
        ("block/1/002 leaf 1", "receipt_broken"),
    ]


def test_a_log_whose_entries_cannot_be_read_is_not_accused() -> None:
    """That a file is missing says nothing about receipts."""
    log, raws = log_of(3)
    held = receipt(log, 1, raws[0])
    del log.files["tile/entries/000.p/4"]
    with pytest.raises(MissingError):
        said(log, held)
