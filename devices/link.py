"""The link: one MQTT 3.1.1 session that several devices share. The only module that imports paho.

It moves bytes and promises nothing: what a lost connection swallowed is the outbox's to send again. Every
connection is a new clean session, so nothing of an earlier one lives on in a hidden queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from random import Random
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from devices.schedule import backoff_s
from pipeline.wire.errors import InputError

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
RECONNECT_FIRST_S = 0.5
RECONNECT_MAX_S = 30.0
OUTGOING_MAX = 256
INCOMING_MAX = 4096
MQTT_PORT = 1883
SUBSCRIBE_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message that came in."""

    topic: str
    payload: bytes


def parse_broker(url: str) -> tuple[str, int]:
    """Return host and port of `mqtt://host[:port]`.

    Raises:
        InputError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme != "mqtt" or not host or parts.path.strip("/"):
        raise InputError("--broker", f"not a broker's address: {url}", "Write mqtt://HOST:PORT.")
    return host, port or MQTT_PORT


class Link:
    """A session that connects, subscribes, and connects again with back-off and jitter while it is open."""

    def __init__(self, broker: str, client_id: str, subscriptions: Sequence[str], random: Random) -> None:
        self._address = parse_broker(broker)
        self._client_id = client_id
        self._subscriptions = tuple(subscriptions)
        self._random = random
        self._arrivals: Queue[Arrival] = Queue(INCOMING_MAX)
        self._stopping = Event()
        self._client: Client | None = None
        self._unsubscribed = 0
        self.generation = 0  # Counts connections that were subscribed and ready.
        self.ready = Event()
        self.problem = "not connected yet"
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._client is not None:
            self._client.disconnect()
        self._thread.join()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the broker at QoS 1; False where there is no connection or no room."""
        client = self._client
        if client is None or not self.ready.is_set():
            return False
        return client.publish(topic, payload, qos=1).rc == MQTT_ERR_SUCCESS

    def receive(self, wait_s: float, limit: int) -> list[Arrival]:
        """Return up to `limit` messages; empty after `wait_s` without any."""
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._arrivals.get(timeout=wait_s) if wait_s > 0 else self._arrivals.get_nowait())
            while len(arrivals) < limit:
                arrivals.append(self._arrivals.get_nowait())
        except Empty:
            pass
        return arrivals

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            before = self.generation
            self._session()
            self.ready.clear()
            attempt = 0 if self.generation > before else attempt + 1
            self._stopping.wait(
                backoff_s(attempt, self._random, first_s=RECONNECT_FIRST_S, most_s=RECONNECT_MAX_S)
            )

    def _session(self) -> None:
        """Run one connection until it ends."""
        ended = Event()
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            reconnect_on_failure=False,  # Its own retry has no jitter and resends an old session's queue.
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(OUTGOING_MAX)
        client.max_queued_messages_set(OUTGOING_MAX)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_disconnect = lambda *_: ended.set()
        try:
            client.connect(*self._address, keepalive=KEEPALIVE_S)
        except OSError as error:
            self.problem = f"the broker cannot be reached: {error}"
            return
        self._client = client
        if self._stopping.is_set():
            client.disconnect()
        client.loop_start()
        ended.wait()
        self.ready.clear()
        self._client = None
        self.problem = self.problem or "the connection ended"
        client.loop_stop()

    def _connected(self, client: Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        if code.is_failure:
            self.problem = f"the broker refuses the connection: {code}"
            return  # It closes, and the disconnection ends this session.
        wanted = [(topic, 1) for topic in self._subscriptions]
        groups = [wanted[at : at + SUBSCRIBE_AT_ONCE] for at in range(0, len(wanted), SUBSCRIBE_AT_ONCE)]
        self._unsubscribed = len(groups)
        for group in groups:
            client.subscribe(group)

    def _subscribed(self, client: Client, _data: object, _id: int, codes: Any, _more: object) -> None:
        self._unsubscribed -= 1
        if any(code.is_failure for code in codes):
            self.problem = "the broker refuses a subscription"
            client.disconnect()
        elif not self._unsubscribed:
            self.problem = ""
            self.generation += 1
            self.ready.set()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        # Waits while nobody receives: the broker feels it, and memory stays bounded.
        while not self._stopping.is_set():
            try:
                self._arrivals.put(Arrival(message.topic, bytes(message.payload)), timeout=0.2)
            except Full:
                continue
            break
