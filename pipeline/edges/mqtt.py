"""MQTT edge: the only module of the pipeline that imports paho.

paho is driven by the event loop, without its thread: under load the two would take the interpreter from one
another for milliseconds at every packet. Every connection is a new client of one id, and a new generation:
what an earlier one left open is dropped.
"""

import asyncio
import math
import random
import select
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pipeline.ports import Delivery
from pipeline.wire.errors import UnavailableError

KEEPALIVE_S = 20
KEEPALIVE_LOOK_S = 0.5  # How often it is looked whether a ping is due.
CONNECT_TIMEOUT_S = 5.0
OPEN_TIMEOUT_S = 10.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 10.0
READ_AT_ONCE = 64  # Packets, before others on the loop have their turn.
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
class Address:
    """Where the broker is, and who connects to it."""

    host: str
    port: int
    client_id: str


class _Session:
    """Connects, and connects again with exponential back-off and jitter, for as long as it is open.

    Attributes:
        generation: Which connection this is, from 1; it rises with each.
        client: paho's client of a connection that is ready, else None.
        problem: Why there is no connection, for people.
    """

    def __init__(
        self, address: Address, topics: Sequence[str], *, persistent: bool, keepalive_s: int
    ) -> None:
        self._address = address
        self._topics = topics
        self._persistent = persistent
        self._keepalive_s = keepalive_s
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self.generation = 0
        self.client: Client | None = None
        self.ready = asyncio.Event()
        self.problem = "not connected yet"
        self.on_message: Callable[[MQTTMessage], None] | None = None
        self.on_published: Callable[[int], None] | None = None
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
                where = f"MQTT broker {self._address.host}:{self._address.port}"
                raise UnavailableError(where, self.problem) from None
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def restart(self) -> None:
        """Give this connection up for a new one: the broker sends what was not acknowledged again."""
        if self.client is not None:
            self.client.disconnect()

    async def _run(self) -> None:
        attempt = 0
        while True:
            self.generation += 1
            self._ended.clear()
            try:
                await self._converse(self._new_client())
            finally:
                attempt = 0 if self.ready.is_set() else attempt + 1
                self.ready.clear()
                self.client = None
                if self.on_ended is not None:
                    self.on_ended()
            await asyncio.sleep(backoff_s(attempt))

    async def _converse(self, client: Client) -> None:
        """Connect, and carry bytes both ways until the connection ends."""
        connecting = asyncio.ensure_future(
            asyncio.to_thread(client.connect, self._address.host, self._address.port, self._keepalive_s)
        )
        try:
            await asyncio.wait([connecting])
            if error := connecting.exception():
                self.problem = f"it cannot be reached: {error}"
                return
            self._attach(client)
            while not self._ended.is_set():
                client.loop_misc()  # Sends the pings.
                try:
                    async with asyncio.timeout(KEEPALIVE_LOOK_S):
                        await self._ended.wait()
                except TimeoutError:
                    continue
        finally:
            await asyncio.wait([connecting])  # A thread cannot be cancelled; it ends within its time limit.
            client.disconnect()
            client.loop_write()
            if (connection := client.socket()) is not None:
                self._detach(connection)
                connection.close()

    def _attach(self, client: Client) -> None:
        """Let the event loop drive paho."""
        connection = client.socket()
        assert isinstance(connection, socket.socket), "paho has just connected it"
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        readable = select.poll()
        readable.register(connection, select.POLLIN)

        def read() -> None:
            for _ in range(READ_AT_ONCE):
                if client.loop_read() != MQTT_ERR_SUCCESS or client.socket() is None or not readable.poll(0):
                    return

        def want_write(*_: object) -> None:
            self._loop.add_writer(connection, client.loop_write)

        def want_no_write(*_: object) -> None:
            self._loop.remove_writer(connection)

        client.on_socket_register_write = want_write
        client.on_socket_unregister_write = want_no_write
        client.on_socket_close = lambda *_: self._detach(connection)
        self._loop.add_reader(connection, read)

    def _detach(self, connection: Any) -> None:
        self._loop.remove_reader(connection)
        self._loop.remove_writer(connection)

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._address.client_id,
            clean_session=not self._persistent,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # Its own retry has no jitter, and mixes the generations up.
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(IN_FLIGHT_MAX)

        def connected(_client: Client, _data: object, _flags: object, code: Any, _properties: object) -> None:
            if code.is_failure:
                self._end(f"it refuses the connection: {code}")
            elif self._topics:
                client.subscribe([(topic, 1) for topic in self._topics])
            else:
                self._begin(client)

        def subscribed(_client: Client, _data: object, _id: int, codes: Any, _properties: object) -> None:
            if any(code.is_failure for code in codes):
                self._end("it refuses a subscription")
            else:
                self._begin(client)

        def message(_client: Client, _data: object, received: MQTTMessage) -> None:
            if self.on_message is not None:
                self.on_message(received)

        def published(_client: Client, _data: object, message_id: int, *_: object) -> None:
            if self.on_published is not None:
                self.on_published(message_id)

        def disconnected(_client: Client, _data: object, _flags: object, code: Any, *_: object) -> None:
            self._end(f"the connection ended: {code}")

        client.on_connect = connected
        client.on_subscribe = subscribed
        client.on_message = message
        client.on_publish = published
        client.on_disconnect = disconnected
        return client

    def _begin(self, client: Client) -> None:
        self.client = client
        self.problem = ""
        self.ready.set()

    def _end(self, problem: str) -> None:
        if not self._ended.is_set():
            self.problem = problem
            self._ended.set()


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
        queue_max: int = QUEUE_MAX,
        keepalive_s: int = KEEPALIVE_S,
    ) -> "AsyncGenerator[MqttInbox]":
        """Subscribe, and stay subscribed while the context lasts.

        Raises:
            UnavailableError: There is no connection within some seconds.
        """
        session = _Session(Address(host, port, client_id), topics, persistent=True, keepalive_s=keepalive_s)
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
        client, generation = self._session.client, self._session.generation
        if client is not None:
            for delivery in deliveries:
                if delivery.generation == generation and delivery.message_id:
                    client.ack(delivery.message_id, 1)
        if self._overflowed and not self._queue:
            self._overflowed = False
            self._session.restart()

    def _receive(self, message: MQTTMessage) -> None:
        """Queue a message, or leave it to the broker."""
        payload = bytes(message.payload)
        too_large = self._queue and self._queue_bytes + len(payload) > QUEUE_BYTES_MAX
        if too_large or len(self._queue) >= self._queue_max:
            self._overflowed = True
            self.put_back += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # No name of ours: refused downstream, its bytes kept.
        message_id = message.mid if message.qos else 0
        self._queue.append(Delivery(topic, payload, message_id, self._session.generation))
        self._queue_bytes += len(payload)
        self._arrived.set()


class MqttPublisher:
    """`ports.Publisher`. What a lost connection leaves without an answer is sent again on the next one."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._unanswered: dict[int, asyncio.Future[bool]] = {}  # By message id of the present connection.
        session.on_published = self._answered
        session.on_ended = self._give_up

    @classmethod
    @asynccontextmanager
    async def open(
        cls, host: str, port: int, client_id: str, *, keepalive_s: int = KEEPALIVE_S
    ) -> "AsyncGenerator[MqttPublisher]":
        """Connect, and stay connected while the context lasts.

        Raises:
            UnavailableError: There is no connection within some seconds.
        """
        session = _Session(Address(host, port, client_id), (), persistent=False, keepalive_s=keepalive_s)
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
        client = self._session.client
        if client is None:
            return False
        sent = client.publish(topic, payload, qos=1)
        if sent.rc != MQTT_ERR_SUCCESS:
            await asyncio.sleep(0)  # The connection has just ended.
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._unanswered[sent.mid] = answer
        try:
            return await answer
        finally:
            if self._unanswered.get(sent.mid) is answer:
                del self._unanswered[sent.mid]

    def _answered(self, message_id: int) -> None:
        answer = self._unanswered.get(message_id)
        if answer is not None and not answer.done():
            answer.set_result(True)

    def _give_up(self) -> None:
        unanswered, self._unanswered = self._unanswered, {}
        for answer in unanswered.values():
            if not answer.done():
                answer.set_result(False)
