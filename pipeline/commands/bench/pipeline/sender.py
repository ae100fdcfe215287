"""Sends numbered MQTT packets: as fast as what is behind takes them, or at a rate; notes when each went."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from pipeline.edges.mqtt_packets import PUBACK, PacketReader, connect_packet

AT_ONCE = 64
UNANSWERED_MAX = 2048
TICK_S = 0.002
KEEPALIVE_S = 600


class Sender(asyncio.Protocol):
    """One MQTT session that publishes and does nothing else."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._reader = PacketReader()
        self._transport: asyncio.Transport | None = None
        self._ready = asyncio.Event()
        self.sent = 0
        self.answered = 0
        self.sent_at_s = array("d")

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, client_id: str) -> "AsyncGenerator[Sender]":
        """Connect."""
        host, _, port = address.rpartition(":")
        sender = cls(client_id)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: sender, host, int(port))
        try:
            await sender._ready.wait()
            yield sender
        finally:
            transport.close()

    @classmethod
    async def forget(cls, address: str, client_id: str) -> None:
        """Remove a client's session, with all that the broker keeps for it."""
        async with cls.open(address, client_id):
            pass

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet; nothing of an earlier session of this name is kept."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have no such base class.
        self._transport.write(connect_packet(self._client_id, KEEPALIVE_S, persistent=False))

    def data_received(self, data: bytes) -> None:
        """Count what the broker has acknowledged."""
        for packet in self._reader.feed(data):
            self.answered += packet.head == PUBACK
        self._ready.set()

    async def send_all(self, packets: Sequence[bytes]) -> None:
        """Send all of these, at whatever rate the broker takes them."""
        await self.send_while(packets, lambda: True, lambda: len(packets))

    async def send_while(
        self, packets: Sequence[bytes], goes_on: Callable[[], bool], due: Callable[[], int]
    ) -> None:
        """Send packets in their order, up to the number that is due, for as long as it goes on.

        Returns at the end of `packets` too.
        """
        assert self._transport is not None, "it is open"
        loop = asyncio.get_running_loop()
        at = 0
        while at < len(packets) and goes_on():
            room = min(due() - at, UNANSWERED_MAX - (self.sent - self.answered), AT_ONCE, len(packets) - at)
            if room <= 0:
                await asyncio.sleep(TICK_S)
                continue
            self._transport.write(b"".join(packets[at : at + room]))
            self.sent_at_s.extend([loop.time()] * room)
            self.sent += room
            at += room
            await asyncio.sleep(0)
