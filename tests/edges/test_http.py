"""HTTP on loopback: a witness asked by the publisher's client, and a log's files as outsiders fetch them."""

import asyncio
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from pipeline.edges.http_client import HttpWitness, open_client
from pipeline.edges.http_server import REQUEST_BYTES_MAX, files_app, serve, witness_app
from pipeline.log.checkpoint import Checkpoint, sign_checkpoint
from pipeline.log.cosigning import SIZE_CONTENT_TYPE, AddCheckpoint, encode_add_checkpoint
from pipeline.log.note import TYPE_COSIGNATURE, parse_note, verified
from pipeline.stages.witness import Witness
from pipeline.wire.errors import InputError, UnavailableError
from tests.support.city import LOG, ORIGIN, WITNESSES
from tests.support.memory_files import MemoryFiles

HOST = "127.0.0.1"
NOW_S = 1_800_000_000
ROOT = sha256(b"a root").digest()
TOKEN = "t" * 40


class FixedClock:
    """A clock that stands still."""

    def now_s(self) -> float:
        return NOW_S


def request(size: int, old: int = 0) -> bytes:
    """A signed add-checkpoint request from the empty tree."""
    return encode_add_checkpoint(AddCheckpoint(old, [], sign_checkpoint(Checkpoint(ORIGIN, size, ROOT), LOG)))


def witness() -> Witness:
    """A witness that has seen nothing yet."""
    return Witness(WITNESSES[0], {ORIGIN: LOG.key()}, MemoryFiles(), MemoryFiles(), FixedClock())


async def test_a_witness_answers_over_http_as_it_does_in_process() -> None:
    """200 with its line; 409 with the size and its content type; the cosigned note where monitors look."""
    async with serve(witness_app(witness()), HOST, 0) as (host, port), open_client() as client:
        url = f"http://{host}:{port}"
        remote = HttpWitness("w", url + "/", client)
        answer = await remote.add_checkpoint(request(3))
        assert (answer.status, answer.content_type) == (200, "text/plain; charset=utf-8")
        again = await remote.add_checkpoint(request(3))
        assert (again.status, again.content_type, again.body) == (409, SIZE_CONTENT_TYPE, b"3\n")
        assert (await remote.add_checkpoint(b"nonsense")).status == 400

        origin_hash = sha256(ORIGIN.encode()).hexdigest()
        latest = await client.get(f"{url}/{origin_hash}/checkpoint")
        keys = [LOG.key(), WITNESSES[0].key(TYPE_COSIGNATURE)]
        assert [key for key, _ in verified(parse_note(latest.content), keys)] == keys
        assert (await client.get(f"{url}/{'0' * 64}/checkpoint")).status_code == 404


async def test_a_request_that_is_too_large_is_refused_and_hurts_nobody() -> None:
    """Refused at the limit, without reading on; the next request is answered."""
    async with serve(witness_app(witness()), HOST, 0) as (host, port), open_client() as client:
        remote = HttpWitness("w", f"http://{host}:{port}", client)
        assert (await remote.add_checkpoint(b"x" * (REQUEST_BYTES_MAX + 1))).status == 400
        assert (await remote.add_checkpoint(request(3))).status == 200


async def test_a_witness_that_is_not_there_did_not_answer() -> None:
    """Nothing listens: the publisher waits, it does not stop."""
    async with serve(witness_app(witness()), HOST, 0) as (host, port):
        pass
    async with open_client() as client:
        with pytest.raises(UnavailableError, match="witness gone did not answer"):
            await HttpWitness("gone", f"http://{host}:{port}", client).add_checkpoint(request(3))


async def test_an_endless_answer_is_cut_off() -> None:
    """A witness gone wrong cannot fill the publisher's memory."""

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with open_client() as client:
        with pytest.raises(UnavailableError, match="an endless answer"):
            await HttpWitness("w", f"http://{HOST}:{port}", client).add_checkpoint(request(3))
    server.close()
    await server.wait_closed()


async def test_a_taken_port_is_named() -> None:
    """One clear error, with the remedy."""
    async with serve(witness_app(witness()), HOST, 0) as (host, port):
        with pytest.raises(InputError, match=f"cannot listen on {host}:{port}"):
            async with serve(witness_app(witness()), host, port):
                pass


FILES = {
    "checkpoint": b"note",
    "tile/0/000": b"tile",
    "tile/0/x001/234.p/7": b"partial",
    "tile/entries/000.p/3": b"entries",
    "block/3/000": b"body",
    "registry": b"snapshot",
}


def get(path: str, token: str | None = TOKEN, **headers: str) -> httpx.Response:
    """Fetch one path of a log's files."""

    async def main() -> httpx.Response:
        async with (
            serve(files_app(FILES.get, token), HOST, 0) as (host, port),
            httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client,
        ):
            return await client.get(path, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith(("block", "registry"))])
def test_checkpoint_and_tiles_are_for_everyone(path: str) -> None:
    """Tiles may be kept for ever, the checkpoint for a moment."""
    got = get(f"/{path}")
    assert (got.status_code, got.content) == (200, FILES[path])
    immutable = "immutable" in got.headers["cache-control"]
    assert immutable == (path != "checkpoint")
    expected = "text/plain; charset=utf-8" if path == "checkpoint" else "application/octet-stream"
    assert got.headers["content-type"] == expected


@pytest.mark.parametrize("path", ["block/3/000", "registry"])
def test_bodies_and_the_registry_are_for_auditors(path: str) -> None:
    """With the token, and nobody's cache keeps them; without it, or where no token was set, nothing."""
    got = get(f"/{path}", authorization=f"Bearer {TOKEN}")
    assert (got.status_code, got.content) == (200, FILES[path])
    assert got.headers["cache-control"] == "private, no-store"
    for token, headers in (
        (TOKEN, {}),
        (TOKEN, {"authorization": "Bearer wrong"}),
        (None, {"authorization": "Bearer none"}),
    ):
        refused = get(f"/{path}", token, **headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/001",
        "/tile/0/1",
        "/tile/%2e%2e/checkpoint",
        "/tile/entries/000.p/",
        "/keys/log.key",
        "/tile/0/000/",
    ],
)
def test_what_is_no_file_of_the_log_is_not_found(path: str) -> None:
    """Neither what is missing nor what is written in any other way."""
    assert get(path).status_code == 404


def test_the_files_of_a_folder_are_read_below_it(tmp_path: Path) -> None:
    """The command's reader answers None for what is not there."""
    from pipeline.commands.reading import reader_of

    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "checkpoint").write_bytes(b"note")
    read = reader_of(tmp_path)
    assert read("checkpoint") == b"note"
    assert read("tile/0/000") is None
    with pytest.raises(InputError, match="holds no log"):
        reader_of(tmp_path / "log")
