"""MQTT edge: sessions at QoS 1 on the event loop, for who receives and for who sends.

Every connection is of one client id and a new generation: what an earlier one left open is dropped. The
client is our own (docs/decisions/mqtt.md): what is received is acknowledged only when its effects are
durable, many messages by one write.
"""

import asyncio
import math
import os
import random
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from pipeline.edges.mqtt_packets import (
    CONNACK,
    CONNECT_REFUSALS,
    DISCONNECT,
    MESSAGE_IDS,
    PINGREQ,
    PUBACK,
    PUBLISH,
    REFUSED_SUBSCRIPTION,
    SUBACK,
    MalformedError,
    Packet,
    PacketReader,
    Published,
    connect_packet,
    parse_publish,
    puback_packet,
    publish_packet,
    subscribe_packet,
)
from pipeline.ports import Delivery
from pipeline.wire.errors import UnavailableError

KEEPALIVE_S = 20
KEEPALIVE_LOOK_S = 0.5  # How often it is looked whether a ping is due.
CONNECT_TIMEOUT_S = 5.0
OPEN_TIMEOUT_S = 10.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 10.0
CLOSE_TIMEOUT_S = 1.0
QUEUE_MAX = 8192  # Messages received and not yet taken; twice the broker's in-flight window or more.
QUEUE_BYTES_MAX = 32 * 1024 * 1024
IN_FLIGHT_MAX = 64
PAYLOAD_SIZE_MAX = 1024 * 1024


def backoff_s(attempt: int) -> float:
    """Return how long to wait before the next attempt, after so many that failed in a row.

    It doubles up to a bound. Jitter: all that one broker's end has disconnected must not come back together.
    """
    longest_s = min(math.ldexp(RETRY_FIRST_S, min(attempt, 32)), RETRY_MAX_S)
    return longest_s * random.uniform(0.5, 1)  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class Access:
    """What a broker behind TLS is shown, and what it has to show itself.

    Attributes:
        name: Who connects.
        password: Its password, if it has one.
        context: Which certificates may vouch for the broker.
    """

    name: str
    password: str | None = field(repr=False)
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who connects to it."""

    host: str
    port: int
    client_id: str
    access: Access | None = None

    @property
    def login(self) -> tuple[str, str] | None:
        """Return name and password, where there are any."""
        access = self.access
        return None if access is None or access.password is None else (access.name, access.password)


class _Connection(asyncio.Protocol):
    """One connection: greets, subscribes, hands on what is received, until it ends."""

    def __init__(self, session: "_Session") -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._reader = PacketReader()
        self._transport: asyncio.Transport | None = None
        self._sent_at_s = self._heard_at_s = self._loop.time()
        self._asked_at_s = math.inf  # When the first ping since anything was heard was sent.
        self._lost = asyncio.Event()
        self.ended = asyncio.Event()
        self.problem = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # That of uvloop is no subclass.
        session = self._session
        self.send(
            connect_packet(
                session.address.client_id,
                session.keepalive_s,
                persistent=session.persistent,
                login=session.address.login,
            )
        )

    def data_received(self, data: bytes) -> None:
        """Act on the packets that are whole now."""
        self._heard_at_s, self._asked_at_s = self._loop.time(), math.inf
        try:
            for packet in self._reader.feed(data):
                if packet.head & 0xF0 == PUBLISH:
                    if self._session.on_message is not None:
                        self._session.on_message(parse_publish(packet))
                else:
                    self._take(packet)
        except MalformedError as error:
            self.end(f"it does not speak MQTT: {error}")

    def _take(self, packet: Packet) -> None:
        head, content = packet.head & 0xF0, packet.data[packet.start : packet.end]
        if head == PUBACK and self._session.on_answered is not None:
            self._session.on_answered(int.from_bytes(content[:2]))
        elif head == CONNACK:
            if code := int.from_bytes(content[1:2]):
                self.end(f"it refuses the connection: {CONNECT_REFUSALS.get(code, f'code {code}')}")
            elif self._session.topics:
                self.send(subscribe_packet(self._session.topics))
            else:
                self._session.begin(self)
        elif head == SUBACK:
            if any(code >= REFUSED_SUBSCRIPTION for code in content[2:]):
                self.end("it refuses a subscription")
            else:
                self._session.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is over."""
        self._lost.set()
        self.end(f"the connection ended: {exc or 'the broker closed it'}")

    def send(self, packet: bytes) -> None:
        """Send, in the order of the calls."""
        if self._transport is not None:
            self._sent_at_s = self._loop.time()
            self._transport.write(packet)

    async def live(self) -> None:
        """Keep the connection alive until it ends; a broker that is silent for too long ends it."""
        keepalive_s = self._session.keepalive_s
        while not self.ended.is_set():
            now_s = self._loop.time()
            if now_s - self._asked_at_s > keepalive_s:
                self.end("it does not answer")
            elif now_s - min(self._sent_at_s, self._heard_at_s) > keepalive_s / 2:
                self._asked_at_s = min(self._asked_at_s, now_s)
                self.send(PINGREQ)
            try:
                async with asyncio.timeout(KEEPALIVE_LOOK_S):
                    await self.ended.wait()
            except TimeoutError:
                continue

    def end(self, problem: str) -> None:
        """Say why the connection is of no use any more; the first reason stays."""
        if not self.ended.is_set():
            self.problem = problem
            self.ended.set()

    async def close(self) -> None:
        """Disconnect."""
        if self._transport is None:
            return
        if not self._lost.is_set():
            self._transport.write(DISCONNECT)
            self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()  # Nobody reads what is still to be sent.


class _Session:
    """Connects, and connects again with exponential back-off and jitter, for as long as it is open.

    Attributes:
        generation: Which connection this is, from 1; it rises with each.
        connection: The connection, where it is ready.
        problem: Why there is no connection, for people.
    """

    def __init__(
        self, address: Address, topics: Sequence[str], *, persistent: bool, keepalive_s: int
    ) -> None:
        self.address = address
        self.topics = topics
        self.persistent = persistent
        self.keepalive_s = keepalive_s
        self.generation = 0
        self.connection: _Connection | None = None
        self.ready = asyncio.Event()
        self.problem = "not connected yet"
        self.on_message: Callable[[Published], None] | None = None
        self.on_answered: Callable[[int], None] | None = None
        self.on_ended: Callable[[], None] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Keep a connection up inside the context, which begins with the first one.

        Raises:
            UnavailableError: There is none within some seconds.
        """
        task = asyncio.create_task(self._run())
        try:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.ready.wait()
            except TimeoutError:
                where = f"MQTT broker {self.address.host}:{self.address.port}"
                raise UnavailableError(where, self.problem) from None
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def begin(self, connection: _Connection) -> None:
        """Take up a connection that is ready."""
        self.connection = connection
        self.problem = ""
        self.ready.set()

    def restart(self) -> None:
        """Give this connection up for a new one: the broker sends what was not acknowledged again."""
        if self.connection is not None:
            self.connection.end("begun again")

    async def _run(self) -> None:
        attempt = 0
        while True:
            self.generation += 1
            connection = _Connection(self)
            try:
                await self._converse(connection)
            finally:
                attempt = 0 if self.ready.is_set() else attempt + 1
                self.ready.clear()
                self.connection = None
                if self.on_ended is not None:
                    self.on_ended()
                await connection.close()
            await asyncio.sleep(backoff_s(attempt))

    async def _converse(self, connection: _Connection) -> None:
        """Connect, and stay until the connection ends."""
        loop, address = asyncio.get_running_loop(), self.address
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                tls = None if address.access is None else address.access.context
                await loop.create_connection(lambda: connection, address.host, address.port, ssl=tls)
        except TimeoutError:
            self.problem = f"it cannot be reached within {CONNECT_TIMEOUT_S:g} s"
            return
        except OSError as error:
            known = error.errno is not None and error.errno > 0
            self.problem = f"it cannot be reached: {os.strerror(error.errno or 0) if known else error}"
            return
        await connection.live()
        self.problem = connection.problem


class MqttInbox:
    """`ports.Inbox` over a persistent session.

    The queue is bounded, and reading never waits for it, so that keep-alive goes on whatever happens behind
    it. What finds the queue full is neither kept nor acknowledged; when the queue has been emptied, a new
    connection makes the broker send it again.
    """

    def __init__(self, session: _Session, queue_max: int) -> None:
        self._session = session
        self._queue_max = queue_max
        self._queue: deque[Delivery] = deque()
        self._queue_bytes = 0
        self._arrived = asyncio.Event()
        self._overflowed = False
        self.put_back = 0  # Messages left to the broker because the queue was full.
        session.on_message = self._receive

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        host: str,
        port: int,
        client_id: str,
        topics: Sequence[str],
        *,
        access: Access | None = None,
        queue_max: int = QUEUE_MAX,
        keepalive_s: int = KEEPALIVE_S,
    ) -> "AsyncGenerator[MqttInbox]":
        """Subscribe, and stay subscribed while the context lasts.

        Raises:
            UnavailableError: There is no connection within some seconds.
        """
        address = Address(host, port, client_id, access)
        session = _Session(address, topics, persistent=True, keepalive_s=keepalive_s)
        inbox = cls(session, queue_max)
        async with session.connected():
            yield inbox

    @property
    def generation(self) -> int:
        """Return which connection this is, counted from 1."""
        return self._session.generation

    @property
    def problem(self) -> str:
        """Return why there is no connection, or nothing."""
        return self._session.problem

    async def receive(self, limit: int, gather_s: float) -> Sequence[Delivery]:
        """Wait for a message, gather more for `gather_s`, and return up to `limit`."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        if len(self._queue) < limit:
            await asyncio.sleep(gather_s)
        taken = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        self._queue_bytes -= sum(len(delivery.payload) for delivery in taken)
        return taken

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages whose effects are durable; those of an earlier connection are dropped."""
        connection, generation = self._session.connection, self._session.generation
        if connection is not None:
            answers = [
                puback_packet(delivery.message_id)
                for delivery in deliveries
                if delivery.generation == generation and delivery.message_id
            ]
            if answers:
                connection.send(b"".join(answers))
        if self._overflowed and not self._queue:
            self._overflowed = False
            self._session.restart()

    def _receive(self, message: Published) -> None:
        """Queue a message, or leave it to the broker."""
        payload = message.payload
        too_large = self._queue and self._queue_bytes + len(payload) > QUEUE_BYTES_MAX
        if too_large or len(self._queue) >= self._queue_max:
            self._overflowed = True
            self.put_back += 1
            return
        try:
            topic = message.topic.decode()
        except UnicodeDecodeError:
            topic = ""  # No name of ours: refused downstream, its bytes kept.
        self._queue.append(Delivery(topic, payload, message.message_id, self._session.generation))
        self._queue_bytes += len(payload)
        self._arrived.set()


class MqttPublisher:
    """`ports.Publisher`. What a lost connection leaves without an answer is sent again on the next one."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._unanswered: dict[int, asyncio.Future[bool]] = {}  # By message id of the present connection.
        self._message_id = 0
        session.on_answered = self._answered
        session.on_ended = self._give_up

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        host: str,
        port: int,
        client_id: str,
        *,
        access: Access | None = None,
        keepalive_s: int = KEEPALIVE_S,
    ) -> "AsyncGenerator[MqttPublisher]":
        """Connect, and stay connected while the context lasts.

        Raises:
            UnavailableError: There is no connection within some seconds.
        """
        address = Address(host, port, client_id, access)
        session = _Session(address, (), persistent=False, keepalive_s=keepalive_s)
        publisher = cls(session)
        async with session.connected():
            yield publisher

    @property
    def problem(self) -> str:
        """Return why there is no connection, or nothing."""
        return self._session.problem

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker at QoS 1; return once it is acknowledged, by whichever connection."""
        assert len(payload) <= PAYLOAD_SIZE_MAX, f"{len(payload)} bytes for {topic}"
        async with self._room:
            while not await self._publish_once(topic, payload):
                await self._session.ready.wait()

    async def _publish_once(self, topic: str, payload: bytes) -> bool:
        """Send a message and tell whether it was acknowledged before its connection ended."""
        connection = self._session.connection
        if connection is None:
            return False
        self._message_id = self._message_id % MESSAGE_IDS + 1
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        message_id = self._message_id
        self._unanswered[message_id] = answer
        connection.send(publish_packet(topic, message_id, payload))
        try:
            return await answer
        finally:
            if self._unanswered.get(message_id) is answer:
                del self._unanswered[message_id]

    def _answered(self, message_id: int) -> None:
        answer = self._unanswered.get(message_id)
        if answer is not None and not answer.done():
            answer.set_result(True)

    def _give_up(self) -> None:
        unanswered, self._unanswered = self._unanswered, {}
        for answer in unanswered.values():
            if not answer.done():
                answer.set_result(False)


@asynccontextmanager
async def open_peer(
    host: str,
    port: int,
    client_id: str,
    topics: Sequence[str],
    *,
    access: Access | None = None,
    persistent: bool = True,
) -> AsyncGenerator[tuple[MqttInbox, MqttPublisher]]:
    """Receive and send by one session, which is all that a broker grants to a name.

    Raises:
        UnavailableError: There is no connection within some seconds.
    """
    address = Address(host, port, client_id, access)
    session = _Session(address, topics, persistent=persistent, keepalive_s=KEEPALIVE_S)
    peers = MqttInbox(session, QUEUE_MAX), MqttPublisher(session)
    async with session.connected():
        yield peers
