"""The database under all embedded stores: one owner, whole transactions, shared commits, honest failures."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection

import pytest

from pipeline.edges.sqlite import Schema, attach_database, open_database
from pipeline.wire.errors import FencedError, InputError, UnavailableError

SCHEMA = Schema(3, "CREATE TABLE item (name TEXT PRIMARY KEY)")

OWNER = """
import asyncio, sys
from pathlib import Path
from pipeline.edges.sqlite import Schema, open_database
async def own():
    async with open_database(Path(sys.argv[1]), Schema(3, "CREATE TABLE item (name TEXT PRIMARY KEY)")):
        print("mine", flush=True)
        await asyncio.sleep(100)
asyncio.run(own())
"""


def insert(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO item VALUES (?)", (name,))
        return name

    return work


def names(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM item ORDER BY name")]


async def test_a_write_is_visible_when_it_returns(tmp_path: Path) -> None:
    """To this process's reader, and to anyone who opens the file."""
    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        assert await database.write("test", insert("a")) == "a"
        assert await database.read(names) == ["a"]
        with sqlite3.connect(tmp_path / "x.db") as other:
            assert names(other) == ["a"]
        other.close()


async def test_commits_are_synced(tmp_path: Path) -> None:
    """The file is in WAL mode and every commit is synced: what a write returned survives a power cut."""
    async with open_database(tmp_path / "x.db", SCHEMA) as database:

        def pragmas(connection: Connection) -> tuple[str, int]:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
            return mode, synchronous

        full = 2  # sqlite.org/pragma.html#pragma_synchronous
        assert await database.write("test", pragmas) == ("wal", full)


async def test_a_failing_work_undoes_itself_only(tmp_path: Path) -> None:
    """Among writes that share a commit, one that raises leaves nothing and hears its own error."""

    def fail_late(connection: Connection) -> None:
        connection.execute("INSERT INTO item VALUES ('half')")
        raise FencedError("late")

    def collide(connection: Connection) -> None:
        connection.execute("INSERT INTO item VALUES ('half')")
        connection.execute("INSERT INTO item VALUES ('a')")

    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        await database.write("test", insert("a"))
        results = await asyncio.gather(
            database.write("test", insert("b")),
            database.write("test", fail_late),
            database.write("test", insert("c")),
            database.write("test", collide),
            database.write("test", insert("d")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [str, FencedError, str, sqlite3.IntegrityError, str]
        assert await database.read(names) == ["a", "b", "c", "d"]


async def test_writes_that_wait_share_a_commit(tmp_path: Path) -> None:
    """While one transaction is under way the others gather; all of them are then one commit."""
    gathered = threading.Event()

    def insert_slowly(connection: Connection) -> None:
        insert("first")(connection)
        assert gathered.wait(10)

    def frames(path: Path) -> int:
        return (path.stat().st_size - 32) // (4096 + 24)  # sqlite.org/fileformat2.html#walformat

    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        await database.write("test", insert("before"))
        before = frames(tmp_path / "x.db-wal")
        first = asyncio.create_task(database.write("test", insert_slowly))
        others = [asyncio.create_task(database.write("test", insert(f"other {n}"))) for n in range(50)]
        await asyncio.sleep(0)
        gathered.set()
        await asyncio.gather(first, *others)
        assert len(await database.read(names)) == 52
        # A commit of its own for each of the 51 would have written two pages each.
        assert frames(tmp_path / "x.db-wal") - before <= 8


async def test_then_is_called_even_if_the_caller_is_gone(tmp_path: Path) -> None:
    """A write whose caller was cancelled is committed all the same, and its announcement is made."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        task = asyncio.create_task(database.write("test", insert("a"), heard.put_nowait))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            assert await heard.get() == "a"
        assert await database.read(names) == ["a"]
        assert task.cancelled()


async def test_closing_lets_writes_under_way_end(tmp_path: Path) -> None:
    """What was handed over before the end is committed; what comes after it is told so."""
    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        tasks = [asyncio.create_task(database.write("test", insert(f"{n:03}"))) for n in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    with pytest.raises(UnavailableError, match="closed"):
        await database.write("test", insert("late"))
    with pytest.raises(UnavailableError, match="closed"):
        await database.read(names)
    async with attach_database(tmp_path / "x.db", SCHEMA) as again:
        assert len(await again.read(names)) == 100


async def test_a_clean_end_leaves_nothing_to_be_read_again(tmp_path: Path) -> None:
    """All of the WAL is in the database by then, so that the next start reads what it asks for only."""
    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        await database.write("test", insert("a"))
        assert await database.read(names) == ["a"]
    assert [(tmp_path / f"x.db{suffix}").exists() for suffix in ("", "-wal", "-shm")] == [True, False, False]


async def test_a_full_disk_is_said_and_gets_over(tmp_path: Path) -> None:
    """Writes fail while there is no room, changing nothing; with room again they succeed."""

    def room(pages: int) -> Callable[[Connection], None]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").close()

    async with open_database(tmp_path / "x.db", SCHEMA) as database:
        await database.write("test", insert("a"))
        await database.write("test", room(1))
        with pytest.raises(UnavailableError, match="full"):
            await database.write("test", insert("x" * 1_000_000))
        assert await database.read(names) == ["a"]
        await database.write("test", room(1_000_000))
        await database.write("test", insert("b"))
        assert await database.read(names) == ["a", "b"]


async def test_after_a_failed_disk_nothing_more_is_promised(tmp_path: Path) -> None:
    """When SQLite reports an input or output error, every later write is refused until the next start."""
    path = tmp_path / "x.db"
    async with open_database(path, SCHEMA) as database:
        await database.write("test", insert("a"))

        def break_disk(connection: Connection) -> None:
            insert("b")(connection)
            raise disk_error()

        with pytest.raises(UnavailableError, match="write"):
            await database.write("test", break_disk)
        with pytest.raises(UnavailableError, match="write"):
            await database.write("test", insert("c"))
    async with open_database(path, SCHEMA) as database:
        await database.write("test", insert("c"))
        assert await database.read(names) == ["a", "c"]


def disk_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


def test_there_is_one_owner(tmp_path: Path) -> None:
    """A second process is refused and told which process it is; a killed owner's lock is gone with it."""
    path = tmp_path / "x.db"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "mine\n"
        with pytest.raises(InputError, match=f"process {owner.pid} is using it") as refused:
            asyncio.run(own(path))
        assert refused.value.place == str(tmp_path)
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    asyncio.run(own(path))


async def own(path: Path) -> None:
    async with open_database(path, SCHEMA) as database:
        await database.write("test", insert("mine"))


async def test_there_is_one_owner_within_a_process_too(tmp_path: Path) -> None:
    """The lock is the opening's, not the process's."""
    async with open_database(tmp_path / "x.db", SCHEMA):
        with pytest.raises(InputError, match=f"process {os.getpid()} is using it"):
            await own(tmp_path / "x.db")
    await own(tmp_path / "x.db")


async def test_an_attached_reader_reads_only(tmp_path: Path) -> None:
    """It sees the owner's commits, with the owner alive or gone, and can change nothing."""
    path = tmp_path / "x.db"
    async with open_database(path, SCHEMA) as owner, attach_database(path, SCHEMA) as reader:
        await owner.write("test", insert("a"))
        assert await reader.read(names) == ["a"]
        with pytest.raises(UnavailableError, match="readonly"):
            await reader.read(insert("b"))
    async with attach_database(path, SCHEMA) as reader:
        assert await reader.read(names) == ["a"]


async def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A missing file, one that is no database, and one of another version are each named, and left alone."""
    path = tmp_path / "x.db"
    with pytest.raises(InputError, match="no such file"):
        async with attach_database(path, SCHEMA):
            pass
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(InputError, match="database"):
        await own(path)
    assert path.read_bytes() == b"something else" * 1000
    path.unlink()
    await own(path)
    with pytest.raises(InputError, match="version 3, this program knows 4"):
        async with open_database(path, Schema(4, SCHEMA.script)):
            pass
