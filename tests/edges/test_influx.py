"""What only the store on InfluxDB promises: what it will not take is kept; while it is away, writes wait."""

import asyncio
import gzip
import logging
from pathlib import Path

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.service.write_service import WriteService

from pipeline.edges.influx import InfluxPoints, encode_line
from pipeline.ports import Point
from pipeline.wire.errors import InputError, UnavailableError
from tests.edges.implementations import influx_bucket, influx_points
from tests.support.servers import servers


def open_client() -> InfluxDBClient:
    return InfluxDBClient(f"http://{servers()['influx']}", servers()["influx_token"], org="city")


def a_point(time_us: int, kind: str = "air") -> Point:
    return Point(kind, "urn:dev:org:32473-air-1", "site", "no2", time_us, 1.5, time_us)


@pytest.mark.needs("servers")
async def test_what_influxdb_will_not_take_is_kept_as_a_line(tmp_path: Path) -> None:
    """Someone else wrote the field as text: that point is rejected and kept, all others are stored."""
    async with influx_points(tmp_path) as points:
        await points.store.write([a_point(0)])
        bucket = influx_bucket(tmp_path)
        other = 'other,device=urn:dev:org:32473-air-1,quantity=no2,subject=site value="text",ref=1i 99'
        with open_client() as client:
            WriteService(client.api_client).post_write("city", bucket, other, precision="us")
        await points.store.write([a_point(n, kind) for n in range(10) for kind in ("air", "other")])
        stored = await points.read()
    assert {place[4] for place in stored if place[0] == "air"} == set(range(10))
    rejected = (tmp_path / "rejected.lines").read_text().splitlines()
    assert [line.split(",")[0] for line in rejected] == ["other"] * 10
    assert rejected[3].endswith(" value=1.5,ref=3i 3")


async def test_a_write_waits_while_influxdb_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing answers at first; once something does, the points go to it, and the write ends."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        seen.append(await reader.readexactly(length))
        status = b"503 busy" if len(seen) == 1 else b"204 stored"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    with InfluxDBClient(f"http://{host}:{port}", "token", org="city") as client:
        store = InfluxPoints(WriteService(client.api_client), "city", "points", tmp_path / "rejected.lines")
        with caplog.at_level(logging.WARNING):
            writing = asyncio.create_task(store.write([a_point(1)]))
            await asyncio.wait([writing], timeout=1)
        assert not writing.done()
        assert "trying again" in caplog.text
        async with await asyncio.start_server(answer, host, port):
            await asyncio.wait_for(writing, 60)
    assert [gzip.decompress(body) for body in seen] == [encode_line(a_point(1)).encode()] * 2


@pytest.mark.needs("servers")
async def test_a_wrong_token_or_address_is_named(tmp_path: Path) -> None:
    """A person's setting is at fault, or InfluxDB is away: two errors."""
    url = f"http://{servers()['influx']}"
    with pytest.raises(InputError, match="no bucket points-of-nobody of city"):
        async with InfluxPoints.open(url, "wrong", "city", "points-of-nobody", tmp_path / "rejected"):
            pass
    with pytest.raises(UnavailableError, match="InfluxDB"):
        async with InfluxPoints.open("http://127.0.0.1:9", "t", "city", "points", tmp_path / "rejected"):
            pass
