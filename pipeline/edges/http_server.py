"""HTTP servers: a witness that cosigns (C2SP tlog-witness), a log's files (tlog-tiles), pages, health.

Starlette says what is served, uvicorn serves it on h11, whose header limits it has. Bodies, times and the
number of connections are bounded here.
"""

import asyncio
import hmac
import re
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.log.tiles import ReadFile
from pipeline.ports import WitnessAnswer
from pipeline.wire.errors import InputError

REQUEST_BYTES_MAX = 64 * 1024
REQUEST_S = 10.0
CONNECTIONS_MAX = 256
IMMUTABLE = "public, max-age=31536000, immutable"
FRESH = "public, max-age=2"
PRIVATE = "private, no-store"
TEXT = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

# Nothing inline, nothing from elsewhere, nobody's frame: a page that verifies must not be somebody else's.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

_TILE = re.compile(r"tile/(?:[0-9]{1,2}|entries)(?:/x[0-9]{3})*/[0-9]{3}(?:\.p/[0-9]{1,3})?", re.ASCII)
_BLOCK = re.compile(r"block/[0-9]{1,5}(?:/x[0-9]{3})*/[0-9]{3}|registry", re.ASCII)


class WitnessService(Protocol):
    """What a witness does for those who ask over HTTP."""

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        """Answer an add-checkpoint body."""
        ...

    def latest(self, origin_hash: str) -> bytes | None:
        """Return the latest cosigned checkpoint of the log whose origin has this SHA-256, in hex."""
        ...


def witness_app(witness: WitnessService) -> Starlette:
    """Return the application of a witness: POST /add-checkpoint, GET /<origin hash>/checkpoint."""

    async def add_checkpoint(request: Request) -> Response:
        body = await _read_body(request)
        if body is None:
            return Response("the request is too large or too slow\n", 400, media_type=TEXT)
        answer = await witness.add_checkpoint(body)
        return Response(answer.body, answer.status, {"content-type": answer.content_type})

    async def latest(request: Request) -> Response:
        note = witness.latest(request.path_params["origin_hash"])
        if note is None:
            return Response("no checkpoint of this log was cosigned here\n", 404, media_type=TEXT)
        return Response(note, headers={"content-type": TEXT, "cache-control": FRESH})

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin_hash:str}/checkpoint", latest, methods=["GET"]),
        ]
    )


def files_app(read: ReadFile, auditor_token: str | None) -> Starlette:
    """Return the application of a log's files: checkpoint and tiles to everyone, block bodies to auditors."""

    async def checkpoint(_request: Request) -> Response:
        return await _file(read, "checkpoint", TEXT, FRESH)

    async def tile(request: Request) -> Response:
        path = request.url.path.removeprefix("/")
        if not _TILE.fullmatch(path):
            return Response("no such tile\n", 404, media_type=TEXT)
        return await _file(read, path, "application/octet-stream", IMMUTABLE)

    async def block(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if auditor_token is None or not hmac.compare_digest(given.encode(), auditor_token.encode()):
            headers = {"www-authenticate": "Bearer"}
            return Response("block bodies are for auditors: send their token\n", 401, headers, TEXT)
        path = request.url.path.removeprefix("/")
        if not _BLOCK.fullmatch(path):
            return Response("no such block\n", 404, media_type=TEXT)
        return await _file(read, path, "application/octet-stream", PRIVATE)

    return Starlette(
        routes=[
            Route("/checkpoint", checkpoint, methods=["GET"]),
            Route("/tile/{path:path}", tile, methods=["GET"]),
            Route("/block/{path:path}", block, methods=["GET"]),
            Route("/registry", block, methods=["GET"]),
        ]
    )


def web_app(read: ReadFile, static: Path) -> Starlette:
    """Return the application of the pages: files of `static` as they are, and a log's public files."""

    async def first(_request: Request) -> Response:
        return RedirectResponse("/verify.html")

    pages = _WithHeaders(StaticFiles(directory=static), PAGE_HEADERS)
    return Starlette(
        routes=[
            Route("/", first, methods=["GET"]),
            *files_app(read, None).routes,
            Mount("/", pages),
        ]
    )


class _WithHeaders:
    """An application whose every answer has these headers."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers)


def health_app(unready: Callable[[], Sequence[str]], metrics: Callable[[], bytes]) -> Starlette:
    """Return the application of a service's health: /health/live, /health/ready, /metrics.

    Args:
        unready: Says which parts are not at work, or not yet.
        metrics: Makes the page for Prometheus.
    """

    async def live(_request: Request) -> Response:
        return Response("live\n", media_type=TEXT)

    async def ready(_request: Request) -> Response:
        missing = unready()
        if missing:
            return Response(f"not ready: {', '.join(missing)}\n", 503, media_type=TEXT)
        return Response("ready\n", media_type=TEXT)

    async def figures(_request: Request) -> Response:
        return Response(metrics(), headers={"content-type": METRICS})

    return Starlette(
        routes=[
            Route("/health/live", live, methods=["GET"]),
            Route("/health/ready", ready, methods=["GET"]),
            Route("/metrics", figures, methods=["GET"]),
        ]
    )


async def _file(read: ReadFile, path: str, media_type: str, cache: str) -> Response:
    data = await asyncio.to_thread(read, path)
    if data is None:
        return Response("not there, or not yet\n", 404, media_type=TEXT)
    return Response(data, headers={"content-type": media_type, "cache-control": cache})


async def _read_body(request: Request) -> bytes | None:
    """Return the whole body; None if it is larger or slower than anybody honest's."""
    body = bytearray()
    try:
        async with asyncio.timeout(REQUEST_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > REQUEST_BYTES_MAX:
                    return None
    except TimeoutError:
        return None
    return bytes(body)


@asynccontextmanager
async def serve(app: Starlette, host: str, port: int) -> AsyncGenerator[tuple[str, int]]:
    """Serve an application until the context ends; yields the address it listens on.

    Raises:
        InputError: The port is taken.
    """
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        problem = f"cannot listen on {host}:{port}: {error.strerror}"
        raise InputError("--port", problem, "Choose a free port, or 0 for any.") from error
    config = uvicorn.Config(
        app,
        http="h11",  # httptools has no limit on headers.
        ws="none",
        lifespan="off",
        log_level="warning",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=5,
        server_header=False,
    )
    server = _Server(config)
    with listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            address: tuple[str, int] = listening.getsockname()[:2]
            yield address
        finally:
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield
