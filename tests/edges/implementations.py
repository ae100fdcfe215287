"""Every implementation of a port, for the contract tests. A new one is one line in its table."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote

from pipeline.edges.files import LocalFiles
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_points import SqlitePoints, read_points
from pipeline.ports import Bus, Files, Point, PointReader, PointStore
from tests.support.memory_bus import MemoryBus
from tests.support.memory_files import MemoryFiles
from tests.support.servers import servers

TOPICS = {"statements": 3, "log": 1, "state": 2}
COMPACTED = {"state"}
START_S = 1_800_000_000.0

OpenBus = Callable[[], AbstractAsyncContextManager[Bus]]
Places = Mapping[tuple[str, str, str, str, int], tuple[float, int]]


@dataclass(slots=True)
class SetClock:
    """`ports.Clock` that says what a test wants."""

    time_s: float = START_S

    def now_s(self) -> float:
        return self.time_s


@dataclass(frozen=True, slots=True)
class OpenPoints:
    """A point store, how to read all of it back, past our code, and how our reader of it is opened.

    `read`: kind, device, subject, quantity, time -> value, ref. `intrude` writes points past the writer.
    """

    store: PointStore
    read: Callable[[], Awaitable[Places]]
    reader: Callable[[], AbstractContextManager[PointReader]]
    intrude: Callable[[Point], None]


def sqlite_bus(folder: Path, clock: SetClock) -> OpenBus:
    return lambda: SqliteBus.open(folder / "bus.db", TOPICS, compacted=COMPACTED, clock=clock)


def memory_bus(_folder: Path, clock: SetClock) -> OpenBus:
    bus = MemoryBus(TOPICS, marked=frozenset({"log"}), now_s=clock.now_s)

    @asynccontextmanager
    async def open_again() -> AsyncGenerator[Bus]:
        yield bus

    return open_again


def kafka_bus(_folder: Path, _clock: SetClock) -> OpenBus:
    from pipeline.edges.kafka import KafkaBus

    prefix = f"test-{token_hex(6)}."
    return lambda: KafkaBus.open(servers()["kafka"], TOPICS, compacted=COMPACTED, prefix=prefix)


BUSES: Mapping[str, Callable[[Path, SetClock], OpenBus]] = {
    "sqlite": sqlite_bus,
    "memory": memory_bus,
    "kafka": kafka_bus,
}
ON_SERVERS = {"kafka", "influx"}


@asynccontextmanager
async def sqlite_points(folder: Path) -> AsyncGenerator[OpenPoints]:
    path = folder / "points.db"

    async def read() -> Places:
        query = (
            "SELECT kind, device, subject, quantity, time_us, value, ref FROM points "
            "JOIN series ON series.id = points.series"
        )
        with closing(sqlite3.connect(path)) as connection:
            return {tuple(row[:5]): tuple(row[5:]) for row in connection.execute(query)}

    def intrude(point: Point) -> None:
        place = point.kind, point.device, point.subject, point.quantity
        with closing(sqlite3.connect(path)) as connection, connection:
            names = "kind, device, subject, quantity"
            connection.execute(f"INSERT OR IGNORE INTO series ({names}) VALUES (?, ?, ?, ?)", place)
            of = f"SELECT id FROM series WHERE ({names}) = (?, ?, ?, ?)"
            (series,) = connection.execute(of, place).fetchone()
            row = series, point.time_us, point.value, point.ref
            connection.execute("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", row)

    async with SqlitePoints.open(path) as store:
        yield OpenPoints(store, read, lambda: read_points(path), intrude)


def influx_bucket(folder: Path) -> str:
    return f"test-{sha256(str(folder).encode()).hexdigest()[:16]}"


@asynccontextmanager
async def influx_points(folder: Path) -> AsyncGenerator[OpenPoints]:
    """One bucket for each folder."""
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS

    from pipeline.edges.influx import InfluxPoints
    from pipeline.edges.influx_reader import read_influx

    at = servers()
    org, token = at["influx_org"], at["influx_token"]
    bucket = influx_bucket(folder)
    with InfluxDBClient(f"http://{at['influx']}", token, org=org) as client:
        if client.buckets_api().find_bucket_by_name(bucket) is None:
            client.buckets_api().create_bucket(bucket_name=bucket)

        async def read() -> Places:
            flux = (
                f'from(bucket: "{bucket}") |> range(start: 0, stop: 2262-01-01T00:00:00Z) '
                '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
            )
            places: dict[tuple[str, str, str, str, int], tuple[float, int]] = {}
            for table in client.query_api().query(flux):
                for row in table.records:
                    tags = (unquote(row.values[tag]) for tag in ("device", "subject", "quantity"))
                    time_us = (row.get_time() - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
                    device, subject, quantity = tags
                    place = row.get_measurement(), device, subject, quantity, time_us
                    places[place] = row.values["value"], row.values["ref"]
            return places

        def intrude(point: Point) -> None:
            tags = {"device": point.device, "subject": point.subject, "quantity": point.quantity}
            row = {"measurement": point.kind, "tags": tags, "time": point.time_us * 1000}
            row["fields"] = {"value": point.value, "ref": point.ref}
            client.write_api(SYNCHRONOUS).write(bucket, org, row)  # Nanoseconds, where nothing is said.

        url = f"http://{at['influx']}"
        opened = InfluxPoints.open(url, token, org, bucket, folder / "rejected.lines")
        async with opened as store:
            yield OpenPoints(store, read, lambda: read_influx(url, token, org, bucket), intrude)


POINT_STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[OpenPoints]]] = {
    "sqlite": sqlite_points,
    "influx": influx_points,
}


FOLDERS: Mapping[str, Callable[[Path], Files]] = {
    "local": LocalFiles,
    "memory": lambda _folder: MemoryFiles(),
}
