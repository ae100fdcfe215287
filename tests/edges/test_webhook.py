"""Webhooks: signed as the standard's own vector, taken by a real receiver; any other answer means again."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from nacl.signing import VerifyKey

from pipeline.edges.webhook import open_webhook, public_key_text, signed_headers
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.keys import SeedSigner

# Of the standard's Go library (webhook_asymmetric_test.go): seed, id, time, body, signature.
SEED = b64decode("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
MESSAGE_ID, TIME_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="


def test_it_is_signed_as_the_standard_signs() -> None:
    """The published vector, byte for byte."""
    headers = signed_headers(SeedSigner(SEED), MESSAGE_ID, TIME_S, BODY)
    assert headers == {
        "content-type": "application/json",
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


class Server:
    """An HTTP receiver on loopback that checks signatures by other means, and answers as told."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.taken: list[tuple[str, bytes]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        answer = self.answers.pop(0)
        if not answer:
            writer.close()
            return
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        scheme, _, signature = headers["webhook-signature"].partition(",")
        assert scheme == "v1a"
        key = public_key_text(SeedSigner(SEED)).removeprefix("whpk_")
        VerifyKey(b64decode(key)).verify(signed, b64decode(signature))
        self.taken.append((headers["webhook-id"], body))
        writer.write(b"HTTP/1.1 " + answer + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiver() -> AsyncGenerator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/alarms"
    async with listening:
        yield server


async def test_a_real_receiver_takes_it() -> None:
    """It finds the signature right under the published key; any 2xx is enough."""
    async with receiver() as server, open_webhook(server.url, SeedSigner(SEED)) as webhook:
        server.answers = [b"200 OK", b"204 No Content"]
        await webhook.post("alarm_1", b'{"type": "x"}', 1.8e9)
        await webhook.post("alarm_2", b"{}", 1.8e9)
        assert server.taken == [("alarm_1", b'{"type": "x"}'), ("alarm_2", b"{}")]


@pytest.mark.parametrize("answer", [b"500 Oops", b"429 Wait", b"404 Not Found", b"302 Found", b""])
async def test_every_other_answer_means_again(answer: bytes) -> None:
    """A server in trouble, one that has moved, one that hangs up: it has not taken it."""
    async with receiver() as server, open_webhook(server.url, SeedSigner(SEED)) as webhook:
        server.answers = [answer]
        with pytest.raises(UnavailableError):
            await webhook.post("alarm_1", b"{}", 1.8e9)


async def test_nobody_there_means_again() -> None:
    """No receiver at the port."""
    async with receiver() as server:
        url = server.url
    async with open_webhook(url, SeedSigner(SEED)) as webhook:
        with pytest.raises(UnavailableError):
            await webhook.post("alarm_1", b"{}", 1.8e9)


@pytest.mark.parametrize("url", ["", "alarms", "ftp://host/x", "http://", "http://[::1"])
async def test_what_is_no_url_is_a_persons_mistake(url: str) -> None:
    """It names the option and the remedy."""
    with pytest.raises(InputError, match="--webhook"):
        async with open_webhook(url, SeedSigner(SEED)):
            pass
