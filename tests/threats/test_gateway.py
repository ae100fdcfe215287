"""A gateway between devices and city: what it drops is known exactly, and filled by the true ones only."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from random import Random

import pytest

from pipeline.log.receipt import check_receipt
from pipeline.verify.completeness import Closing, Opening, SignerStatements, Span
from pipeline.verify.fsck import LogCheck
from pipeline.verify.monitor import Monitor, Patience
from pipeline.wire.statement import parse_statement
from tests.support.city import AUTHORITIES, LOG, NOW_MS, ORIGIN, POLICY, Device, ForgedLog, device_in, enrol
from tests.threats.operator import receipt_of

NOW_S = NOW_MS // 1000
STATEMENTS = 1000  # Of one device, a second apart.
A_BLOCK = 50
DROPPED = 50  # 5 %

Ranges = list[tuple[int, int]]


class City:
    """A log that takes in what comes, and a monitor that follows it."""

    def __init__(self, *devices: Device) -> None:
        self.log = ForgedLog()
        self.log.enrol(*(enrol(device, number) for number, device in enumerate(devices)))
        self.files: dict[str, bytes] = {}
        self.monitor = Monitor(self._read, POLICY, AUTHORITIES, Patience(skew_s=10**9))

    def _read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def take(self, raws: Sequence[bytes], at_s: int) -> list[bytes]:
        """Take statements into a block, and return their receipts."""
        at_ms = NOW_MS + 1000 * at_s
        manifest = self.log.add(1, raws, arrival_first_ms=at_ms, arrival_last_ms=at_ms)
        body = self.log.files[f"block/1/{manifest.height:03}"]
        return [receipt_of(self.log.entries[-1], body, leaf) for leaf in range(1, len(raws) + 1)]

    def look(self, at_s: int) -> list[str]:
        """Publish, and return what the monitor says when it looks."""
        self.log.publish(time_s=NOW_S + at_s)
        self.files = dict(self.log.files)
        self.monitor.look(NOW_S + at_s)
        while self.monitor.advance(NOW_S + at_s):
            pass
        return sorted(
            f"{'over ' if report.over else ''}{report.reason.value} {report.where}"
            for report in self.monitor.reports.take()
        )


class Outbox:
    """A device's: what it has signed, and has no receipt for."""

    def __init__(self, device: Device) -> None:
        self.signed = [device.read() for _ in range(STATEMENTS)]
        self.waiting = {leaf(raw): raw for raw in self.signed}

    def hear(self, raws: Sequence[bytes], receipts: Sequence[bytes]) -> None:
        """Let go of what a receipt covers."""
        for raw, receipt in zip(raws, receipts, strict=True):
            check_receipt(receipt, leaf(raw), origin=ORIGIN, public_key=LOG.signer.public_key)
            del self.waiting[leaf(raw)]


def leaf(raw: bytes) -> bytes:
    """A statement's leaf hash."""
    return sha256(b"\0" + raw).digest()


def ranges(sequences: Sequence[int]) -> Ranges:
    """The runs of a sorted list, first and last."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(sequences), lambda pair: pair[1] - pair[0])]
    return [(run[0], run[-1]) for run in runs]


def said(device: Device, missing: Ranges) -> Iterator[str]:
    """What a monitor says of these."""
    for first, last in missing:
        which = f"sequence {first}" if first == last else f"sequences {first} to {last}"
        yield f"sequence_missing {device.issuer} epoch 1 {which}"


def shown(device: Device, raws: Sequence[bytes]) -> SignerStatements:
    """What a device's own chain says of these statements, in their order."""
    signer = SignerStatements(device.issuer)
    for raw in raws:
        statement = parse_statement(raw)
        at_us = statement.sequence * 1_000_000
        signer.add(1, statement.sequence, statement.previous, leaf(raw), at_us, at_us)
    return signer


@pytest.mark.parametrize("seed", range(3))
def test_five_percent_dropped_are_the_exact_gaps_and_are_filled(seed: int) -> None:
    """Three see the same: the outbox by receipts that do not come, the monitor, and the device's own chain.

    What is sent again fills them, and all is well; the log was never at fault.
    """
    device = device_in(1)
    outbox, city = Outbox(device), City(device)
    dropped = sorted(Random(seed).sample(range(1, STATEMENTS - 1), DROPPED))
    passed = [raw for sequence, raw in enumerate(outbox.signed) if sequence not in set(dropped)]
    for first in range(0, len(passed), A_BLOCK):
        block = passed[first : first + A_BLOCK]
        outbox.hear(block, city.take(block, at_s=0))

    missing = ranges(dropped)
    assert [parse_statement(raw).sequence for raw in outbox.waiting.values()] == dropped
    assert city.look(61) == sorted(said(device, missing))
    whole = Span(1_000_000, (STATEMENTS - 1) * 1_000_000)
    gaps = shown(device, passed).over(whole).gaps
    assert [(gap.first, gap.last) for gap in gaps] == missing
    assert [gap.last_hash for gap in gaps] == [leaf(outbox.signed[last]) for _, last in missing]

    late = list(outbox.waiting.values())
    outbox.hear(late, city.take(late, at_s=62))
    assert outbox.waiting == {}
    assert city.look(63) == sorted(f"over {line}" for line in said(device, missing))
    assert city.monitor.standing == []
    filled = shown(device, [*passed, *late]).over(whole)
    assert (filled.gaps, filled.breaks) == ((), ())
    assert (filled.opening, filled.closing) == (Opening.BRACKETED, Closing.BRACKETED)
    assert list(LogCheck(city.files.get, POLICY, AUTHORITIES).run()) == []


def test_a_gap_is_not_filled_by_anything_else() -> None:
    """Even by the device's own key: what stands there is not what the next statement names."""
    device = device_in(1)
    signed = [device.read() for _ in range(5)]
    other = Device(int(device.issuer.rsplit("-", 1)[1])).read(sequence=2, previous=leaf(signed[1]), records=2)
    whole = Span(1_000_000, 4_000_000)
    assert shown(device, [*signed[:2], signed[2], *signed[3:]]).over(whole).unbroken
    filled = shown(device, [*signed[:2], *signed[3:], other]).over(whole)
    assert filled.gaps == ()
    assert [place.sequence for place in filled.breaks] == [3]
    assert not filled.unbroken


def test_what_is_only_late_is_no_gap() -> None:
    """A gateway that holds statements back for less than a minute, in any order, is not complained of."""
    device = device_in(1)
    city, signed = City(device), [device.read() for _ in range(100)]
    order = Random(1).sample(range(100), 100)
    for turn in range(10):
        city.take([signed[n] for n in order[10 * turn : 10 * turn + 10]], at_s=5 * turn)
        assert city.look(5 * turn + 1) == []
    assert city.look(200) == []
