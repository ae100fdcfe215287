"""A log's files over HTTP: what passes is tried again; only a server that says so makes a file missing."""

import asyncio
import pickle
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from pipeline.edges.http_client import ATTEMPTS, FILE_BYTES_MAX, HttpFiles
from pipeline.edges.http_server import files_app, serve
from pipeline.verify.fsck import LogCheck
from pipeline.verify.monitor import Monitor, Patience
from pipeline.wire.errors import InputError, UnavailableError
from tests.support.city import AUTHORITIES, NOW_MS, POLICY, ForgedLog, device_in, enrol

HOST = "127.0.0.1"
TOKEN = "t" * 40
OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nwhole"
TORN = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhalf"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
RESET = b""

Requests = list[bytes]


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncGenerator[tuple[str, Requests]]:
    """A server that gives these answers, one a connection and the last one for ever; what it was asked."""
    asked: Requests = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answers[min(len(asked), len(answers)) - 1])
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://{HOST}:{port}", asked


class Pauses(list[float]):
    """Notes how long it was to wait, and does not."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def read(*paths: str, url: str, token: str | None = None, pauses: Pauses | None = None) -> list[Any]:
    """Read these in turn, in a thread, as the server needs the loop."""

    def work() -> list[Any]:
        made: HttpFiles = pickle.loads(pickle.dumps(HttpFiles(url, token)))  # As another process gets it.
        with closing(HttpFiles(url, token, pauses) if pauses is not None else made) as files:
            return [files(path) for path in paths]

    return await asyncio.to_thread(work)


@pytest.mark.parametrize("passing", [TORN, BUSY, RESET], ids=["torn", "busy", "reset"])
async def test_what_passes_is_tried_again_with_jitter(passing: bytes) -> None:
    """The file comes whole at last; waits grow, and are not the same for everybody."""
    async with answering(passing, passing, passing, OK) as (url, asked):
        pauses = Pauses()
        assert await read("checkpoint", url=url, pauses=pauses) == [b"whole"]
    assert len(asked) == 4
    for attempt, pause in enumerate(pauses):
        assert 0.1 * 2**attempt <= pause <= 0.2 * 2**attempt
    assert len({round(pause / 2**attempt, 6) for attempt, pause in enumerate(pauses)}) == 3


async def test_what_does_not_pass_is_no_evidence() -> None:
    """After some attempts it did not answer: that is not a missing file."""
    async with answering(BUSY) as (url, asked):
        with pytest.raises(UnavailableError, match="status 503"):
            await read("checkpoint", url=url, pauses=Pauses())
    assert len(asked) == ATTEMPTS
    with pytest.raises(UnavailableError, match="ConnectError"):
        await read("checkpoint", url=url, pauses=Pauses())


async def test_an_endless_file_is_cut_off() -> None:
    """No file of a log is that large."""
    flood = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(FILE_BYTES_MAX + 1)
    async with answering(flood) as (url, _):
        with pytest.raises(UnavailableError, match="endless"):
            await read("tile/0/000", url=url, pauses=Pauses())


async def test_a_second_look_passes_caches_by() -> None:
    """A path asked for twice in a row was no good the first time."""
    async with answering(OK) as (url, asked):
        await read("tile/0/000", "tile/0/001", "tile/0/001", url=url)
    assert [b"no-cache" in request for request in asked] == [False, False, True]


async def test_the_token_goes_with_what_asks_for_it_only() -> None:
    """That is block bodies and the registry; a copy in another process has it as well."""
    async with answering(OK) as (url, asked):
        await read("tile/0/000", "block/1/000", "registry", "checkpoint", url=url, token=TOKEN)
    assert [TOKEN.encode() in request for request in asked] == [False, True, True, False]


def published() -> ForgedLog:
    """A small log."""
    log = ForgedLog()
    device = device_in(1)
    log.enrol(enrol(device, 0))
    log.add(1, [device.read() for _ in range(5)])
    log.publish(time_s=NOW_MS // 1000)
    return log


def check(url: str, token: str | None, now_s: float) -> list[tuple[str, str]]:
    """What fsck finds behind a URL."""
    with closing(HttpFiles(url, token, Pauses())) as files:
        findings = LogCheck(files, POLICY, AUTHORITIES, now_s=now_s).run()
        return [(finding.path, finding.reason.value) for finding in findings]


async def test_fsck_over_http_finds_what_it_finds_in_a_folder() -> None:
    """Clean where it is; the body that is not there; an old checkpoint; without the token, no verdict."""
    log = published()
    now_s = NOW_MS / 1000
    async with serve(files_app(log.files.get, TOKEN), HOST, 0) as (host, port):
        url = f"http://{host}:{port}"
        assert await asyncio.to_thread(check, url, TOKEN, now_s) == []
        late = await asyncio.to_thread(check, url, TOKEN, now_s + 86_401)
        assert late == [("checkpoint", "checkpoint_stale")]
        with pytest.raises(InputError, match="wants the token of an auditor"):
            await asyncio.to_thread(check, url, None, now_s)
        del log.files["block/1/000"]
        missing = await asyncio.to_thread(check, url, TOKEN, now_s)
        assert missing == [("block/1/000", "file_missing")]


async def test_what_a_line_garbles_once_is_not_evidence() -> None:
    """Every file comes wrong at its first reading; the second one is right, and nobody is accused."""
    log = published()
    seen: set[str] = set()

    def garbling(path: str) -> bytes | None:
        data = log.files.get(path)
        if data is None or path in seen:
            return data
        seen.add(path)
        return bytes([data[0] ^ 1]) + data[1:]

    assert [*LogCheck(garbling, POLICY, AUTHORITIES).run()] == []
    assert seen == set(log.files), "every file was read"


async def test_a_monitor_follows_over_http() -> None:
    """With the auditor's token all of it, without what everybody may see; silence accuses nobody."""
    log = published()
    size = len(log.entries)
    said: list[str] = []
    async with serve(files_app(log.files.get, TOKEN), HOST, 0) as (host, port):
        url = f"http://{host}:{port}"
        for token in (TOKEN, None):
            assert await asyncio.to_thread(follow, url, token, said) == (size, size)
    assert said == []
    assert await asyncio.to_thread(follow, url, TOKEN, said) == (0, 0)
    assert said == ["log_silent"]


def follow(url: str, token: str | None, said: list[str]) -> tuple[int, int]:
    """Look once, with a new monitor; return how far it came."""
    now_s = NOW_MS // 1000
    with closing(HttpFiles(url, token, Pauses())) as files:
        patience = Patience(skew_s=10**9)
        monitor = Monitor(files, POLICY, AUTHORITIES, patience, bodies=token is not None)
        monitor.look(now_s)
        while monitor.advance(now_s):
            pass
    said += [report.reason.value for report in monitor.reports.take()]
    return monitor.position
