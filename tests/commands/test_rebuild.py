"""What follows from the bus can be made again from it: points, archive, tiles, receipts, as they were."""

import fcntl
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands.conftest import Demo, cityproof

Rows = list[tuple[object, ...]]


@pytest.fixture
def city(demo: Demo, tmp_path: Path) -> Path:
    """A copy of the demo's city, to be spoilt."""
    return Path(shutil.copytree(demo.root, tmp_path / "city"))


def rebuild(city: Path, what: str, *more: str) -> dict[str, float]:
    done = cityproof("rebuild", what, "--dir", str(city), "--json", *more)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def rows(database: Path, query: str) -> Rows:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def points(city: Path) -> Rows:
    query = (
        "SELECT kind, device, subject, quantity, time_us, value, ref FROM points "
        "JOIN series ON series.id = points.series ORDER BY 1, 2, 3, 4, 5"
    )
    return rows(city / "state" / "points.db", query)


def receipts(city: Path) -> Rows:
    query = (
        "SELECT name, epoch, first, log_offset, shard, block_offset, leaves FROM run "
        "JOIN issuer ON issuer.id = issuer ORDER BY 1, 2, 3, 4, 7"
    )
    return rows(city / "state" / "receipts.db", query)


def files(city: Path) -> dict[str, bytes]:
    """The published files but for the checkpoint, whose cosignatures tell the time, and partial tiles."""
    found = {
        str(path.relative_to(city / "log")): path.read_bytes()
        for path in (city / "log").rglob("*")
        if path.is_file() and path.name != "checkpoint" and ".p" not in str(path)
    }
    assert any(path.startswith("block/") for path in found)
    return found


def test_points_that_are_gone_are_made_again(city: Path) -> None:
    """Wiped altogether, and again from the middle of the log on: what was signed, nothing altered."""
    altered = points(city)
    for path in (city / "state").glob("points.db*"):
        path.unlink()
    assert rebuild(city, "points")["points"] >= len(altered)
    before = points(city)
    assert [row[:5] + row[6:] for row in before] == [row[:5] + row[6:] for row in altered]
    assert cityproof("audit", str(city)).returncode == 0
    middle = sorted(int(str(row[6])) for row in before)[len(before) // 2]
    with closing(sqlite3.connect(city / "state" / "points.db")) as connection, connection:
        connection.execute("DELETE FROM points WHERE ref >= ?", (middle,))
    done = rebuild(city, "points", "--from", str(middle // 2048))
    assert points(city) == before
    assert done["points"] < len(before)


def test_archive_and_tiles_that_are_gone_are_made_again(city: Path) -> None:
    """Byte for byte; the checkpoint is that of the same size and root; fsck finds nothing."""
    before, note = files(city), (city / "log" / "checkpoint").read_text()
    shutil.rmtree(city / "log")
    rebuild(city, "archive")
    assert files(city) == before
    assert (city / "log" / "checkpoint").read_text().splitlines()[:3] == note.splitlines()[:3]
    assert cityproof("fsck", str(city)).returncode == 0


def test_the_index_of_receipts_is_made_again(city: Path) -> None:
    """Row for row."""
    before = receipts(city)
    for path in (city / "state").glob("receipts.db*"):
        path.unlink()
    rebuild(city, "receipts")
    assert receipts(city) == before


def test_what_is_in_use_is_not_made_again(city: Path) -> None:
    """Two that write the same would spoil it: whoever comes second is told."""
    held = city / "state" / "held" / "projector"
    held.mkdir(parents=True, exist_ok=True)
    with (held / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cityproof("rebuild", "points", "--dir", str(city))
    assert done.returncode == 2
    assert b"another process is using this folder" in done.stderr


def test_mistakes_are_named(city: Path) -> None:
    """Another thing, an entry that is not there, a beginning where there is none."""
    for words, said in (
        (["tiles"], b"WHAT: nothing is called tiles. Name one of: points, archive, receipts."),
        (["points", "--from", "999999"], b"--from: the log has "),
        (["archive", "--from", "1"], b"--from: archive is made again as a whole"),
    ):
        done = cityproof("rebuild", *words, "--dir", str(city))
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
