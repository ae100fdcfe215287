"""An MQTT 3.1.1 broker that does nothing by itself: a test reads what a client sends, and answers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Packet:
    """A control packet: its type, the flags of its first byte, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes

    @property
    def message_id(self) -> int:
        """Of PUBACK and SUBSCRIBE, and of PUBLISH at QoS 1."""
        start = 2 + int.from_bytes(self.body[:2], "big") if self.kind == PUBLISH else 0
        return int.from_bytes(self.body[start : start + 2], "big")

    @property
    def payload(self) -> bytes:
        """Of PUBLISH at QoS 1."""
        return self.body[4 + int.from_bytes(self.body[:2], "big") :]


class Connection:
    """One client's connection. Pings are answered and counted; everything else waits for `read`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pings = 0
        self.packets: asyncio.Queue[Packet] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def serve(self) -> None:
        """Read until the client is gone."""
        try:
            while True:
                packet = await self._read_packet()
                if packet.kind == PINGREQ:
                    self.pings += 1
                    self.send(PINGRESP, 0, b"")
                else:
                    self.packets.put_nowait(packet)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            self._writer.close()

    async def _read_packet(self) -> Packet:
        (first,) = await self._reader.readexactly(1)
        size = place = 0
        while True:
            (byte,) = await self._reader.readexactly(1)
            size |= (byte & 0x7F) << place
            place += 7
            if not byte & 0x80:
                return Packet(first >> 4, first & 0xF, await self._reader.readexactly(size))

    async def read(self, kind: int) -> Packet:
        """Return the next packet, which must be of this kind."""
        packet = await asyncio.wait_for(self.packets.get(), WAIT_S)
        assert packet.kind == kind, f"expected {kind}, got {packet}"
        return packet

    def send(self, kind: int, flags: int, body: bytes) -> None:
        """Send a packet."""
        size, encoded = len(body), bytearray()
        while True:
            size, low = size >> 7, size & 0x7F
            encoded.append(low | (0x80 if size else 0))
            if not size:
                break
        self._writer.write(bytes([kind << 4 | flags]) + encoded + body)

    async def welcome(self, *, subscribes: bool = True) -> Self:
        """Take CONNECT and SUBSCRIBE as a friendly broker does."""
        await self.read(CONNECT)
        self.send(CONNACK, 0, b"\x00\x00")
        if subscribes:
            wanted = await self.read(SUBSCRIBE)
            self.send(SUBACK, 0, wanted.body[:2] + b"\x01" * wanted.body[2:].count(b"\x01"))
        return self

    def publish(
        self, message_id: int, payload: bytes, topic: bytes = b"statements/a", *, again: bool = False
    ) -> None:
        """Send a message at QoS 1."""
        body = len(topic).to_bytes(2, "big") + topic + message_id.to_bytes(2, "big") + payload
        self.send(PUBLISH, 0b1010 if again else 0b0010, body)

    def acknowledge(self, packet: Packet) -> None:
        """Answer a PUBLISH at QoS 1."""
        self.send(PUBACK, 0, packet.message_id.to_bytes(2, "big"))

    async def nothing_more(self, wait_s: float = 0.1) -> bool:
        """Tell whether the client stays silent for a while."""
        try:
            await asyncio.wait_for(self.packets.get(), wait_s)
        except TimeoutError:
            return True
        return False

    def cut(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()


class FakeBroker:
    """Listens on loopback; each connection waits for `accept`."""

    def __init__(self) -> None:
        self.port = 0
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self) -> Connection:
        """Return the next connection, before anything was said."""
        return await asyncio.wait_for(self._connections.get(), WAIT_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        task = asyncio.create_task(connection.serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._connections.put_nowait(connection)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Self]:
        """Listen while the context lasts."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
