"""The link: devices' MQTT 3.1.1 sessions with one broker. The only module that imports paho.

Devices that need no password share a session; where the broker knows each by its own, each has one. A link
moves bytes and promises nothing: what a lost connection swallowed is the outbox's to send again. Every
connection is a new clean session, so nothing of an earlier one lives on in a hidden queue.
"""

import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from random import Random
from threading import Event, Lock, Thread
from typing import Any, Self

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from devices.access import load_accesses
from devices.schedule import backoff_s
from pipeline.wire.broker import BrokerUrl, parse_broker_url
from pipeline.wire.errors import InputError
from pipeline.wire.topics import broker_user, parse_topic

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
RECONNECT_FIRST_S = 0.5
RECONNECT_MAX_S = 30.0
OUTGOING_MAX = 256
INCOMING_MAX = 4096
SUBSCRIBE_AT_ONCE = 64
PLACE = "--broker"
EVERYONE = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message that came in."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Client:
    """Who connects, and what it wants to hear."""

    client_id: str
    subscriptions: Sequence[str]
    user: str | None = None
    password: str | None = None


class Link:
    """Sessions that connect, subscribe, and connect again with back-off and jitter while the link is open.

    Args:
        broker: `mqtt://…` or `mqtts://…`, see `pipeline.wire.broker`.
        client_id: What the broker calls a session that all share.
        subscriptions: The topics to hear.
        random: Where the jitter is from.

    Raises:
        InputError: The broker's URL, its certificates or the access to it cannot be used.
    """

    def __init__(self, broker: str, client_id: str, subscriptions: Sequence[str], random: Random) -> None:
        at = parse_broker_url(PLACE, broker)
        self._arrivals: Queue[Arrival] = Queue(INCOMING_MAX)
        self._lock = Lock()
        self.ready = Event()
        context = _tls(at) if at.tls else None
        self._sessions = {
            name: _Session(at, context, client, random, self._arrivals, self._changed)
            for name, client in _clients(at, client_id, subscriptions).items()
        }

    def __enter__(self) -> Self:
        for session in self._sessions.values():
            session.start()
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions.values():
            session.stop()
        for session in self._sessions.values():
            session.join()

    @property
    def generation(self) -> int:
        """Return how many connections were subscribed and ready."""
        return sum(session.generation for session in self._sessions.values())

    @property
    def problem(self) -> str:
        """Return why a session is not connected, or nothing."""
        return next((session.problem for session in self._sessions.values() if session.problem), "")

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the broker at QoS 1; False where there is no connection or no room."""
        name = EVERYONE if EVERYONE in self._sessions else parse_topic(topic)[1]
        return self._sessions[name].publish(topic, payload)

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

    def _changed(self) -> None:
        """Hear that a session has become ready, or has ended."""
        with self._lock:
            if all(session.ready.is_set() for session in self._sessions.values()):
                self.ready.set()
            else:
                self.ready.clear()


def _tls(at: BrokerUrl) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=at.ca)
    except OSError as error:
        problem = f"cannot read certificates from {at.ca}: {error.strerror or error}"
        raise InputError(PLACE, problem, "Name the city's ca.crt.") from error


def _clients(at: BrokerUrl, client_id: str, subscriptions: Sequence[str]) -> Mapping[str, _Client]:
    """Return whose sessions there are: each name's own, where the broker knows each by its own password."""
    if at.access is None:
        return {EVERYONE: _Client(client_id, subscriptions)}
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for topic in subscriptions:
        by_name[parse_topic(topic)[1]].append(topic)
    passwords = load_accesses(Path(at.access), by_name)
    return {
        name: _Client(broker_user(name), topics, broker_user(name), passwords[name])
        for name, topics in by_name.items()
    }


class _Session:
    """One session and its thread."""

    def __init__(
        self,
        at: BrokerUrl,
        context: ssl.SSLContext | None,
        client: _Client,
        random: Random,
        arrivals: Queue[Arrival],
        changed: Callable[[], None],
    ) -> None:
        self._at = at
        self._context = context
        self._who = client
        self._random = random
        self._arrivals = arrivals
        self._changed = changed
        self._stopping = Event()
        self._client: Client | None = None
        self._unsubscribed = 0
        self.generation = 0  # Counts connections that were subscribed and ready.
        self.ready = Event()
        self.problem = "not connected yet"
        self._thread = Thread(target=self._run, name=f"mqtt {client.client_id}", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to disconnect."""
        self._stopping.set()
        if self._client is not None:
            self._client.disconnect()

    def join(self) -> None:
        """Wait until the session is over."""
        self._thread.join()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the broker at QoS 1; False where there is no connection or no room."""
        client = self._client
        if client is None or not self.ready.is_set():
            return False
        return client.publish(topic, payload, qos=1).rc == MQTT_ERR_SUCCESS

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            before = self.generation
            self._session()
            self._end()
            attempt = 0 if self.generation > before else attempt + 1
            self._stopping.wait(
                backoff_s(attempt, self._random, first_s=RECONNECT_FIRST_S, most_s=RECONNECT_MAX_S)
            )

    def _session(self) -> None:
        """Run one connection until it ends."""
        ended = Event()
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._who.client_id,
            clean_session=True,
            reconnect_on_failure=False,  # Its own retry has no jitter and resends an old session's queue.
        )
        if self._context is not None:
            client.tls_set_context(self._context)
        if self._who.user is not None:
            client.username_pw_set(self._who.user, self._who.password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(OUTGOING_MAX)
        client.max_queued_messages_set(OUTGOING_MAX)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_disconnect = lambda *_: ended.set()
        try:
            client.connect(self._at.host, self._at.port, keepalive=KEEPALIVE_S)
        except OSError as error:
            self.problem = f"the broker cannot be reached: {error}"
            return
        self._client = client
        if self._stopping.is_set():
            client.disconnect()
        client.loop_start()
        ended.wait()
        self._end()
        self._client = None
        self.problem = self.problem or "the connection ended"
        client.loop_stop()

    def _end(self) -> None:
        self.ready.clear()
        self._changed()

    def _connected(self, client: Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        if code.is_failure:
            self.problem = f"the broker refuses the connection: {code}"
            return  # It closes, and the disconnection ends this session.
        wanted = [(topic, 1) for topic in self._who.subscriptions]
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
            self._changed()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        # Waits while nobody receives: the broker feels it, and memory stays bounded.
        while not self._stopping.is_set():
            try:
                self._arrivals.put(Arrival(message.topic, bytes(message.payload)), timeout=0.2)
            except Full:
                continue
            break
