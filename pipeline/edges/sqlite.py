"""SQLite: the only module that opens a database. The bus, the point store and the indexes stand on it.

One thread writes and one reads, so that no statement ever runs on the event loop. Writers that arrive while
a commit is being synced share the next one. WAL and synchronous=FULL: what is committed survives a power cut.
"""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from pipeline.durable import step
from pipeline.edges.files import sync_folder
from pipeline.wire.errors import InputError, UnavailableError

GROUP_MAX = 256  # Writes that share a commit.
CHECKPOINT_PAGES = 4096  # 16 MiB of WAL, then its pages move into the database.
WAL_BYTES_KEPT = 64 * 1024 * 1024
BUSY_S = 5.0

T = TypeVar("T")
Connection: TypeAlias = sqlite3.Connection


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database. `version` rises with every change of them."""

    version: int
    script: str


@dataclass(slots=True)
class _Request(Generic[T]):
    name: str
    work: Callable[[Connection], T]
    answer: "asyncio.Future[T]"
    then: Callable[[T], None] | None


class Database:
    """An open database file."""

    def __init__(self, path: Path, writer: Connection | None, reader: Connection) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._reader = reader
        self._read_pool = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-read")
        self._requests: SimpleQueue[_Request[Any] | None] = SimpleQueue()
        self._closed = False
        self._broken = ""  # After a failed sync nobody knows what the disk holds, until the next start.
        self._thread: threading.Thread | None = None
        if writer is not None:
            self._thread = threading.Thread(
                target=self._write_loop, args=(writer,), name=f"{path.stem}-write"
            )
            self._thread.start()

    async def write(
        self, name: str, work: Callable[[Connection], T], then: Callable[[T], None] | None = None
    ) -> T:
        """Run `work` in a transaction on the writing thread; return its result once that is durable.

        What `work` raises undoes its own changes and reaches its caller; the rest of its group goes on.

        Args:
            name: Begins the names of the durable steps around it: `<name>.commit` and `<name>.committed`.
            work: What to do.
            then: Called on the event loop after the commit, even if the caller has been cancelled meanwhile.

        Raises:
            UnavailableError: The disk failed or is full; after a failed sync, until the next start.
        """
        if self._closed:
            raise UnavailableError(str(self._path), "it is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._requests.put(_Request(name, work, answer, then))
        return await answer

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the reading thread; it sees what is committed.

        Raises:
            UnavailableError: The file cannot be read.
        """
        if self._closed:
            raise UnavailableError(str(self._path), "it is closed")
        try:
            return await self._loop.run_in_executor(self._read_pool, work, self._reader)
        except sqlite3.DatabaseError as error:
            raise UnavailableError(str(self._path), f"read: {error}") from error

    async def close(self) -> None:
        """Let the writes under way end, then close."""
        self._closed = True
        await asyncio.to_thread(self._read_pool.shutdown)
        self._reader.close()
        if self._thread is not None:
            # The writer is the last to close, which empties the WAL: the next start need not read it again.
            self._requests.put(None)
            await asyncio.to_thread(self._thread.join)

    def _write_loop(self, connection: Connection) -> None:
        try:
            running = True
            while running:
                group: list[_Request[Any]] = []
                request = self._requests.get()
                while request is not None:
                    group.append(request)
                    if len(group) == GROUP_MAX:
                        break
                    try:
                        request = self._requests.get_nowait()
                    except Empty:
                        break
                running = request is not None
                if group:
                    results = self._commit(connection, group)
                    self._loop.call_soon_threadsafe(_answer, group, results)
        finally:
            connection.close()

    def _commit(self, connection: Connection, group: Sequence[_Request[Any]]) -> list[Any]:
        """Do a group's work in one transaction; return the results, or exceptions in their place."""
        if self._broken:
            return [UnavailableError(str(self._path), self._broken)] * len(group)
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_attempt(connection, request.work) for request in group]
            for request in group:
                step(f"{request.name}.commit")
            # A crash before the commit leaves nothing of the group; after it, all of it, unanswered: whoever
            # wrote reads back what is there.
            connection.execute("COMMIT")
            for request in group:
                step(f"{request.name}.committed")
        except sqlite3.DatabaseError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}:
                self._broken = f"write: {error}"
            return [UnavailableError(str(self._path), f"write: {error}")] * len(group)
        return results


def _attempt(connection: Connection, work: Callable[[Connection], Any]) -> Any:
    """Run one work inside its own savepoint; return its result or the exception that undid it."""
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except Exception as error:
        if type(error) in {sqlite3.OperationalError, sqlite3.DatabaseError}:
            raise  # The disk, not the work: the whole group fails.
        connection.execute("ROLLBACK TO work")
        result = error
    connection.execute("RELEASE work")
    return result


def _answer(group: Sequence[_Request[Any]], results: Sequence[Any]) -> None:
    for request, result in zip(group, results, strict=True):
        failed = isinstance(result, Exception)
        if request.then is not None and not failed:
            request.then(result)
        if request.answer.done():
            continue  # Its caller was cancelled.
        if failed:
            request.answer.set_exception(result)
        else:
            request.answer.set_result(result)


@asynccontextmanager
async def open_database(path: Path, schema: Schema) -> AsyncGenerator[Database]:
    """Open a database as its one owner, made on first use.

    Raises:
        InputError: Another process owns it, or it is no such database.
    """
    lock = await asyncio.to_thread(_lock, path)
    try:
        writer = await asyncio.to_thread(_connect_writer, path, schema)
        database = Database(path, writer, await asyncio.to_thread(connect_reader, path, schema))
        try:
            yield database
        finally:
            await database.close()
    finally:
        os.close(lock)


@asynccontextmanager
async def attach_database(path: Path, schema: Schema) -> AsyncGenerator[Database]:
    """Open a database for reading only, beside whoever owns it.

    Raises:
        InputError: It is missing, or no such database.
    """
    database = Database(path, None, await asyncio.to_thread(connect_reader, path, schema))
    try:
        yield database
    finally:
        await database.close()


def _lock(path: Path) -> int:
    """Become the owner; the kernel ends the ownership with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InputError(
            str(path.parent), f"process {owner} is using it", "Stop that process, or name another folder."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _connect_writer(path: Path, schema: Schema) -> Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        if _version(connection) == 0:
            # A crash before the commit leaves an empty database, which the next start fills.
            connection.executescript(
                f"BEGIN IMMEDIATE; {schema.script}; PRAGMA user_version = {schema.version}; COMMIT"
            )
        _check_version(path, connection, schema)
        sync_folder(path.parent)  # The names of the new files, before anything is promised in them.
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    return connection


def connect_reader(path: Path, schema: Schema) -> Connection:
    """Open a database for reading only, beside whoever owns it, on the caller's thread.

    Raises:
        InputError: It is missing, or no such database.
    """
    if not path.exists():
        raise InputError(str(path), "there is no such file", "Name the folder of a run that has begun.")
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S
        )
        _check_version(path, connection, schema)
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    return connection


def _version(connection: Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _check_version(path: Path, connection: Connection, schema: Schema) -> None:
    version = _version(connection)
    if version != schema.version:
        raise InputError(
            str(path),
            f"its tables have version {version}, this program knows {schema.version}",
            "Use the program that made it, or name another folder.",
        )


def _unusable(path: Path, error: sqlite3.DatabaseError) -> InputError:
    return InputError(
        str(path), f"cannot be opened as a database: {error}", "Restore it, or name another folder."
    )
