"""The embedded point store: series of points in one SQLite file, a projection of the log.

At one place of a series the point with the largest `ref`, the latest in the log, stays; the others are kept
aside as superseded. Both tables are keyed by what they hold, so that writing again changes nothing.
"""

from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.durable import step
from pipeline.edges.sqlite import Connection, Database, Schema, connect_reader, open_database
from pipeline.ports import Point

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


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one subject, as one device measured it."""

    id: int
    kind: str
    device: str
    subject: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Span:
    """How many points a series has, and from when to when."""

    series: Series
    points: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class PointCounts:
    """How many points are stored, and how many were superseded by later ones at their place."""

    stored: int
    superseded: int


class PointReader:
    """Reads a point store, beside whoever writes it. Each call sees what is committed by then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def series(self) -> list[Series]:
        """Return every series, ordered by device, quantity and subject."""
        return [Series(*row) for row in self._connection.execute(f"{_SERIES} {_SERIES_ORDER}")]

    def spans(self) -> list[Span]:
        """Return the span of every series that has points, in the order of `series`."""
        query = "SELECT series, count(*), min(time_us), max(time_us) FROM points GROUP BY series"
        spans = {row[0]: row[1:] for row in self._connection.execute(query)}
        return [Span(series, *spans[series.id]) for series in self.series() if series.id in spans]

    def find_series(self, device: str, quantity: str) -> list[Series]:
        """Return the series of a device's quantity: one a subject it has measured."""
        query = f"{_SERIES} WHERE device = ? AND quantity = ? {_SERIES_ORDER}"
        return [Series(*row) for row in self._connection.execute(query, (device, quantity))]

    def at(self, device: str, quantity: str, time_us: int) -> Point | None:
        """Return the point at exactly this time; of several subjects' the latest in the log."""
        query = f"{POINT_QUERY} WHERE device = ? AND quantity = ? AND time_us = ? ORDER BY ref DESC LIMIT 1"
        row = self._connection.execute(query, (device, quantity, time_us)).fetchone()
        return row and Point(*row)

    def stored(self, device: str, subject: str, quantity: str, time_us: int) -> tuple[float, int] | None:
        """Return value and ref of the point at one place of the store, if it has one.

        Of several kinds' series of these names it is the one that was there first.
        """
        query = (
            "SELECT value, ref FROM points JOIN series ON series.id = series "
            "WHERE device = ? AND quantity = ? AND subject = ? AND time_us = ? ORDER BY series.id LIMIT 1"
        )
        row = self._connection.execute(query, (device, quantity, subject, time_us)).fetchone()
        return row and (row[0], row[1])

    def nearest(self, device: str, quantity: str, time_us: int) -> list[int]:
        """Return the times of the last point before this time and of the first one after it, if any."""
        before: list[int] = []
        after: list[int] = []
        for series in self.find_series(device, quantity):
            last, first = self._connection.execute(
                "SELECT (SELECT max(time_us) FROM points WHERE series = ? AND time_us < ?), "
                "(SELECT min(time_us) FROM points WHERE series = ? AND time_us > ?)",
                (series.id, time_us) * 2,
            ).fetchone()
            before += [last] if last is not None else []
            after += [first] if first is not None else []
        return [*sorted(before)[-1:], *sorted(after)[:1]]

    def range(self, series: Series, first_us: int, last_us: int, limit: int) -> list[Point]:
        """Return up to `limit` points of a series, in time order, both ends of the range included."""
        query = f"{POINT_QUERY} WHERE series = ? AND time_us BETWEEN ? AND ? ORDER BY time_us LIMIT ?"
        return [Point(*row) for row in self._connection.execute(query, (series.id, first_us, last_us, limit))]

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

    def counts(self) -> PointCounts:
        """Count what is stored."""
        query = "SELECT (SELECT count(*) FROM points), (SELECT count(*) FROM superseded)"
        return PointCounts(*self._connection.execute(query).fetchone())


_SERIES = "SELECT id, kind, device, subject, quantity FROM series"
_SERIES_ORDER = "ORDER BY device, quantity, subject, kind"


@contextmanager
def read_points(path: Path) -> Generator[PointReader]:
    """Open a point store for reading.

    Raises:
        InputError: There is none, or none that this program knows.
    """
    with closing(connect_reader(path, SCHEMA)) as connection:
        yield PointReader(connection)


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

    async def write(self, points: Sequence[Point]) -> None:
        """Store points durably; at one place the point with the larger `ref` stays. Idempotent.

        Raises:
            UnavailableError: The disk failed or is full.
        """
        if points:
            await self._database.write("points", partial(_store, points=points))

    async def counts(self) -> PointCounts:
        """Count what is stored."""
        return await self._database.read(lambda connection: PointReader(connection).counts())


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
