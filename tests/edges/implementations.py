"""Every implementation of a port, for the contract tests. A new one is one line in its table."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote

from pipeline.edges.files import LocalFiles
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_points import SqlitePoints, read_points
from pipeline.ports import Bus, Files, PointStore
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
    """A point store and how to read all of it back: kind, device, subject, quantity, time -> value, ref."""

    store: PointStore
    read: Callable[[], Awaitable[Places]]


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
    async def read() -> Places:
        with read_points(folder / "points.db") as reader:
            return {
                (p.kind, p.device, p.subject, p.quantity, p.time_us): (p.value, p.ref) for p in reader.scan()
            }

    async with SqlitePoints.open(folder / "points.db") as store:
        yield OpenPoints(store, read)


def influx_bucket(folder: Path) -> str:
    return f"test-{sha256(str(folder).encode()).hexdigest()[:16]}"


@asynccontextmanager
async def influx_points(folder: Path) -> AsyncGenerator[OpenPoints]:
    """One bucket for each folder."""
    from influxdb_client.client.influxdb_client import InfluxDBClient

    from pipeline.edges.influx import InfluxPoints

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

        opened = InfluxPoints.open(f"http://{at['influx']}", token, org, bucket, folder / "rejected.lines")
        async with opened as store:
            yield OpenPoints(store, read)


POINT_STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[OpenPoints]]] = {
    "sqlite": sqlite_points,
    "influx": influx_points,
}


FOLDERS: Mapping[str, Callable[[Path], Files]] = {
    "local": LocalFiles,
    "memory": lambda _folder: MemoryFiles(),
}
