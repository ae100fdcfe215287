"""Comparing stored points with their leaves: whatever a store's owner altered, added or took away shows.

Pure: the caller reads the log and the store. What a leaf says is taken from tiles and bodies that were
checked against the checkpoint, so that a store cannot be excused by an altered archive.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.tiles import ReadFile, TileReader
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, parse_statement

LEAVES_PER_ENTRY = 2048


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
class PointFinding:
    """A stored point that does not say what its device signed."""

    place: PointPlace
    reason: Reason
    signed: float | None
    stored: float | None


FindStored = Callable[[Sequence[PointPlace]], Mapping[PointPlace, StoredValue]]


class StoreAudit:
    """Goes through a log's entries and looks every record up in the store.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        tiles: The log's tiles under a verified checkpoint.
        find: Places -> what the store says there; places it lacks are left out.
    """

    def __init__(self, read: ReadFile, tiles: TileReader, find: FindStored) -> None:
        self._read = read
        self._tiles = tiles
        self._find = find
        self._later: dict[PointPlace, float] = {}  # Whose point names a later leaf, until that leaf is read.
        self.matched = 0

    def run(self) -> Iterator[PointFinding]:
        """Yield the findings of every entry. `matched` counts the points that a leaf of their own stands for.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
            UnavailableError: A file of the log is missing.
        """
        for entry in range(1, self._tiles.size):
            signed = dict(self._records(entry))
            stored = self._find(list(signed))
            for place, (value, ref) in signed.items():
                yield from self._compare(place, value, ref, stored.get(place))
        for place, value in self._later.items():
            for point in self._find([place]).values():
                if point.ref // LEAVES_PER_ENTRY < self._tiles.size:
                    yield PointFinding(place, Reason.POINT_UNEXPECTED, value, point.value)

    def _compare(
        self, place: PointPlace, value: float, ref: int, stored: StoredValue | None
    ) -> Iterator[PointFinding]:
        if stored is None:
            yield PointFinding(place, Reason.POINT_MISSING, value, None)
        elif stored.ref == ref:
            self.matched += 1
            self._later.pop(place, None)
            if stored.value != value:
                yield PointFinding(place, Reason.POINT_ALTERED, value, stored.value)
        elif stored.ref < ref:
            yield PointFinding(place, Reason.POINT_MISSING, value, stored.value)
        else:  # A later statement's, which is compared at its own leaf.
            self._later[place] = value

    def _records(self, entry: int) -> Iterator[tuple[PointPlace, tuple[float, int]]]:
        block = parse_signed_block(self._tiles.read_entry(entry))
        leaves, _ = read_block(self._read, block)
        unprojected = decode_manifest(leaves[0]).equivocations
        for leaf, raw in enumerate(leaves[1:], 1):
            statement = parse_statement(raw)
            if statement.content_type != CONTENT_SENML or leaf in unprojected:
                continue
            for record in decode_pack(statement.payload, statement.issuer):
                place = PointPlace(statement.issuer, statement.subject, record.quantity, time_us(record))
                yield place, (record.value, entry * LEAVES_PER_ENTRY + leaf)
