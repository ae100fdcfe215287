"""A point store in memory, as an auditor reads it and as an intruder writes into it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cbor2

from pipeline.verify.audit import FindStored, PointPlace, StoredPoint, StoredValue
from tests.support.city import ForgedLog

LEAVES_PER_ENTRY = 2048  # Of formats.md, section 12.


@dataclass
class MemoryStore:
    """Points by kind and place."""

    points: dict[tuple[str, PointPlace], StoredValue] = field(default_factory=dict)
    looks: int = 0
    scans: int = 0

    @property
    def find(self) -> FindStored:
        return self._find

    def _find(self, places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
        self.looks += len(places)
        found: dict[PointPlace, StoredValue] = {}
        wanted = set(places)
        for (_, place), value in self.points.items():  # In the order in which series came to be.
            if place in wanted:
                found.setdefault(place, value)
        return found

    def count_below(self, ref: int) -> int:
        return sum(value.ref < ref for value in self.points.values())

    def scan(self) -> Iterator[StoredPoint]:
        self.scans += 1
        return self._all()

    def _all(self) -> Iterator[StoredPoint]:
        return (StoredPoint(place, value, kind) for (kind, place), value in list(self.points.items()))

    def beyond(self, ref: int, limit: int) -> list[StoredPoint]:
        return [point for point in self._all() if point.value.ref >= ref][:limit]

    def writers(self) -> list[str]:
        return ["user root", "group adm\n"]


def project(log: ForgedLog, store: MemoryStore, first: int = 1, end: int | None = None) -> None:
    """Write the points of a log's entries, by other decoders than the pipeline's."""
    heights: dict[int, int] = {}
    for entry, raw in enumerate(log.entries):
        if entry == 0:
            continue
        shard, height, _, _ = cbor2.loads(cbor2.loads(raw).value[0])[-70002]
        assert heights.get(shard, -1) + 1 == height
        heights[shard] = height
        if not first <= entry < (end or len(log.entries)) or shard == 0:
            continue
        body = log.files[f"block/{shard}/{height:03}"]
        for leaf, statement in enumerate(leaves_of(body)):
            if leaf:
                protected, _, payload, _ = cbor2.loads(statement).value
                claims = cbor2.loads(protected)[15]
                for place, value in places_of(claims[1], claims[2], payload):
                    store.points["air", place] = StoredValue(value, entry * LEAVES_PER_ENTRY + leaf)


def leaves_of(body: bytes) -> list[bytes]:
    """Each leaf of a body stands behind its length."""
    leaves: list[bytes] = []
    while body:
        size = int.from_bytes(body[:4], "big")
        leaves.append(body[4 : 4 + size])
        body = body[4 + size :]
    return leaves


def places_of(device: str, subject: str, payload: bytes) -> Iterator[tuple[PointPlace, float]]:
    """Where a pack's records go."""
    base = 0.0
    for record in cbor2.loads(payload):
        base = record.get(-3, base)
        time_us = round((base + record.get(6, 0)) * 1e6)
        yield PointPlace(device, subject, record[0], time_us), float(record[2])
