"""An auditor's outbox in SQLite: its findings, its chain, and the receipts that show them in the log."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from pipeline.durable import step
from pipeline.edges.sqlite import Connection, Database, Schema, open_database
from pipeline.ports import ChainState
from pipeline.wire.statement import parse_statement

SCHEMA = Schema(
    version=1,
    script="""
    CREATE TABLE statements (epoch INTEGER, sequence INTEGER, raw BLOB NOT NULL, receipt BLOB,
                             PRIMARY KEY (epoch, sequence)) WITHOUT ROWID;
    CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 0), epoch INTEGER NOT NULL,
                        sequence INTEGER NOT NULL, previous BLOB NOT NULL);
    CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 0), settled INTEGER NOT NULL);
    """,
)


class SqliteFindings:
    """`ports.FindingOutbox` in one SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> "AsyncGenerator[SqliteFindings]":
        """Open the outbox as its owner, made on first use.

        Raises:
            InputError: Another auditor owns it, or it is no such outbox.
        """
        async with open_database(path, SCHEMA) as database:
            yield cls(database)

    async def chain(self) -> ChainState | None:
        """Return where the auditor stands; None where it has signed nothing yet."""
        query = "SELECT epoch, sequence, previous FROM chain"
        row = await self._database.read(lambda connection: connection.execute(query).fetchone())
        return row and ChainState(*row)

    async def add(self, statements: Sequence[bytes], chain: ChainState) -> None:
        """Keep statements and where the chain stands behind them, in one transaction.

        Raises:
            UnavailableError: The disk failed or is full: none of them is kept, and none may be sent.
        """
        await self._database.write("findings", partial(_add, statements=statements, chain=chain))

    async def waiting(self, limit: int) -> list[bytes]:
        """Return statements without a receipt, oldest first."""
        query = "SELECT raw FROM statements WHERE receipt IS NULL ORDER BY epoch, sequence LIMIT ?"
        return await self._database.read(
            lambda connection: [raw for (raw,) in connection.execute(query, (limit,))]
        )

    async def statements(self) -> list[bytes]:
        """Return all statements, oldest first."""
        query = "SELECT raw FROM statements ORDER BY epoch, sequence"
        return await self._database.read(lambda connection: [raw for (raw,) in connection.execute(query)])

    async def settle(self, epoch: int, sequence: int, receipt: bytes) -> None:
        """Keep the receipt of a statement, which need not be sent again."""
        query = "UPDATE statements SET receipt = ? WHERE epoch = ? AND sequence = ?"
        await self._database.write(
            "findings", lambda connection: _execute(connection, query, (receipt, epoch, sequence))
        )

    async def settled(self) -> int:
        """Return the number that `remember_settled` was given last; 0 if there is none."""
        query = "SELECT settled FROM progress"
        row = await self._database.read(lambda connection: connection.execute(query).fetchone())
        return int(row[0]) if row else 0

    async def remember_settled(self, ref: int) -> None:
        """Remember how far the store is known to have been written."""
        query = "INSERT OR REPLACE INTO progress VALUES (0, ?)"
        await self._database.write("findings", lambda connection: _execute(connection, query, (ref,)))


def _add(connection: Connection, statements: Sequence[bytes], chain: ChainState) -> None:
    parsed = [parse_statement(raw) for raw in statements]
    connection.executemany(
        "INSERT INTO statements (epoch, sequence, raw) VALUES (?, ?, ?)",
        [(statement.epoch, statement.sequence, statement.raw) for statement in parsed],
    )
    # A crash here leaves neither: nothing was sent, the sequences are free, and all of it is found again.
    step("findings.inserted")
    row = (chain.epoch, chain.sequence, chain.previous)
    connection.execute("INSERT OR REPLACE INTO chain VALUES (0, ?, ?, ?)", row)


def _execute(connection: Connection, query: str, values: tuple[object, ...]) -> None:
    connection.execute(query, values)
