"""HTTP client of the log: asks a witness for its cosignature."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from pipeline.ports import WitnessAnswer
from pipeline.wire.errors import UnavailableError

ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_S = 5.0


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
