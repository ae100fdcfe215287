"""Auditing for good: every alteration, deletion and insertion is told, once, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.tiles import TileReader
from pipeline.verify import store_watch
from pipeline.verify.audit import PointPlace, StoreAudit, StoredValue
from pipeline.verify.store_watch import StoreWatch
from pipeline.wire.finding import COUNTER_MAX, Finding, decode_finding, encode_finding
from tests.support.city import NOW_MS, POLICY, ForgedLog, device_in, enrol
from tests.support.stored_points import LEAVES_PER_ENTRY, MemoryStore, project

BLOCKS = 12
PATIENCE_S = 60
Told = set[tuple[str, PointPlace]]


class Watched:
    """A log, a store of it, and who watches both."""

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.devices = [device_in(1), device_in(2), device_in(1, 1)]
        self.log.enrol(*(enrol(device, number) for number, device in enumerate(self.devices)))
        self.store = MemoryStore()
        self.watch = StoreWatch([], 0, PATIENCE_S)
        self.now_ms = NOW_MS
        self.grow(BLOCKS)
        project(self.log, self.store)

    def grow(self, blocks: int, time_s: int | None = None) -> None:
        """Add blocks to the log, and publish it."""
        for number in range(blocks):
            device = self.devices[number % 3]
            self.log.add(device.shard, [device.read(records=5) for _ in range(5)])
        self.log.publish(time_s=time_s or self.now_ms // 1000)

    def opened(self) -> OpenedCheckpoint:
        return open_checkpoint(self.log.files["checkpoint"], POLICY)

    def sweep(self, after_s: int = 2) -> list[Finding]:
        """Look again, somewhat later."""
        self.now_ms += after_s * 1000
        opened = self.opened()
        read = self.log.files.get
        audit = StoreAudit(read, TileReader(read, opened.checkpoint), self.store.find, self.watch.settled)
        return self.watch.sweep(audit, self.store, opened, self.now_ms)


def told(findings: list[Finding]) -> Told:
    """Reasons and places."""
    return {(finding.reason.value, PointPlace(*finding.place)) for finding in findings}


def test_what_is_as_it_was_signed_is_never_told() -> None:
    """Sweep after sweep, while log and store grow."""
    watched = Watched()
    for _ in range(4):
        assert watched.sweep() == []
        before = len(watched.log.entries)
        watched.grow(3)
        project(watched.log, watched.store, before)
    assert watched.sweep() == []
    assert len(watched.store.points) == (BLOCKS + 12) * 25


def alter(store: MemoryStore, chance: Random) -> tuple[str, PointPlace]:
    """Another value for a point."""
    key = chance.choice(list(store.points))
    old = store.points[key]
    lie: Any = chance.choice([0.001, -old.ref, float("nan"), float("-inf"), "none", 1e300])
    store.points[key] = replace(old, value=lie)
    return "point_altered", key[1]


def delete(store: MemoryStore, chance: Random) -> tuple[str, PointPlace]:
    """No point where there was one."""
    key = chance.choice(list(store.points))
    del store.points[key]
    return "point_missing", key[1]


def insert(store: MemoryStore, chance: Random) -> tuple[str, PointPlace]:
    """A point that nobody signed: between others, of other names, of another kind, with any ref."""
    (_, place), value = chance.choice(list(store.points.items()))
    way = chance.randrange(5)
    if way == 0:
        place, kind = replace(place, time_us=place.time_us + chance.randrange(1, 10**6)), "air"
    elif way == 1:
        place, kind = replace(place, quantity=f"o{chance.random()}"), "air"
    elif way == 2:
        place, kind = replace(place, device=f"urn:dev:ops:32473-ghost-{chance.random()}"), "air"
    elif way == 3:
        kind = f"water{chance.random()}"  # The same names, but in a series of its own.
    else:
        place, kind = replace(place, time_us=place.time_us + chance.randrange(1, 10**6)), "air"
        value = replace(value, ref=chance.choice([-1, 0, 5, value.ref + 1, LEAVES_PER_ENTRY]))
    store.points[kind, place] = value
    return "point_unexpected", place


@pytest.mark.parametrize("change", [alter, delete, insert])
@pytest.mark.parametrize("seed", range(4))
def test_every_random_change_is_told_and_no_other(
    change: Callable[[MemoryStore, Random], tuple[str, PointPlace]], seed: int
) -> None:
    """25 of 25 in each of four stores: 100 of 100 of each kind; all by the next sweep, and once."""
    watched = Watched()
    assert watched.sweep() == []
    chance = Random(seed)
    changed: Told = set()
    while len(changed) < 25:
        changed.add(change(watched.store, chance))
    findings = watched.sweep()
    assert told(findings) == changed
    assert len(findings) == 25
    for finding in findings:
        assert finding.noticed_ms == watched.now_ms
        assert finding.unnoticed_ms == watched.now_ms - 2000
        assert finding.credentials == ("user root", "group adm?")
        assert decode_finding(encode_finding(finding)) == finding
    assert watched.sweep() == []


def test_all_kinds_of_changes_at_once_are_told_apart() -> None:
    """Changes of different points do not hide one another."""
    watched = Watched()
    watched.sweep()
    chance = Random(99)
    expected: Told = set()
    for change in (alter, delete, insert) * 5:
        reason, place = change(watched.store, chance)
        expected = {item for item in expected if item[1] != place} | {(reason, place)}
    assert told(watched.sweep()) >= {item for item in expected if item[0] != "point_altered"}


def test_what_is_mended_and_altered_again_is_told_again() -> None:
    """And what is altered once more meanwhile."""
    watched = Watched()
    watched.sweep()
    key = next(iter(watched.store.points))
    right = watched.store.points[key]
    for lie in (1.0, 2.0):
        watched.store.points[key] = replace(right, value=lie)
        (finding,) = watched.sweep()
        assert (finding.signed, finding.stored) == (right.value, lie)
    watched.store.points[key] = right
    assert watched.sweep() == []
    watched.store.points[key] = replace(right, value=2.0)
    assert len(watched.sweep()) == 1


def test_an_auditor_that_begins_again_tells_nothing_twice() -> None:
    """What it has stated it knows."""
    watched = Watched()
    watched.sweep()
    chance = Random(3)
    for change in (alter, delete, insert):
        change(watched.store, chance)
    known = watched.sweep()
    assert len(known) == 3
    watched.watch = StoreWatch(known, watched.watch.settled, PATIENCE_S)
    assert watched.sweep() == []
    change_reason, place = delete(watched.store, chance)
    (finding,) = watched.sweep()
    assert told([finding]) == {(change_reason, place)}
    assert finding.unnoticed_ms is not None


def test_of_an_emptied_store_the_log_hears_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number at a look, each of them once, until all are told."""
    monkeypatch.setattr(store_watch, "FINDINGS_MAX", 120)
    watched = Watched()
    watched.sweep()
    places = {place for _, place in watched.store.points}
    watched.store.points.clear()
    looks = [told(watched.sweep()) for _ in range(4)]
    assert [len(look) for look in looks] == [120, 120, 60, 0]
    assert set().union(*looks) == {("point_missing", place) for place in places}


# While the store is being written


def test_a_store_that_lags_behind_the_log_misses_nothing() -> None:
    """The projector may be hours behind; what is missing counts once something later is there."""
    watched = Watched()
    watched.sweep()
    before = len(watched.log.entries)
    watched.grow(6)
    for written in range(before, len(watched.log.entries)):
        assert watched.sweep(3600) == []
        project(watched.log, watched.store, written, written + 1)
    assert watched.sweep() == []


def test_a_deletion_right_after_the_writing_is_told() -> None:
    """Something later is there: what is missing was written and taken away again; all else is found."""
    watched = Watched()
    watched.sweep()
    before = len(watched.log.entries)
    watched.grow(3)
    project(watched.log, watched.store, before)
    new = [key for key, value in watched.store.points.items() if value.ref // LEAVES_PER_ENTRY == before]
    for key in new[:2]:
        del watched.store.points[key]
    findings = watched.sweep()
    assert told(findings) == {("point_missing", place) for _, place in new[:2]}
    assert watched.sweep() == []


def test_a_deletion_at_the_end_is_told_without_anything_later() -> None:
    """What was in the store once is known to have been written, also after a restart."""
    watched = Watched()
    watched.sweep()
    last = max(watched.store.points, key=lambda key: watched.store.points[key].ref)
    entry = watched.store.points[last].ref // LEAVES_PER_ENTRY
    for key in [key for key, v in watched.store.points.items() if v.ref // LEAVES_PER_ENTRY == entry]:
        del watched.store.points[key]
    watched.watch = StoreWatch([], watched.watch.settled, PATIENCE_S)
    findings = watched.sweep()
    assert {finding.reason.value for finding in findings} == {"point_missing"}
    assert len(findings) == 25


def test_what_is_written_between_two_looks_is_not_missing() -> None:
    """The projector writes an entry right after it was looked for, and the next one before that is."""
    watched = Watched()
    watched.sweep()
    before = len(watched.log.entries)
    watched.grow(2)
    whole = watched.store._find

    def late(places: Any) -> Any:
        found = whole(places)
        if any(place.time_us >= newest for place in places):
            project(watched.log, watched.store)  # Both entries, behind the first one's look.
        return found

    newest = 1 + max(place.time_us for _, place in watched.store.points)
    watched.store._find = late  # type: ignore[method-assign]
    assert watched.sweep() == []
    assert before < len(watched.log.entries)


def test_points_ahead_of_the_checkpoint_have_their_time() -> None:
    """The store may be ahead; but not for longer than a checkpoint is promised, if one has come since."""
    watched = Watched()
    watched.sweep()
    ahead = len(watched.log.entries)
    watched.grow(1)
    project(watched.log, watched.store, ahead)
    log = watched.log
    published = dict(log.files)
    old = ForgedLog()
    old.entries = log.entries[:ahead]
    old.publish(time_s=watched.now_ms // 1000)
    log.files |= old.files  # As if the last entry were under no checkpoint yet.
    for _ in range(3):
        assert watched.sweep(600) == [], "witnesses may be down for hours"
    log.files |= published
    assert watched.sweep() == []


def test_an_invention_behind_the_log_is_told_after_that_time() -> None:
    """A ref that no entry will ever have hides nothing for long."""
    watched = Watched()
    watched.sweep()
    place = PointPlace("urn:dev:ops:32473-air-0", "station-1", "no2", 1)
    watched.store.points["air", place] = StoredValue(1.0, 2**40)
    assert watched.sweep() == []
    watched.grow(1, watched.now_ms // 1000 + PATIENCE_S)
    assert watched.sweep() == []
    watched.grow(1, watched.now_ms // 1000 + PATIENCE_S + 2)
    assert told(watched.sweep()) == {("point_unexpected", place)}


def test_a_finding_says_what_the_store_says() -> None:
    """Nothing, a number, or in words what is none; and the leaf that it names, where that can be said."""
    watched = Watched()
    watched.sweep()
    (kind, place), value = next(iter(watched.store.points.items()))
    lies = [(1.5, value.ref), (float("nan"), value.ref), (2.5, 5), (2.5, -1), (None, None)]
    told_of: list[Any] = []
    for number, ref in lies:
        if number is None:
            del watched.store.points[kind, place]
        else:
            watched.store.points[kind, place] = StoredValue(number, ref or 0)
        told_of.append({(each.reason.value, each.stored, each.ref) for each in watched.sweep()})
    leaf = divmod(value.ref, LEAVES_PER_ENTRY)
    assert told_of == [
        {("point_altered", 1.5, leaf)},
        {("point_altered", "nan", leaf)},
        {("point_missing", 2.5, leaf), ("point_unexpected", 2.5, (0, 5))},
        {("point_unexpected", 2.5, None)},  # That the right one is missing is known.
        {("point_missing", None, leaf)},
    ]


@pytest.mark.parametrize(("entry", "named"), [(COUNTER_MAX, True), (COUNTER_MAX + 1, False)])
def test_a_finding_names_entries_up_to_the_largest_counter(entry: int, named: bool) -> None:
    """No larger number can be written."""
    watched = Watched()
    place = PointPlace("urn:dev:ops:32473-air-0", "station-1", "no2", 1)
    watched.store.points["air", place] = StoredValue(1.0, entry * LEAVES_PER_ENTRY + 1)
    watched.sweep()
    watched.grow(1, watched.now_ms // 1000 + PATIENCE_S + 2)
    (finding,) = watched.sweep()
    assert finding.ref == ((entry, 1) if named else None)


def test_the_store_is_gone_through_only_if_it_holds_more_than_is_explained() -> None:
    """A point that names a later leaf is found from the log's side; only one at a place of its own is not."""
    watched = Watched()
    key = min(watched.store.points, key=lambda key: watched.store.points[key].ref)
    watched.store.points[key] = replace(watched.store.points[key], ref=BLOCKS * LEAVES_PER_ENTRY)
    assert told(watched.sweep()) == {("point_unexpected", key[1])}
    assert watched.store.scans == 0
    watched.store.points["air", replace(key[1], quantity="o3")] = StoredValue(1.0, LEAVES_PER_ENTRY)
    assert len(watched.sweep()) == 1
    assert watched.store.scans == 1
