"""The embedded point store: series of points in one SQLite file, a projection of the log.

At one place of a series the point with the largest `ref`, the latest in the log, stays; the others are kept
aside as superseded. Both tables are keyed by what they hold, so that writing again changes nothing.
"""

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.durable import step
from pipeline.edges.permissions import who_may_write
from pipeline.edges.sqlite import Connection, Database, Schema, connect_reader, open_database
from pipeline.ports import Point, Series, Span
from pipeline.verify.audit import PointPlace, StoredValue

SCAN_ROWS = 4096

SCHEMA = Schema(
    version=1,
    script="""
    CREATE TABLE series (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, device TEXT NOT NULL,
                         subject TEXT NOT NULL, quantity TEXT NOT NULL,
                         UNIQUE (device, quantity, subject, kind));
    CREATE TABLE points (series INTEGER, time_us INTEGER, value REAL NOT NULL, ref INTEGER NOT NULL,
                         PRIMARY KEY (series, time_us)) WITHOUT ROWID;
    CREATE TABLE superseded (series INTEGER, time_us INTEGER, ref INTEGER, value REAL NOT NULL,
                             PRIMARY KEY (series, time_us, ref)) WITHOUT ROWID;
    """,
)

POINT_QUERY = """
    SELECT kind, device, subject, quantity, time_us, value, ref FROM points JOIN series ON series.id = series
"""
_SERIES = "SELECT id, kind, device, subject, quantity FROM series"
_ORDER = "ORDER BY device, quantity, subject, kind"
_OF_DEVICE = f"{_SERIES} WHERE device = ? AND quantity = ? {_ORDER}"


@dataclass(frozen=True, slots=True)
class PointCounts:
    """How many points are stored, and how many were superseded by later ones at their place."""

    stored: int
    superseded: int


class SqliteReader:
    """`ports.PointReader`. Each call sees what is committed by then."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def series(self) -> list[Series]:
        """Return every series, ordered by device, quantity and subject."""
        return list(self._ids())

    def spans(self) -> list[Span]:
        """Return the span of every series that has points, in the order of `series`."""
        query = "SELECT series, count(*), min(time_us), max(time_us) FROM points GROUP BY series"
        spans = {row[0]: row[1:] for row in self._connection.execute(query)}
        return [Span(series, *spans[number]) for series, number in self._ids().items() if number in spans]

    def find_series(self, device: str, quantity: str) -> list[Series]:
        """Return the series of a device's quantity: one a subject it has measured."""
        return list(self._ids(_OF_DEVICE, device, quantity))

    def at(self, device: str, quantity: str, time_us: int) -> Point | None:
        """Return the point at exactly this time; of several subjects' the latest in the log."""
        query = f"{POINT_QUERY} WHERE device = ? AND quantity = ? AND time_us = ? ORDER BY ref DESC LIMIT 1"
        row = self._connection.execute(query, (device, quantity, time_us)).fetchone()
        return row and Point(*row)

    def find(self, places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
        """Return what is stored at places; those without a point are left out.

        Of several kinds' series of the same names it is the one that was there first.
        """
        query = (
            "SELECT value, ref FROM points JOIN series ON series.id = series "
            "WHERE device = ? AND quantity = ? AND subject = ? AND time_us = ? ORDER BY series.id LIMIT 1"
        )
        found: dict[PointPlace, StoredValue] = {}
        for place in places:
            names = place.device, place.quantity, place.subject, place.time_us
            row = self._connection.execute(query, names).fetchone()
            if row:
                found[place] = StoredValue(*row)
        return found

    def nearest(self, device: str, quantity: str, time_us: int) -> list[int]:
        """Return the times of the last point before this time and of the first one after it, if any."""
        before: list[int] = []
        after: list[int] = []
        for number in self._ids(_OF_DEVICE, device, quantity).values():
            last, first = self._connection.execute(
                "SELECT (SELECT max(time_us) FROM points WHERE series = ? AND time_us < ?), "
                "(SELECT min(time_us) FROM points WHERE series = ? AND time_us > ?)",
                (number, time_us) * 2,
            ).fetchone()
            before += [last] if last is not None else []
            after += [first] if first is not None else []
        return [*sorted(before)[-1:], *sorted(after)[:1]]

    def range(self, series: Series, first_us: int, last_us: int, limit: int) -> list[Point]:
        """Return up to `limit` points of a series, in time order, both ends of the range included."""
        query = (
            f"{POINT_QUERY} WHERE kind = ? AND device = ? AND subject = ? AND quantity = ? "
            "AND time_us BETWEEN ? AND ? ORDER BY time_us LIMIT ?"
        )
        names = series.kind, series.device, series.subject, series.quantity
        return [Point(*row) for row in self._connection.execute(query, (*names, first_us, last_us, limit))]

    def scan(self) -> Iterator[Point]:
        """Yield every stored point, by series and time, in bounded memory; the writer is not held up."""
        after = (-1, 0)
        query = (
            "SELECT series, time_us, kind, device, subject, quantity, time_us, value, ref FROM points "
            "JOIN series ON series.id = series WHERE (series, time_us) > (?, ?) "
            "ORDER BY series, time_us LIMIT ?"
        )
        while rows := self._connection.execute(query, (*after, SCAN_ROWS)).fetchall():
            yield from (Point(*row[2:]) for row in rows)
            after = rows[-1][:2]

    def count_below(self, ref: int) -> int:
        """Return how many points have a smaller ref."""
        row = self._connection.execute("SELECT count(*) FROM points WHERE ref < ?", (ref,)).fetchone()
        return int(row[0])

    def beyond(self, ref: int, limit: int) -> list[Point]:
        """Return up to `limit` points with this ref or a larger one."""
        query = f"{POINT_QUERY} WHERE ref >= ? LIMIT ?"
        return [Point(*row) for row in self._connection.execute(query, (ref, limit))]

    def writers(self) -> list[str]:
        """Return whose processes could have written the file."""
        return who_may_write(self._path)

    def _ids(self, query: str = f"{_SERIES} {_ORDER}", *names: str) -> dict[Series, int]:
        """Return series in their order, each with its number."""
        return {Series(*rest): number for number, *rest in self._connection.execute(query, names)}


@contextmanager
def read_points(path: Path) -> Generator[SqliteReader]:
    """Open a point store for reading.

    Raises:
        InputError: There is none, or none that this program knows.
    """
    with closing(connect_reader(path, SCHEMA)) as connection:
        yield SqliteReader(connection, path)


class SqlitePoints:
    """`ports.PointStore` as its one writer has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> "AsyncGenerator[SqlitePoints]":
        """Open the store as its owner, made on first use.

        Raises:
            InputError: Another process owns it, or it is no point store.
        """
        async with open_database(path, SCHEMA) as database:
            yield cls(database)

    async def write(self, points: Sequence[Point]) -> int:
        """Store points durably; at one place the point with the larger `ref` stays. Idempotent.

        Returns 0: it takes all.

        Raises:
            UnavailableError: The disk failed or is full.
        """
        if points:
            await self._database.write("points", partial(_store, points=points))
        return 0

    async def counts(self) -> PointCounts:
        """Count what is stored."""
        return await self._database.read(_count)


def _count(connection: Connection) -> PointCounts:
    query = "SELECT (SELECT count(*) FROM points), (SELECT count(*) FROM superseded)"
    return PointCounts(*connection.execute(query).fetchone())


def _store(connection: Connection, points: Sequence[Point]) -> None:
    ids: dict[tuple[str, str, str, str], int] = {}
    rows: list[tuple[int, int, float, int]] = []
    for point in points:
        name = point.kind, point.device, point.subject, point.quantity
        series = ids.get(name)
        if series is None:
            series = ids[name] = _series_id(connection, name)
        rows.append((series, point.time_us, point.value, point.ref))
    inserted = connection.executemany("INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?)", rows).rowcount
    if inserted < len(rows):  # Some place was taken: by the same point, an earlier or a later one.
        for row in rows:
            _settle(connection, *row)
    # A crash here leaves none of these points; the projector reads their log entries again.
    step("points.inserted")


def _settle(connection: Connection, series: int, time_us: int, value: float, ref: int) -> None:
    """Let the later of two points at one place stay, and put the other aside."""
    query = "SELECT value, ref FROM points WHERE series = ? AND time_us = ?"
    stored_value, stored_ref = connection.execute(query, (series, time_us)).fetchone()
    if ref >= stored_ref:
        update = "UPDATE points SET value = ?, ref = ? WHERE series = ? AND time_us = ?"
        connection.execute(update, (value, ref, series, time_us))
    if ref != stored_ref:
        older = (ref, value) if ref < stored_ref else (stored_ref, stored_value)
        connection.execute("INSERT OR IGNORE INTO superseded VALUES (?, ?, ?, ?)", (series, time_us, *older))


def _series_id(connection: Connection, name: tuple[str, str, str, str]) -> int:
    query = "SELECT id FROM series WHERE kind = ? AND device = ? AND subject = ? AND quantity = ?"
    row = connection.execute(query, name).fetchone()
    if row is None:
        insert = "INSERT INTO series (kind, device, subject, quantity) VALUES (?, ?, ?, ?) RETURNING id"
        row = connection.execute(insert, name).fetchone()
    return int(row[0])
