"""What only the store on InfluxDB promises: what it will not take is kept; while it is away, writes wait."""

import asyncio
import gzip
import logging
from math import isnan
from pathlib import Path

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.service.write_service import WriteService

from pipeline.edges.influx import InfluxPoints, encode_lines
from pipeline.edges.influx_reader import read_influx
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
    assert [gzip.decompress(body) for body in seen] == ["\n".join(encode_lines([a_point(1)])).encode()] * 2


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


@pytest.mark.needs("servers")
async def test_what_an_intruder_writes_in_a_shape_of_its_own_is_seen(tmp_path: Path) -> None:
    """A tag, a nanosecond or a measurement that is not ours, a field that lacks: points nobody has signed."""
    place = "device=d,quantity=no2,subject=site"
    lines = {
        f"air,{place},x=1 value=9,ref=1i 1000": ("air with x=1", 9.0, 1),
        f"air,{place} value=9,ref=1i 1001": ("air 1 ns late", 9.0, 1),
        f"a\\ kind,{place} value=9,ref=1i 1000": ("a kind", 9.0, 1),
        f"air,{place} value=9 2000": ("air", 9.0, -1),
        f"air,{place} ref=3i 3000": ("air", None, 3),
    }
    async with influx_points(tmp_path) as points:
        await points.store.write([Point("air", "d", "site", "no2", 1, 1.0, 1)])
        bucket = influx_bucket(tmp_path)
        with open_client() as client:
            WriteService(client.api_client).post_write("city", bucket, "\n".join(lines), precision="ns")
        with points.reader() as reader:
            seen = [(p.kind, None if isnan(p.value) else p.value, p.ref) for p in reader.scan()]
            assert sorted(map(repr, seen)) == sorted(map(repr, [("air", 1.0, 1), *lines.values()]))
            assert reader.count_below(100) != 1, "what has no ref is counted, too"
            assert all("token" in name for name in reader.writers())
            assert reader.writers()


@pytest.mark.needs("servers")
async def test_a_series_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a series comes, each point once, also where an intruder's halves of points end a page."""
    monkeypatch.setattr("pipeline.edges.influx_reader.PAGE_POINTS", 7)
    async with influx_points(tmp_path) as points:
        written = [a_point(n) for n in range(50)]
        await points.store.write(written)
        half = "air,device=urn:dev:org:32473-air-1,quantity=no2,subject=site value=1"
        with open_client() as client:
            body = "\n".join(f"{half} {n}" for n in (1006, 1007, 1008))
            WriteService(client.api_client).post_write("city", influx_bucket(tmp_path), body, precision="us")
        with points.reader() as reader:
            found = list(reader.scan())
    assert found[:50] == written
    assert [(p.time_us, p.ref) for p in found[50:]] == [(1006, -1), (1007, -1), (1008, -1)]


@pytest.mark.needs("servers")
async def test_reading_names_what_is_wrong(tmp_path: Path) -> None:
    """No bucket and a wrong token are a person's to mend; a server that is away is asked again later."""
    url, token = f"http://{servers()['influx']}", servers()["influx_token"]
    for given in ("wrong", token):
        with (
            pytest.raises(InputError, match="points-of-nobody"),
            read_influx(url, given, "city", "points-of-nobody") as reader,
        ):
            reader.series()
    with (
        pytest.raises(UnavailableError, match="InfluxDB"),
        read_influx("http://127.0.0.1:9", "t", "city", "points") as reader,
    ):
        reader.series()
