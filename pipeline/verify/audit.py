"""Comparing stored points with their leaves: whatever a store's owner altered, added or took away shows.

Pure: the caller reads the log and the store. What a leaf says is taken from tiles and bodies that were
checked against the checkpoint, so that a store cannot be excused by an altered archive.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.tiles import ReadFile, TileReader
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, parse_statement

LEAVES_PER_ENTRY = 2048
REGISTRY_SHARD = 0
WAITING_MAX = 10_000
RECENT_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class PointPlace:
    """Where a point stands in a store: at most one at each place."""

    device: str
    subject: str
    quantity: str
    time_us: int


@dataclass(frozen=True, slots=True)
class StoredValue:
    """What the store says at a place."""

    value: float
    ref: int


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as the store has it: where, what, and of which kind of sensor."""

    place: PointPlace
    value: StoredValue
    kind: str


@dataclass(frozen=True, slots=True)
class PointFinding:
    """A stored point that does not say what its device signed.

    `ref` is that of the record that was signed, or else what the stored point claims.
    """

    place: PointPlace
    reason: Reason
    signed: float | None
    stored: float | None
    ref: int


FindStored = Callable[[Sequence[PointPlace]], Mapping[PointPlace, StoredValue]]


class StoreAudit:
    """Goes through a log's entries and looks every record up in the store, and through the store as well.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        tiles: The log's tiles under a verified checkpoint.
        find: Places -> what the store says there; places it lacks are left out.
        settled: While the store is being written: refs up to this one are known to have been in it.

    Attributes:
        matched: How many stored points a leaf of their own stands for.
        settled: The largest ref that is known to be in the store.
    """

    def __init__(
        self, read: ReadFile, tiles: TileReader, find: FindStored, settled: int | None = None
    ) -> None:
        self._read = read
        self._tiles = tiles
        self._find = find
        self._later: dict[
            PointPlace, tuple[float, int]
        ] = {}  # Whose point names a later leaf, until it is read.
        self._waiting: list[PointFinding] = []  # Missing, or not written yet.
        self._registry = Registry()
        self._recent: OrderedDict[int, dict[int, dict[PointPlace, str]]] = OrderedDict()
        self._hold_back = settled is not None
        self.settled = settled or 0
        self.matched = 0

    def run(self) -> Iterator[PointFinding]:
        """Yield the findings of every entry.

        While the store is being written, what is missing is held back until something later is there: the
        store is written in the log's order, each entry whole.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
            UnavailableError: A file of the log is missing.
        """
        for entry in range(1, self._tiles.size):
            signed = {place: (value, ref) for _, place, value, ref in self._records(entry)}
            stored = self._find(list(signed))
            for place, (value, ref) in signed.items():
                yield from self._compare(place, value, ref, stored.get(place))
            if self._waiting:
                yield from self._settle()
        for place, (value, _) in self._later.items():
            for point in self._find([place]).values():
                if point.ref // LEAVES_PER_ENTRY < self._tiles.size:
                    yield PointFinding(place, Reason.POINT_UNEXPECTED, value, point.value, point.ref)

    def check_stored(self, points: Iterable[StoredPoint]) -> Iterator[PointFinding]:
        """Yield, once `run` has gone through all entries, the stored points that no record stands for.

        Points that name entries behind the checkpoint are left alone.
        """
        for point in points:
            if point.value.ref < self._tiles.size * LEAVES_PER_ENTRY and not self._is_expected(point):
                value = point.value
                yield PointFinding(point.place, Reason.POINT_UNEXPECTED, None, value.value, value.ref)

    def _is_expected(self, point: StoredPoint) -> bool:
        entry, leaf = divmod(point.value.ref, LEAVES_PER_ENTRY)
        return entry > 0 and self._kinds(entry).get(leaf, {}).get(point.place) == point.kind

    def _compare(
        self, place: PointPlace, value: float, ref: int, stored: StoredValue | None
    ) -> Iterator[PointFinding]:
        if stored is None or stored.ref < ref:
            missing = PointFinding(place, Reason.POINT_MISSING, value, stored.value if stored else None, ref)
            if not self._hold_back or ref <= self.settled:
                yield missing
            elif len(self._waiting) < WAITING_MAX:  # More of them are found the next time.
                self._waiting.append(missing)
        elif stored.ref == ref:
            self.matched += 1
            self.settled = max(self.settled, ref)
            self._later.pop(place, None)
            if stored.value != value:
                yield PointFinding(place, Reason.POINT_ALTERED, value, stored.value, ref)
        else:  # A later statement's, which is compared at its own leaf.
            self._later[place] = value, ref

    def _settle(self) -> Iterator[PointFinding]:
        """Look again for what something later than it is there of: what is missing still is missing."""
        entry = self.settled // LEAVES_PER_ENTRY
        due = [finding for finding in self._waiting if finding.ref // LEAVES_PER_ENTRY <= entry]
        self._waiting = [finding for finding in self._waiting if finding.ref // LEAVES_PER_ENTRY > entry]
        stored = self._find([finding.place for finding in due])
        for finding in due:
            now = stored.get(finding.place)
            if now is None or now.ref < finding.ref:
                yield finding
            elif now.ref == finding.ref:
                self.matched += 1  # It was written meanwhile.

    def _records(self, entry: int) -> Iterator[tuple[str, PointPlace, float, int]]:
        """Yield kind, place, value and ref of each record in an entry."""
        block = parse_signed_block(self._tiles.read_entry(entry))
        leaves, _ = read_block(self._read, block)
        unprojected = decode_manifest(leaves[0]).equivocations
        if block.shard == REGISTRY_SHARD:
            if block.height == self._registry.blocks:
                self._registry.load_block(leaves, unprojected)
            return
        for leaf, raw in enumerate(leaves[1:], 1):
            statement = parse_statement(raw)
            if statement.content_type != CONTENT_SENML or leaf in unprojected:
                continue
            key = self._registry.find(statement.issuer, statement.kid)
            for record in decode_pack(statement.payload, statement.issuer):
                place = PointPlace(statement.issuer, statement.subject, record.quantity, time_us(record))
                yield key.kind if key else "", place, record.value, entry * LEAVES_PER_ENTRY + leaf

    def _kinds(self, entry: int) -> Mapping[int, Mapping[PointPlace, str]]:
        """Return the places that each leaf of an entry has records for, with their kind."""
        known = self._recent.get(entry)
        if known is None:
            known = {}
            for kind, place, _, ref in self._records(entry):
                known.setdefault(ref % LEAVES_PER_ENTRY, {})[place] = kind
            self._recent[entry] = known
            if len(self._recent) > RECENT_ENTRIES:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(entry)
        return known
