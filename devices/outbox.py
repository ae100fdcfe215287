"""The outbox: every statement durable before it is sent, and kept until the log has promised to keep it.

One SQLite file serves many devices, and one transaction a whole turn of them (group commit). WAL with
synchronous=FULL: a commit that returned survives power loss. What a crash leaves behind is written at each
durable step; whatever was not committed was not sent, so no sequence is ever used for two byte strings.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from devices.device import Chain, Signed
from pipeline.wire.errors import InputError, UnavailableError

LAYOUT = 1

_SCHEMA = f"""
CREATE TABLE device (
  id INTEGER PRIMARY KEY,
  issuer TEXT NOT NULL UNIQUE,
  epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  previous BLOB NOT NULL,
  receipted BLOB,
  statements INTEGER NOT NULL DEFAULT 0,
  records INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE statement (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device INTEGER NOT NULL REFERENCES device (id),
  epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  leaf_hash BLOB NOT NULL,
  records INTEGER NOT NULL,
  raw BLOB NOT NULL,
  parked TEXT,
  UNIQUE (device, epoch, sequence)
) STRICT;
CREATE TABLE note (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
PRAGMA user_version = {LAYOUT};
"""
_SELECT = (
    "SELECT s.id, d.issuer, s.epoch, s.sequence, s.leaf_hash, s.raw, s.records, s.parked"
    " FROM statement s JOIN device d ON d.id = s.device "
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A statement of the outbox: its row, its bytes, and the reason if it is parked."""

    row: int
    signed: Signed
    parked: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of everything since the outbox was made, in records; `parked` by reason."""

    receipted: int
    waiting: int
    parked: dict[str, int]


class Outbox:
    """The outbox file. Only one process may have it open; a second one is refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._open()
        except sqlite3.OperationalError as error:
            raise InputError(
                str(path),
                f"cannot open the outbox: {error}",
                "End the other process that uses it, or choose another --dir.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                str(path),
                f"this is no outbox: {error}",
                "Move the file away; devices then begin a new epoch.",
            ) from error

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        if layout == 0:
            # A crash inside leaves an empty file: the script is one transaction.
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        elif layout != LAYOUT:
            raise sqlite3.DatabaseError(f"layout {layout}, expected {LAYOUT}")
        self._db.execute("BEGIN IMMEDIATE")  # Takes the lock now, not at the first commit.
        self._db.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything committed stays."""
        self._db.close()

    def chain(self, issuer: str) -> Chain | None:
        """Return where a signer stands, or None where this outbox has never seen it."""
        row = self._db.execute(
            "SELECT epoch, sequence, previous FROM device WHERE issuer = ?", (issuer,)
        ).fetchone()
        return Chain(*row) if row else None

    def receipted(self, issuer: str) -> bytes | None:
        """Return the leaf hash of a signer's last receipted statement, if it has one."""
        row = self._db.execute("SELECT receipted FROM device WHERE issuer = ?", (issuer,)).fetchone()
        return row[0] if row else None

    def begin(self, chains: Mapping[str, Chain]) -> None:
        """Make the epochs that signers begin durable, before they sign anything in them."""
        rows = [(issuer, chain.epoch, chain.sequence, chain.previous) for issuer, chain in chains.items()]
        with self._transaction("begin epochs"):
            # A crash before the commit: the epoch was never used; the next start begins another.
            self._db.executemany(
                "INSERT INTO device (issuer, epoch, sequence, previous) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (issuer) DO UPDATE"
                " SET epoch = excluded.epoch, sequence = excluded.sequence, previous = excluded.previous",
                rows,
            )

    def commit(
        self,
        signed: Iterable[Signed] = (),
        *,
        receipted: Iterable[Stored] = (),
        parked: Iterable[tuple[int, str]] = (),
        notes: Mapping[str, bytes] | None = None,
    ) -> None:
        """Make one turn durable, wholly or not at all: new statements, their chains, and what was answered.

        Args:
            signed: New statements, each the next one of its signer.
            receipted: Statements that a verified receipt covers: they are deleted.
            parked: Rows with the reason they were refused for.
            notes: Small values to remember under a name, such as how far an import has come.

        Raises:
            UnavailableError: The disk failed. The process must end; the next start reads what is durable.
        """
        with self._transaction("commit"):
            for one in signed:
                self._insert(one)
            for stored in receipted:
                self._delete(stored)
            self._db.executemany(
                "UPDATE statement SET parked = ? WHERE id = ?", [(why, row) for row, why in parked]
            )
            self._db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", list((notes or {}).items()))
            # A crash before the commit: new statements were never sent, their sequences are free; receipted
            # ones are sent again, and their receipts come again. After it: the next start sends the new ones.

    def _insert(self, one: Signed) -> None:
        moved = self._db.execute(
            "UPDATE device SET sequence = sequence + 1, previous = ?"
            " WHERE issuer = ? AND epoch = ? AND sequence = ?",
            (one.leaf_hash, one.issuer, one.epoch, one.sequence),
        )
        assert moved.rowcount == 1, "a statement is committed under its signer's next sequence"
        self._db.execute(
            "INSERT INTO statement (device, epoch, sequence, leaf_hash, records, raw)"
            " SELECT id, ?, ?, ?, ?, ? FROM device WHERE issuer = ?",
            (one.epoch, one.sequence, one.leaf_hash, one.records, one.raw, one.issuer),
        )

    def _delete(self, stored: Stored) -> None:
        self._db.execute("DELETE FROM statement WHERE id = ?", (stored.row,))
        self._db.execute(
            "UPDATE device SET receipted = ?, statements = statements + 1, records = records + ?"
            " WHERE issuer = ?",
            (stored.signed.leaf_hash, stored.signed.records, stored.signed.issuer),
        )

    def load(self, after_row: int, limit: int) -> list[Stored]:
        """Return up to `limit` statements that wait for a receipt, in the order they were signed in."""
        rows = self._db.execute(
            _SELECT + "WHERE s.id > ? AND s.parked IS NULL ORDER BY s.id LIMIT ?", (after_row, limit)
        )
        return [_stored(row) for row in rows]

    def find(self, issuer: str, epoch: int, sequence: int) -> Stored | None:
        """Return the statement of this identity, waiting or parked, if it is held."""
        row = self._db.execute(
            _SELECT + "WHERE d.issuer = ? AND s.epoch = ? AND s.sequence = ?", (issuer, epoch, sequence)
        ).fetchone()
        return _stored(row) if row else None

    def find_leaf(self, issuer: str, leaf_hash: bytes) -> Stored | None:
        """Return a signer's statement by its leaf hash, waiting or parked, if it is held."""
        row = self._db.execute(
            _SELECT + "WHERE d.issuer = ? AND s.leaf_hash = ?", (issuer, leaf_hash)
        ).fetchone()
        return _stored(row) if row else None

    def is_waiting(self, issuer: str) -> bool:
        """Tell whether any statement of a signer waits for a receipt."""
        query = (
            "SELECT EXISTS (SELECT 1 FROM statement s JOIN device d ON d.id = s.device"
            " WHERE d.issuer = ? AND s.parked IS NULL)"
        )
        return bool(self._db.execute(query, (issuer,)).fetchone()[0])

    def parked(self) -> list[Stored]:
        """Return what was refused, in the order it was signed in."""
        rows = self._db.execute(_SELECT + "WHERE s.parked IS NOT NULL ORDER BY s.id")
        return [_stored(row) for row in rows]

    def retry(self, reasons: Iterable[str]) -> None:
        """Let what was parked for these reasons wait again: someone may have admitted it meanwhile."""
        with self._transaction("retry"):
            # A crash on either side leaves it parked or waiting; sent twice it is a duplicate.
            self._db.executemany(
                "UPDATE statement SET parked = NULL WHERE parked = ?", [(reason,) for reason in reasons]
            )

    def totals(self) -> Totals:
        """Return what became of everything."""
        (receipted,) = self._db.execute("SELECT total(records) FROM device").fetchone()
        groups = "SELECT parked, sum(records) FROM statement GROUP BY parked"
        records = dict(self._db.execute(groups).fetchall())
        return Totals(int(receipted), records.pop(None, 0), records)

    def note(self, name: str) -> bytes | None:
        """Return the value remembered under a name."""
        row = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _transaction(self, action: str) -> "_Transaction":
        return _Transaction(self._db, action)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; whatever goes wrong inside rolls all of it back."""

    __slots__ = ("_action", "_db")

    def __init__(self, db: sqlite3.Connection, action: str) -> None:
        self._db = db
        self._action = action

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as failure:
                raise UnavailableError("outbox", f"{self._action}: {failure}") from failure
            return
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            raise UnavailableError("outbox", f"{self._action}: {error}") from error


def _stored(row: tuple[int, str, int, int, bytes, bytes, int, str | None]) -> Stored:
    number, issuer, epoch, sequence, leaf_hash, raw, records, parked = row
    return Stored(number, Signed(issuer, epoch, sequence, leaf_hash, raw, records), parked)
