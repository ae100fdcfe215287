"""Webhooks out: a signed POST that says what happened, as Standard Webhooks 1.0.0 has it.

Headers `webhook-id`, `webhook-timestamp` and `webhook-signature`; signed is `id.timestamp.body`, with Ed25519
(scheme `v1a`), so a receiver needs a public key and no secret. The id is the same whenever it comes again.

Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.keys import Signer

TIMEOUT_S = 15.0


def signed_headers(signer: Signer, message_id: str, time_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook; the time is that of sending, POSIX seconds."""
    signature = signer.sign(f"{message_id}.{time_s}.".encode() + body)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(time_s),
        "webhook-signature": f"v1a,{b64encode(signature).decode()}",
    }


def public_key_text(signer: Signer) -> str:
    """Return the key that receivers check with, as the standard writes it."""
    return "whpk_" + b64encode(signer.public_key).decode()


class Webhook:
    """A receiver. `ports.AlarmReceiver` over HTTP; open one with `open_webhook`."""

    def __init__(self, url: str, signer: Signer, client: httpx.AsyncClient) -> None:
        self._url = url
        self._signer = signer
        self._client = client

    async def post(self, message_id: str, body: bytes, time_s: float) -> None:
        """Send; return once it was taken (2xx).

        Raises:
            UnavailableError: It was not; it is to be sent again.
        """
        headers = signed_headers(self._signer, message_id, int(time_s), body)
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                if not response.is_success:
                    raise UnavailableError("the webhook", f"status {response.status_code}")
        except httpx.HTTPError as error:
            raise UnavailableError("the webhook", f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def open_webhook(url: str, signer: Signer) -> AsyncGenerator[Webhook]:
    """Open a receiver's client, which follows no redirect and trusts no environment.

    Raises:
        InputError: It is no URL.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError("--webhook", f"{url!r}: {error}", "Write https://HOST/PATH.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InputError("--webhook", f"{url!r} is no URL", "Write https://HOST/PATH.")
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
        yield Webhook(url, signer, client)
