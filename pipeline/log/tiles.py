"""The log as static files (C2SP tlog-tiles v0.1.0): which there are, what is in them, how they are read.

A tile holds up to 256 hashes of one level of the tree, and each level of tiles is eight levels of the tree.
The last tile of a level is partial until it is full; an entry bundle holds the entries of a level 0 tile.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.log.checkpoint import Checkpoint
from pipeline.log.merkle import EMPTY_ROOT, HASH_SIZE, BlockTree, hash_leaf, hash_leaves, root_of
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
ENTRY_SIZE_MAX = 0xFFFF  # The bundle's length field has two bytes.
CHECKPOINT_PATH = "checkpoint"

_CACHED_TILES_MAX = 64  # About 2 MB; a path needs one tile a level.
_LENGTH_SIZE = 2

ReadFile = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's place: level, index within the level, and how many hashes it holds (1 to 256)."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Path under the log's prefix."""
        return tile_path(self.level, self.index, self.width)


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return `tile/<L>/<N>`, with `.p/<W>` for a partial tile."""
    return f"tile/{level}/{_number_path(index)}{_width_suffix(width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return `tile/entries/<N>`, with `.p/<W>` for a partial bundle."""
    return f"tile/entries/{_number_path(index)}{_width_suffix(width)}"


def block_path(shard: int, height: int) -> str:
    """Return where the body of a block is archived: `block/<shard>/<height in groups of three digits>`."""
    return f"block/{shard}/{_number_path(height)}"


def edge_tiles(size: int) -> list[Tile]:
    """Return the partial tiles of a tree of this size, lowest level first: its root follows from them."""
    return [
        Tile(level, size >> TILE_HEIGHT * (level + 1), width)
        for level in range(_levels(size))
        if (width := (size >> TILE_HEIGHT * level) % TILE_WIDTH)
    ]


def tiles_between(size1: int, size2: int) -> Iterator[Tile]:
    """Yield the tiles to write when the tree grows from size1 to size2: those full now, and the partial."""
    level = 0
    while (count := size2 >> TILE_HEIGHT * level) > (before := size1 >> TILE_HEIGHT * level):
        last, width = divmod(count, TILE_WIDTH)
        yield from (Tile(level, index, TILE_WIDTH) for index in range(before // TILE_WIDTH, last))
        if width:
            yield Tile(level, last, width)
        level += 1


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Return the entry bundle: each entry after its length as two bytes, big-endian."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(_LENGTH_SIZE, "big"), entry))


def parse_entries(data: bytes) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        VerificationError: TILE_SHAPE, where the framing is broken or there are not 1 to 256 entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < TILE_WIDTH:
        start = at + _LENGTH_SIZE
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if not entries or at != len(data):
        raise VerificationError(
            Reason.TILE_SHAPE, "a bundle's framing is broken, or it holds none or over 256"
        )
    return entries


class TileReader:
    """Reads hashes and entries out of tiles; nothing unproved leaves it.

    Opening reads the partial tiles, from which the checkpoint's root must follow. Any other tile is accepted
    once its hash stands in the tile above it. Keeps a bounded number of tiles.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        checkpoint: A checkpoint the caller has verified.

    Raises:
        VerificationError: TILE_SHAPE, ROOT_MISMATCH; so do all methods.
        MissingError: A file is missing; so do all methods.
    """

    def __init__(self, read: ReadFile, checkpoint: Checkpoint) -> None:
        self.size = checkpoint.size
        self._read = read
        self._edge = {tile.level: BlockTree(self._load(tile)) for tile in edge_tiles(self.size)}
        self._full: OrderedDict[tuple[int, int], BlockTree] = OrderedDict()
        root = _edge_root([tree.levels[0] for tree in self._edge.values()])
        if root != checkpoint.root:
            raise VerificationError(Reason.ROOT_MISMATCH, f"partial tiles at size {self.size}")

    def read_hash(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree `index` at a level of the tree (a `merkle.ReadHash`).

        Raises:
            VerificationError: also INDEX_OUTSIDE, where the tree does not hold that subtree.
        """
        if not 0 <= index < self.size >> level:
            raise VerificationError(Reason.INDEX_OUTSIDE, f"subtree {index} at level {level} of {self.size}")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, place = divmod(index, TILE_WIDTH >> height)
        return self._tile(tile_level, tile_index).levels[height][place]

    def read_entries(self, index: int) -> list[bytes]:
        """Return the entries of bundle `index`, each of them checked against its leaf hash.

        Raises:
            VerificationError: also INDEX_OUTSIDE.
        """
        entries = self._load_entries(index)
        if hash_leaves(entries) != list(self._tile(0, index).levels[0]):
            raise VerificationError(Reason.ROOT_MISMATCH, f"an entry of {entries_path(index)}")
        return entries

    def read_entry(self, index: int) -> bytes:
        """Return entry `index`, checked against its leaf hash.

        Raises:
            VerificationError: also INDEX_OUTSIDE.
        """
        leaf_hash = self.read_hash(0, index)
        bundle, place = divmod(index, TILE_WIDTH)
        entry = self._load_entries(bundle)[place]
        if hash_leaf(entry) != leaf_hash:
            raise VerificationError(Reason.ROOT_MISMATCH, f"entry {index}")
        return entry

    def edge_hashes(self, level: int) -> list[bytes]:
        """Return the hashes of the level's partial tile; none where its last tile is full."""
        tree = self._edge.get(level)
        return list(tree.levels[0]) if tree else []

    def _tile(self, level: int, index: int) -> BlockTree:
        if index == self.size >> TILE_HEIGHT * (level + 1):
            return self._edge[level]
        tree = self._full.get((level, index))
        if tree is None:
            tree = BlockTree(self._load(Tile(level, index, TILE_WIDTH)))
            if tree.root != self.read_hash(TILE_HEIGHT * (level + 1), index):
                raise VerificationError(Reason.ROOT_MISMATCH, tile_path(level, index))
            self._full[level, index] = tree
            if len(self._full) > _CACHED_TILES_MAX:
                self._full.popitem(last=False)
        else:
            self._full.move_to_end((level, index))
        return tree

    def _load(self, tile: Tile) -> list[bytes]:
        data = self._load_file(tile.path, tile_path(tile.level, tile.index))
        if len(data) not in {HASH_SIZE * tile.width, HASH_SIZE * TILE_WIDTH}:
            raise VerificationError(Reason.TILE_SHAPE, f"{tile.path}: {len(data)} bytes")
        return [data[at : at + HASH_SIZE] for at in range(0, HASH_SIZE * tile.width, HASH_SIZE)]

    def _load_entries(self, index: int) -> list[bytes]:
        width = min(TILE_WIDTH, self.size - index * TILE_WIDTH)
        if index < 0 or width <= 0:
            raise VerificationError(Reason.INDEX_OUTSIDE, f"bundle {index} of a log of size {self.size}")
        entries = parse_entries(self._load_file(entries_path(index, width), entries_path(index)))
        if len(entries) not in {width, TILE_WIDTH}:
            raise VerificationError(
                Reason.TILE_SHAPE, f"{entries_path(index, width)}: {len(entries)} entries"
            )
        return entries[:width]

    def _load_file(self, path: str, full_path: str) -> bytes:
        """Read a file; a partial one may be gone once there is the full one, which begins the same."""
        data = self._read(path)
        if data is None and full_path != path:
            data = self._read(full_path)
        if data is None:
            raise MissingError(path)
        return data


class TileAppender:
    """Appends entries and says which files to write. Holds the partial tiles and the partial bundle only."""

    __slots__ = ("_entries", "_rows", "size")

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[list[bytes]] = []  # Per level the hashes of its partial tile.
        self._entries: list[bytes] = []  # Entries of the partial bundle.

    @classmethod
    def resume(cls, read: ReadFile, checkpoint: Checkpoint) -> Self:
        """Return the appender of a log whose files are there, checked against its checkpoint.

        Reads `edge_paths(checkpoint.size)` and nothing else.

        Raises:
            VerificationError: TILE_SHAPE, ROOT_MISMATCH.
            MissingError: A file is missing.
        """
        reader = TileReader(read, checkpoint)
        appender = cls()
        appender.size = checkpoint.size
        appender._rows = [reader.edge_hashes(level) for level in range(_levels(checkpoint.size))]
        if checkpoint.size % TILE_WIDTH:
            appender._entries = reader.read_entries(checkpoint.size // TILE_WIDTH)
        return appender

    def root(self) -> bytes:
        """Return the root at the present size."""
        return _edge_root(self._rows)

    def append(self, entries: Sequence[bytes]) -> dict[str, bytes]:
        """Append entries and return path -> content of the files that are new at the new size.

        Bundles come first, then tiles from the lowest level up. A crash before the checkpoint that needs them
        leaves files nobody looks for; the same append after it gives the same bytes again.
        """
        assert all(len(entry) <= ENTRY_SIZE_MAX for entry in entries), "an entry too long for a bundle"
        size = self.size + len(entries)
        self._entries += entries
        self._extend_rows(hash_leaves(entries))

        bundles: dict[str, bytes] = {}
        tiles: dict[str, bytes] = {}
        for tile in tiles_between(self.size, size):
            start = tile.index * TILE_WIDTH - (self.size >> TILE_HEIGHT * (tile.level + 1)) * TILE_WIDTH
            end = start + tile.width
            tiles[tile.path] = b"".join(self._rows[tile.level][start:end])
            if tile.level == 0:
                bundles[entries_path(tile.index, tile.width)] = encode_entries(self._entries[start:end])

        self._rows = [row[len(row) - len(row) % TILE_WIDTH :] for row in self._rows]
        self._entries = self._entries[len(self._entries) - size % TILE_WIDTH :]
        self.size = size
        return bundles | tiles

    def _extend_rows(self, leaf_hashes: Sequence[bytes]) -> None:
        """Append leaf hashes to the lowest row, and the root of each tile this fills to the row above."""
        new, level = leaf_hashes, 0
        while new:
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row += new
            new = [
                root_of(row[at : at + TILE_WIDTH]) for at in range(0, len(row) - TILE_WIDTH + 1, TILE_WIDTH)
            ]
            level += 1


def edge_paths(size: int) -> list[str]:
    """Return the files that `TileAppender.resume` reads at this size."""
    tiles = edge_tiles(size)
    bundles = [entries_path(tile.index, tile.width) for tile in tiles if tile.level == 0]
    return bundles + [tile.path for tile in tiles]


def _edge_root(rows: Iterable[Sequence[bytes]]) -> bytes:
    """Return the root over partial tiles, lowest level first: each is the right edge of the one above."""
    tail: list[bytes] = []
    for row in rows:
        nodes = [*row, *tail]
        tail = [root_of(nodes)] if nodes else []
    return tail[0] if tail else EMPTY_ROOT


def _levels(size: int) -> int:
    """Return how many levels of tiles a tree of this size has."""
    return (size.bit_length() + TILE_HEIGHT - 1) // TILE_HEIGHT


def _number_path(number: int) -> str:
    """Return a number as path elements of three digits, x before all but the last: 1234 -> x001/234."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *upper, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    return "".join(f"x{group}/" for group in upper) + last


def _width_suffix(width: int) -> str:
    assert 0 < width <= TILE_WIDTH, "an empty tile is never served"
    return "" if width == TILE_WIDTH else f".p/{width}"
