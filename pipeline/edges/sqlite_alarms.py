"""What the alarm stage remembers, in SQLite: statements that matter to open shipments, and alarms to tell."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from pipeline.durable import step
from pipeline.edges.sqlite import Connection, Database, Schema, open_database
from pipeline.ports import AlarmMemory, KeptStatement, WaitingAlarm

SCHEMA = Schema(
    version=1,
    script="""
    CREATE TABLE statements (entry INTEGER, leaf INTEGER, shipment TEXT NOT NULL, raw BLOB NOT NULL,
                             PRIMARY KEY (entry, leaf, shipment)) WITHOUT ROWID;
    CREATE TABLE alarms (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
                         body BLOB NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
                         due_s REAL NOT NULL DEFAULT 0, told INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 0), log_offset INTEGER NOT NULL);
    """,
)


class SqliteAlarms:
    """`ports.AlarmStore` in one SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> "AsyncGenerator[SqliteAlarms]":
        """Open the store as its owner, made on first use.

        Raises:
            InputError: Another process owns it, or it is no such store.
        """
        async with open_database(path, SCHEMA) as database:
            yield cls(database)

    async def load(self) -> AlarmMemory:
        """Return all that is remembered of open shipments, in log order."""
        return await self._database.read(_load)

    async def take(
        self,
        log_offset: int,
        kept: Sequence[KeptStatement],
        alarms: Sequence[tuple[str, bytes]],
        over: Sequence[str],
    ) -> None:
        """Remember what log entries gave rise to, and how far the log is read, in one transaction.

        Raises:
            UnavailableError: The disk failed or is full: nothing of it is kept, and it is read again.
        """
        work = partial(_take, log_offset=log_offset, kept=kept, alarms=alarms, over=over)
        await self._database.write("alarms", work)

    async def due(self, now_s: float, limit: int) -> list[WaitingAlarm]:
        """Return alarms to be told now, the oldest first."""
        query = "SELECT id, body, attempts FROM alarms WHERE told = 0 AND due_s <= ? ORDER BY number LIMIT ?"
        return await self._database.read(
            lambda connection: [WaitingAlarm(*row) for row in connection.execute(query, (now_s, limit))]
        )

    async def next_due_s(self) -> float | None:
        """Return when the next alarm is due; None where none waits."""
        query = "SELECT MIN(due_s) FROM alarms WHERE told = 0"
        row = await self._database.read(lambda connection: connection.execute(query).fetchone())
        return None if row is None or row[0] is None else float(row[0])

    async def told(self, alarm_id: str) -> None:
        """Remember that the receiver has taken an alarm."""
        await self._write("UPDATE alarms SET told = 1 WHERE id = ?", (alarm_id,))

    async def postpone(self, alarm_id: str, due_s: float) -> None:
        """Remember that it has not, and when to try again."""
        await self._write(
            "UPDATE alarms SET attempts = attempts + 1, due_s = ? WHERE id = ?", (due_s, alarm_id)
        )

    async def _write(self, query: str, values: tuple[object, ...]) -> None:
        await self._database.write("alarms", partial(_execute, query=query, values=values))


def _load(connection: Connection) -> AlarmMemory:
    row = connection.execute("SELECT log_offset FROM progress").fetchone()
    rows = connection.execute("SELECT shipment, raw, entry, leaf FROM statements ORDER BY entry, leaf")
    return AlarmMemory(row[0] if row else 0, [KeptStatement(*kept) for kept in rows])


def _take(
    connection: Connection,
    log_offset: int,
    kept: Sequence[KeptStatement],
    alarms: Sequence[tuple[str, bytes]],
    over: Sequence[str],
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO statements (shipment, raw, entry, leaf) VALUES (?, ?, ?, ?)", list(kept)
    )
    connection.executemany("INSERT OR IGNORE INTO alarms (id, body) VALUES (?, ?)", list(alarms))
    connection.executemany("DELETE FROM statements WHERE shipment = ?", [(name,) for name in over])
    # A crash here leaves none of it: the same entries are read again, and give rise to the same.
    step("alarms.inserted")
    connection.execute("INSERT OR REPLACE INTO progress VALUES (0, ?)", (log_offset,))


def _execute(connection: Connection, query: str, values: tuple[object, ...]) -> None:
    connection.execute(query, values)
