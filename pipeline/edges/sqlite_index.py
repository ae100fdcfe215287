"""Small durable indexes in SQLite: where each statement's receipt is found, and what was refused."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from struct import Struct

from pipeline.durable import step
from pipeline.edges.sqlite import Connection, Database, Schema, open_database
from pipeline.ports import LeafPlace

RUN_MAX = 1024  # Neighbouring sequences in one row; a search looks no farther back.
LEAF = Struct(">H")

RECEIPTS = Schema(
    version=1,
    script="""
    CREATE TABLE issuer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE run (issuer INTEGER, epoch INTEGER, first INTEGER, log_offset INTEGER,
                      shard INTEGER NOT NULL, block_offset INTEGER NOT NULL, leaves BLOB NOT NULL,
                      PRIMARY KEY (issuer, epoch, first, log_offset, leaves)) WITHOUT ROWID;
    """,
)


class SqliteReceiptIndex:
    """`ports.ReceiptIndex`: a device's neighbouring sequences in one block are one row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> "AsyncGenerator[SqliteReceiptIndex]":
        """Open the index as its owner, made on first use.

        Raises:
            InputError: Another process owns it, or it is no receipt index.
        """
        async with open_database(path, RECEIPTS) as database:
            yield cls(database)

    async def put(self, rows: Sequence[LeafPlace]) -> None:
        """Remember the rows of whole blocks durably; idempotent.

        Raises:
            UnavailableError: The disk failed or is full.
        """
        if rows:
            await self._database.write("receipts", partial(_put, rows=rows))

    async def find(self, issuer: str, epoch: int, sequence: int) -> list[LeafPlace]:
        """Return where this identity stands, in log order: twice, if its signer has contradicted itself."""
        return await self._database.read(partial(_find, issuer=issuer, epoch=epoch, sequence=sequence))


def _put(connection: Connection, rows: Sequence[LeafPlace]) -> None:
    by_block: defaultdict[tuple[str, int, int, int, int, bool], dict[int, int]] = defaultdict(dict)
    for row in rows:
        block = row.issuer, row.epoch, row.log_offset, row.shard, row.block_offset
        again = row.sequence in by_block[*block, False]  # A contradiction within the block: a run of its own.
        by_block[*block, again][row.sequence] = row.leaf
    ids: dict[str, int] = {}
    for (issuer, epoch, log_offset, shard, block_offset, _), leaves in by_block.items():
        if issuer not in ids:
            ids[issuer] = _issuer_id(connection, issuer)
        connection.executemany(
            "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (ids[issuer], epoch, first, log_offset, shard, block_offset, packed)
                for first, packed in _runs(leaves)
            ],
        )
    # A crash here leaves none of these rows; the courier reads their log entries again.
    step("receipts.inserted")


def _runs(leaves: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    """Yield runs of neighbouring sequences: the first one, and the leaf of each."""
    first, packed = 0, bytearray()
    for sequence in sorted(leaves):
        if packed and (sequence != first + len(packed) // LEAF.size or len(packed) == RUN_MAX * LEAF.size):
            yield first, bytes(packed)
            packed.clear()
        if not packed:
            first = sequence
        packed += LEAF.pack(leaves[sequence])
    if packed:
        yield first, bytes(packed)


def _issuer_id(connection: Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM issuer WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO issuer (name) VALUES (?) RETURNING id", (name,)).fetchone()
    return int(row[0])


def _find(connection: Connection, issuer: str, epoch: int, sequence: int) -> list[LeafPlace]:
    rows = connection.execute(
        """
        SELECT first, log_offset, shard, block_offset, leaves FROM run
        WHERE issuer = (SELECT id FROM issuer WHERE name = ?) AND epoch = ?
              AND first BETWEEN ? AND ? AND first + length(leaves) / ? > ?
        """,
        (issuer, epoch, sequence - RUN_MAX + 1, sequence, LEAF.size, sequence),
    )
    places = [
        LeafPlace(issuer, epoch, sequence, log_offset, shard, block_offset, leaf)
        for first, log_offset, shard, block_offset, leaves in rows
        for (leaf,) in [LEAF.unpack_from(leaves, (sequence - first) * LEAF.size)]
    ]
    return sorted(places, key=lambda place: (place.log_offset, place.leaf))
