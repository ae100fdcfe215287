"""Comparing a store with the log: what was altered, deleted or put there fails, and nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

import cbor2
import pytest

from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import TileReader
from pipeline.verify import audit as audit_module
from pipeline.verify.audit import PointFinding, PointPlace, StoreAudit, StoredPoint, StoredValue
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, encode_pack
from tests.support.city import POLICY, Device, ForgedLog, device_in

Store = dict[PointPlace, StoredValue]
LEAVES_PER_ENTRY = 2048  # Of formats.md, section 5.


class Example:
    """A log of two devices, one of which corrected and contradicted itself, and what is stored of it."""

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.store: Store = {}
        one, two = device_in(1), device_in(2)
        for _ in range(4):
            self._add(one, [one.read(records=3), one.read(records=2)])
            self._add(two, [two.read(records=3)])
        corrected = encode_pack(one.issuer, [Record("no2", "ug/m3", 50.0, 1.8e9)])
        self._add(one, [one.read(payload=corrected)])
        evidence = encode_pack(one.issuer, [Record("no2", "ug/m3", 60.0, 1.8e9)])
        self._add(one, [one.read(sequence=one.sequence - 1, payload=evidence), one.read()], evidence=True)
        handover = two.read(content_type="application/vnd.cityproof.handover+cbor")
        self._add(two, [handover, two.read()], other=True)
        self.log.publish()

    def _add(self, device: Device, raws: list[bytes], *, evidence: bool = False, other: bool = False) -> None:
        """Add a block of readings, of which the first may be evidence or no reading at all."""
        entry = len(self.log.entries)
        self.log.add(device.shard, raws, equivocations=(1,) if evidence else ())
        skipped = int(evidence or other)
        for leaf, raw in enumerate(raws[skipped:], 1 + skipped):
            for place, value in signed(device, raw):
                self.store[place] = StoredValue(value, entry * LEAVES_PER_ENTRY + leaf)

    def audit(self, store: Mapping[PointPlace, StoredValue]) -> tuple[list[PointFinding], int]:
        """The findings, and how many points have a leaf."""
        read = self.log.files.get
        tiles = TileReader(read, open_checkpoint(self.log.files["checkpoint"], POLICY).checkpoint)

        def find(places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
            return {place: store[place] for place in places if place in store}

        audit = StoreAudit(read, tiles, find)
        return list(audit.run()), audit.matched


def signed(device: Device, raw: bytes) -> list[tuple[PointPlace, float]]:
    """Places and values of a statement's records, by another decoder."""
    payload = cbor2.loads(raw[1:])[2]
    base, found = 0.0, []
    for record in cbor2.loads(payload):
        base = record.get(-3, base)
        time_s = base + record.get(6, 0)
        place = PointPlace(device.issuer, "station-1", record[0], round(time_s * 1e6))
        found.append((place, float(record[2])))
    return found


EXAMPLE = Example()
PLACES = sorted(EXAMPLE.store, key=lambda place: (place.device, place.time_us))
CORRECTED = next(place for place in PLACES if EXAMPLE.store[place].value == 50.0)
PLAIN = next(place for place in PLACES if place != CORRECTED)


def test_a_store_that_is_what_was_signed_has_no_findings() -> None:
    """Every point has its leaf; where a later statement stands, it is the later; evidence has no point."""
    findings, matched = EXAMPLE.audit(EXAMPLE.store)
    assert findings == []
    assert matched == len(EXAMPLE.store) == 34


def test_altered_points_and_they_alone_fail() -> None:
    """Any twenty, each by the smallest step that a float knows."""
    chosen = Random(7).sample(PLACES, 20)
    store = dict(EXAMPLE.store)
    for place in chosen:
        store[place] = replace(store[place], value=math.nextafter(store[place].value, math.inf))
    findings, matched = EXAMPLE.audit(store)
    assert {finding.place for finding in findings} == set(chosen)
    assert len(findings) == 20
    for finding in findings:
        assert finding.reason is Reason.POINT_ALTERED
        assert finding.signed == EXAMPLE.store[finding.place].value
        assert finding.stored == store[finding.place].value
    assert matched == 34


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
def test_a_value_that_nobody_could_sign_is_altered_too(value: float) -> None:
    """NaN is unequal to everything."""
    store = EXAMPLE.store | {PLAIN: replace(EXAMPLE.store[PLAIN], value=value)}
    ((finding,), _) = EXAMPLE.audit(store)
    assert (finding.place, finding.reason) == (PLAIN, Reason.POINT_ALTERED)


def test_a_deleted_point_is_missing() -> None:
    """With the value that was signed."""
    store = {place: value for place, value in EXAMPLE.store.items() if place != PLAIN}
    findings, matched = EXAMPLE.audit(store)
    assert findings == [
        PointFinding(PLAIN, Reason.POINT_MISSING, EXAMPLE.store[PLAIN].value, None, EXAMPLE.store[PLAIN].ref)
    ]
    assert matched == 33


def test_deletions_at_the_end_are_missing_as_well() -> None:
    """In a store that nobody is writing nothing later has to be there."""
    last = max(value.ref for value in EXAMPLE.store.values())
    gone = {place for place, value in EXAMPLE.store.items() if value.ref == last}
    store = {place: value for place, value in EXAMPLE.store.items() if place not in gone}
    findings, matched = EXAMPLE.audit(store)
    assert {(finding.place, finding.reason) for finding in findings} == {
        (place, Reason.POINT_MISSING) for place in gone
    }
    assert matched == 34 - len(gone)


def test_an_older_statement_in_place_of_a_newer_is_missing() -> None:
    """Putting back what was superseded hides the correction."""
    older = StoredValue(20.25, LEAVES_PER_ENTRY + 1)
    findings, matched = EXAMPLE.audit(EXAMPLE.store | {CORRECTED: older})
    assert findings == [
        PointFinding(CORRECTED, Reason.POINT_MISSING, 50.0, 20.25, EXAMPLE.store[CORRECTED].ref)
    ]
    assert matched == 34  # The older one has a leaf of its own.


def test_a_point_that_names_a_leaf_that_is_not_its_own_is_unexpected() -> None:
    """A larger ref would otherwise hide it behind a statement that does not exist."""
    size = len(EXAMPLE.log.entries)
    for ref in (EXAMPLE.store[PLAIN].ref + 1, (size - 1) * LEAVES_PER_ENTRY + 1, size * LEAVES_PER_ENTRY - 1):
        findings, matched = EXAMPLE.audit(EXAMPLE.store | {PLAIN: StoredValue(1.0, ref)})
        signed_value = EXAMPLE.store[PLAIN].value
        assert findings == [PointFinding(PLAIN, Reason.POINT_UNEXPECTED, signed_value, 1.0, ref)]
        assert matched == 33


def test_a_point_of_a_statement_that_is_not_published_yet_is_left_alone() -> None:
    """The store may be ahead of the checkpoint; the next audit will look at it."""
    newer = StoredValue(1.0, len(EXAMPLE.log.entries) * LEAVES_PER_ENTRY + 1)
    findings, matched = EXAMPLE.audit(EXAMPLE.store | {PLAIN: newer})
    assert (findings, matched) == ([], 33)


def test_an_inserted_point_has_no_leaf() -> None:
    """It is not found at any record's place; that it is there shows in the count."""
    inserted = replace(PLAIN, time_us=PLAIN.time_us + 1)
    store = EXAMPLE.store | {inserted: EXAMPLE.store[PLAIN]}
    findings, matched = EXAMPLE.audit(store)
    assert findings == []
    assert len(store) - matched == 1


def test_a_damaged_log_accuses_no_store() -> None:
    """Bodies and entries are checked against the checkpoint first."""
    files = EXAMPLE.log.files
    body = files["block/1/001"]
    read = (files | {"block/1/001": body[:-1] + bytes([body[-1] ^ 1])}).get
    tiles = TileReader(read, open_checkpoint(files["checkpoint"], POLICY).checkpoint)
    with pytest.raises(VerificationError) as refused:
        list(StoreAudit(read, tiles, lambda _places: {}).run())
    assert refused.value.reason is Reason.BLOCK_ROOT
    gone = {path: data for path, data in files.items() if path != "block/1/001"}.get
    tiles = TileReader(gone, open_checkpoint(files["checkpoint"], POLICY).checkpoint)
    with pytest.raises(UnavailableError):
        list(StoreAudit(gone, tiles, lambda _places: {}).run())


# While the store is being written


class Growing:
    """A log of one device, two statements of two records an entry, and a store that is being written."""

    def __init__(self, entries: int) -> None:
        self.log = ForgedLog()
        device = device_in(1)
        self.signed: dict[int, Store] = {}
        for entry in range(1, entries + 1):
            raws = [device.read(records=2), device.read(records=2)]
            self.log.add(1, raws)
            self.signed[entry] = {
                place: StoredValue(value, entry * LEAVES_PER_ENTRY + leaf)
                for leaf, raw in enumerate(raws, 1)
                for place, value in signed(device, raw)
            }
        self.log.publish()
        self.store: Store = {}
        self.looks = 0
        self.read_bodies: list[str] = []

    def audit(self, settled: int | None, *writes: Callable[[], None]) -> StoreAudit:
        """An audit; before its nth look into the store the nth write happens."""

        def find(places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
            if self.looks < len(writes):
                writes[self.looks]()
            self.looks += 1
            return {place: self.store[place] for place in places if place in self.store}

        checkpoint = open_checkpoint(self.log.files["checkpoint"], POLICY).checkpoint
        return StoreAudit(self._read, TileReader(self._read, checkpoint), find, settled)

    def _read(self, path: str) -> bytes | None:
        if path.startswith("block/"):
            self.read_bodies.append(path)
        return self.log.files.get(path)


def test_what_is_not_there_at_first_is_looked_for_again() -> None:
    """It is missing, once, if it is not there behind something later, or only as it was before."""
    growing = Growing(3)
    right, gone, put_back, corrected = growing.signed[1]
    first, _, *last = growing.signed[2]  # Whose second statement nobody has written yet.

    def write() -> None:
        growing.store |= growing.signed[1] | growing.signed[2]
        for place in (gone, *last):
            del growing.store[place]
        growing.store[put_back] = StoredValue(1.0, 5)
        growing.store[corrected] = StoredValue(1.0, 3 * LEAVES_PER_ENTRY + 1)

    def write_on() -> None:
        growing.store |= growing.signed[3]

    audit = growing.audit(0, lambda: None, write, lambda: None, write_on)
    findings = list(audit.run())
    assert [(finding.place, finding.reason) for finding in findings] == [
        (gone, Reason.POINT_MISSING),
        (put_back, Reason.POINT_MISSING),
        *((place, Reason.POINT_MISSING) for place in last),
    ]
    assert {right, first} < growing.store.keys()
    assert audit.matched == 1 + 2 + 4
    assert audit.settled == 3 * LEAVES_PER_ENTRY + 2


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store that lacks more than that, some is told at once, and the rest by a later audit."""
    monkeypatch.setattr(audit_module, "WAITING_MAX", 3)
    growing = Growing(2)
    growing.store |= growing.signed[2]
    assert [finding.place for finding in growing.audit(0).run()] == list(growing.signed[1])[:3]


def test_what_was_there_once_needs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the ref that is known to have been written, what is not there was taken away."""
    monkeypatch.setattr(audit_module, "WAITING_MAX", 0)
    growing = Growing(2)
    growing.store |= growing.signed[1]
    last = max(value.ref for value in growing.signed[2].values())
    assert [finding.place for finding in growing.audit(last).run()] == list(growing.signed[2])


def test_what_is_written_late_is_counted() -> None:
    """As if it had been there at the first look."""
    growing = Growing(2)

    def write() -> None:
        growing.store |= growing.signed[1] | growing.signed[2]

    audit = growing.audit(0, lambda: None, write)
    assert list(audit.run()) == []
    assert audit.matched == 8


# Through the store


def stored(place: PointPlace, value: StoredValue) -> StoredPoint:
    """A point of a device that nobody has enrolled: its kind is not known."""
    return StoredPoint(place, value, "")


def test_points_of_the_first_entry_and_behind_the_last_are_no_surprise() -> None:
    """A record of entry 1 stands for its point; what names an entry behind the checkpoint is left alone."""
    growing = Growing(2)
    places = [*growing.signed[1].items(), *growing.signed[2].items()]
    audit = growing.audit(None)
    behind = 3 * LEAVES_PER_ENTRY
    ahead = StoredValue(1.0, behind)
    assert list(audit.check_stored([*(stored(*each) for each in places), stored(places[0][0], ahead)])) == []
    for ref in (behind - 1, LEAVES_PER_ENTRY - 1, 0, -1):
        (finding,) = audit.check_stored([stored(places[0][0], StoredValue(1.0, ref))])
        assert finding == PointFinding(places[0][0], Reason.POINT_UNEXPECTED, None, 1.0, ref)


def test_entries_are_read_once_while_they_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not asked for the longest is forgotten first."""
    monkeypatch.setattr(audit_module, "RECENT_ENTRIES", 2)
    growing = Growing(3)
    points = {entry: stored(*next(iter(growing.signed[entry].items()))) for entry in (1, 2, 3)}
    audit = growing.audit(None)
    assert list(audit.check_stored(points[entry] for entry in (1, 1, 2, 1, 3, 1, 3, 2))) == []
    assert growing.read_bodies == ["block/1/000", "block/1/001", "block/1/002", "block/1/001"]
