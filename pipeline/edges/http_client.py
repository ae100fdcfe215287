"""HTTP clients of the log: one asks a witness for its cosignature, the other reads a log's files."""

import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx

from pipeline.identity.archived import REGISTRY_PATH
from pipeline.ports import WitnessAnswer
from pipeline.wire.errors import InputError, UnavailableError

ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_S = 5.0
FILE_BYTES_MAX = 64 * 1024 * 1024  # An entry bundle has 17 MB at most, a registry of 250,000 keys 60.
FILE_S = 60.0  # For one file, however slowly it comes.
ATTEMPTS = 6
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0

_NOT_THERE = frozenset({404, 410})
_TRANSIENT = frozenset({408, 425, 429, *range(500, 600)})


class HttpWitness:
    """`ports.WitnessClient` over C2SP tlog-witness.

    Args:
        name: What to call the witness in messages to people.
        url: Its submission prefix, from the policy file.
        client: An open HTTP client.
    """

    def __init__(self, name: str, url: str, client: httpx.AsyncClient) -> None:
        self.name = name
        self._url = url.rstrip("/") + "/add-checkpoint"
        self._client = client

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        """Send an add-checkpoint body.

        Raises:
            UnavailableError: It did not answer, or answered more than anybody honest would.
        """
        try:
            async with self._client.stream("POST", self._url, content=request) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise UnavailableError(f"witness {self.name}", "an endless answer")
                return WitnessAnswer(
                    response.status_code, response.headers.get("content-type", ""), bytes(body)
                )
        except httpx.HTTPError as error:
            raise UnavailableError(f"witness {self.name}", f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def open_client() -> AsyncGenerator[httpx.AsyncClient]:
    """Open a client that follows no redirect and trusts no environment: URLs come from the policy only."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
        yield client


class HttpFiles:
    """`tiles.ReadFile` over HTTP (C2SP tlog-tiles). It can be handed to another process.

    What may pass is tried again, with back-off and jitter: no answer, a torn one, a server in trouble. Only a
    server that says so makes a file missing. A path that is asked for twice in a row was no good the first
    time: the second answer does not come from a cache on the way.

    Args:
        url: The log's prefix.
        token: The auditor's token, for block bodies and the registry.
        pause: How to wait between attempts, seconds.
    """

    def __init__(self, url: str, token: str | None, pause: Callable[[float], None] = time.sleep) -> None:
        self._url = url.rstrip("/") + "/"
        self._token = token
        self._pause = pause
        self._last = ""
        self._client: httpx.Client | None = None

    def __reduce__(self) -> tuple[type["HttpFiles"], tuple[str, str | None, Callable[[float], None]]]:
        """Return how to make another one, with connections of its own."""
        return HttpFiles, (self._url, self._token, self._pause)

    def __call__(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where the server says that it is missing.

        Raises:
            UnavailableError: It did not answer in several attempts.
            InputError: It wants another token, or is no server of a log's files.
        """
        fresh = path == self._last
        self._last = path
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._get(path, fresh=fresh or attempt > 0)
            except UnavailableError:
                longest_s = min(RETRY_FIRST_S * 2**attempt, RETRY_MAX_S)
                self._pause(longest_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
        return self._get(path, fresh=True)

    def close(self) -> None:
        """End its connections; the next call makes others."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _get(self, path: str, *, fresh: bool) -> bytes | None:
        if self._client is None:
            self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        headers = {"cache-control": "no-cache"} if fresh else {}
        if self._token is not None and (path.startswith("block/") or path == REGISTRY_PATH):
            # No other file asks for it, and it is nobody else's business.
            headers["authorization"] = f"Bearer {self._token}"
        try:
            with self._client.stream("GET", self._url + path, headers=headers) as response:
                if response.status_code == httpx.codes.OK:
                    return self._read(path, response)
                self._refuse(path, response.status_code)
                return None
        except httpx.HTTPError as error:
            raise UnavailableError(self._url + path, f"{type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise InputError("URL", f"{self._url}: {error}", "Write http://HOST:PORT or https://.") from error

    def _read(self, path: str, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + FILE_S
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > FILE_BYTES_MAX or time.monotonic() > deadline:
                raise UnavailableError(self._url + path, "an endless answer")
        return bytes(body)

    def _refuse(self, path: str, status: int) -> None:
        """Raise what an answer without the file means, unless it is that there is none."""
        if status in _NOT_THERE:
            return
        if status in {401, 403}:
            problem = f"{self._url}{path} wants the token of an auditor, and not this one"
            raise InputError("--auditor-token-file", problem, "Name the file that holds it.")
        if status in _TRANSIENT:
            raise UnavailableError(self._url + path, f"status {status}")
        raise InputError("URL", f"{self._url}{path} answers {status}", "Name the prefix of a log's files.")
