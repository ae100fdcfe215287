"""Who may do what at the real broker: a name has its own topics, and nothing else; nobody else has any."""

import socket
import ssl
import stat
from collections.abc import Callable, Generator
from pathlib import Path
from queue import Empty, Queue
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from pipeline.wire.broker import access_file_name, decode_access
from tests.support.secured_mosquitto import SecuredBroker, cityproof, secured_mosquitto

DEVICE = "urn:dev:ops:32473-air-7"
OTHER = "urn:dev:ops:32473-air-8"
AUTHORITY = "https://eeb.city.example/"
ODD = "https://people.city.example/a%20b?c=d"
IN_TOPICS = "https:%2F%2Feeb.city.example%2F"
SOON_S = 10.0
SILENCE_S = 0.4

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[SecuredBroker]:
    folder = tmp_path_factory.mktemp("broker")
    with secured_mosquitto(folder) as secured:
        secured.grant(folder / "access", DEVICE, OTHER, ODD)
        secured.grant(folder / "access", AUTHORITY, authority=True)
        yield secured


class Peer:
    """A client as anybody could write one; `user` None: without a name."""

    def __init__(
        self,
        broker: SecuredBroker,
        user: str | None,
        password: str | None = None,
        *,
        client_id: str = "",
        tls: bool = True,
    ) -> None:
        self.heard: Queue[tuple[str, bytes]] = Queue()
        self.connected, self.ended = Event(), Event()
        self.code = ""
        self.answers: Queue[int] = Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
        if tls:
            ca = broker.city / "broker" / "ca.crt"
            self._client.tls_set_context(ssl.create_default_context(cafile=str(ca)))
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.ended.set()
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda _c, _d, mid, *_: self.answers.put(mid)
        self._client.on_publish = lambda _c, _d, mid, *_: self.answers.put(mid)
        self._client.connect("localhost", broker.port)
        self._client.loop_start()

    def _on_connect(self, _client: Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        self.code = str(code)
        (self.ended if code.is_failure else self.connected).set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, bytes(message.payload)))

    def subscribe(self, topic: str) -> None:
        _, mid = self._client.subscribe(topic, qos=1)
        self._await(mid)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Returns when the broker has answered, which it does for what it drops too."""
        mid = self._client.publish(topic, payload, qos=1, retain=retain).mid
        self._await(mid)

    def _await(self, mid: int | None) -> None:
        assert mid is not None
        while self.answers.get(timeout=SOON_S) != mid:
            pass

    def next(self, wait_s: float = SOON_S) -> tuple[str, bytes] | None:
        try:
            return self.heard.get(timeout=wait_s)
        except Empty:
            return None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


Connect = Callable[..., Peer]


@pytest.fixture
def connect(broker: SecuredBroker) -> Generator[Connect]:
    peers: list[Peer] = []

    def make(name: str, **more: Any) -> Peer:
        folder = broker.city / "keys" / "mqtt" if "/" not in name and ":" not in name else None
        path = (folder or broker.city.parent / "access") / access_file_name(name)
        peer = Peer(broker, quote(name, safe=""), decode_access(path.read_text())[1], **more)
        peers.append(peer)
        assert peer.connected.wait(SOON_S), peer.code
        return peer

    yield make
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("name", [DEVICE, ODD])
def test_a_name_has_its_own_topics(connect: Connect, name: str) -> None:
    """The bridge hears its statements, and it hears the courier's answers, whatever is in its name."""
    bridge, courier, device = connect("bridge"), connect("courier"), connect(name)
    user = quote(name, safe=":")
    bridge.subscribe("statements/+")
    device.subscribe(f"receipts/{user}")
    device.subscribe(f"refusals/{user}")
    device.publish(f"statements/{user}", b"mine")
    assert bridge.next() == (f"statements/{user}", b"mine")
    courier.publish(f"receipts/{user}", b"receipt")
    courier.publish(f"refusals/{user}", b"refusal")
    assert {device.next(), device.next()} == {
        (f"receipts/{user}", b"receipt"),
        (f"refusals/{user}", b"refusal"),
    }


def test_an_authority_writes_to_the_registry_under_its_name(connect: Connect) -> None:
    """And to nobody else's; a device writes to it not even under its own."""
    bridge, authority, device = connect("bridge"), connect(AUTHORITY), connect(DEVICE)
    bridge.subscribe("registry/+")
    device.publish(f"registry/{DEVICE}", b"no")
    device.publish(f"registry/{IN_TOPICS}", b"no")
    authority.publish(f"registry/{DEVICE}", b"no")
    authority.publish(f"registry/{IN_TOPICS}", b"yes")
    assert bridge.next() == (f"registry/{IN_TOPICS}", b"yes")
    assert bridge.next(SILENCE_S) is None


@pytest.mark.parametrize(
    "topic",
    [
        f"statements/{OTHER}", "statements/never-heard-of", f"statements/{DEVICE}/more", "statements",
        f"receipts/{DEVICE}", f"refusals/{DEVICE}", f"receipts/{OTHER}", "doctor/x", "$SYS/x", "x",
    ],
)  # fmt: skip
def test_a_device_publishes_nothing_but_its_statements(connect: Connect, topic: str) -> None:
    """Whoever may read there does not get it: no other name's topic, no answer to itself, none invented."""
    device, other = connect(DEVICE), connect(OTHER)
    bridge, doctor = connect("bridge"), connect("doctor")
    for listener, filters in {
        bridge: ["statements/+", "registry/+"],
        doctor: ["doctor/#"],
        device: [f"receipts/{DEVICE}", f"refusals/{DEVICE}"],
        other: [f"receipts/{OTHER}", f"refusals/{OTHER}"],
    }.items():
        for wanted in filters:
            listener.subscribe(wanted)
    device.publish(topic, b"forbidden")
    device.publish(f"statements/{DEVICE}", b"allowed")
    assert bridge.next() == (f"statements/{DEVICE}", b"allowed")
    for listener in (bridge, doctor, device, other):
        assert listener.next(SILENCE_S / 4) is None


@pytest.mark.parametrize(
    "wanted",
    [
        "#",
        "+/+",
        "statements/#",
        "receipts/+",
        "refusals/#",
        f"statements/{DEVICE}",
        f"receipts/{OTHER}",
        "$SYS/#",
    ],
)
def test_a_device_hears_nothing_but_its_answers(connect: Connect, wanted: str) -> None:
    """Neither others' answers nor anybody's statements, by whatever filter it asks."""
    device, other, courier = connect(DEVICE), connect(OTHER), connect("courier")
    device.subscribe(wanted)
    other.publish(f"statements/{OTHER}", b"others")
    device.publish(f"statements/{DEVICE}", b"own")
    courier.publish(f"receipts/{OTHER}", b"others")
    courier.publish(f"refusals/{OTHER}", b"others")
    device.subscribe(f"receipts/{DEVICE}")
    courier.publish(f"receipts/{DEVICE}", b"mine")
    heard = {device.next()}
    while (more := device.next(SILENCE_S)) is not None:
        heard.add(more)
    assert heard == {(f"receipts/{DEVICE}", b"mine")}


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (None, None),
        ("urn%3Adev%3Aops%3A32473-air-7", "wrong"),
        ("urn%3Adev%3Aops%3A32473-air-7", ""),
        ("urn%3Adev%3Aops%3A32473-none", "x"),
        ("", ""),
    ],
)
def test_nobody_else_is_let_in(broker: SecuredBroker, user: str | None, password: str | None) -> None:
    """No name, no password, a wrong one, a name that nobody has."""
    peer = Peer(broker, user, password)
    try:
        assert peer.ended.wait(SOON_S)
        assert not peer.connected.is_set()
        assert peer.code in {"Not authorized", "Bad user name or password", "Client identifier not valid"}
    finally:
        peer.close()


def test_nobody_is_spoken_to_without_tls(broker: SecuredBroker) -> None:
    """A password in the clear gets no answer at all."""
    peer = Peer(broker, quote(DEVICE, safe=""), "x", tls=False)
    try:
        assert peer.ended.wait(SOON_S)
        assert not peer.connected.is_set()
    finally:
        peer.close()


def test_another_authoritys_word_for_the_broker_does_not_count(broker: SecuredBroker, tmp_path: Path) -> None:
    """Who knows another city's certificate ends before it shows its password."""
    cityproof("init", "--dir", tmp_path / "another")
    context = ssl.create_default_context(cafile=str(tmp_path / "another" / "broker" / "ca.crt"))
    connection = socket.create_connection(("localhost", broker.port))
    with connection, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(connection, server_hostname="localhost")


def test_a_session_is_its_names(connect: Connect) -> None:
    """Another device that calls itself by the bridge's client id ends nobody's session but its own."""
    bridge = connect("bridge", client_id="bridge")
    bridge.subscribe("statements/+")
    device = connect(DEVICE, client_id="bridge")
    device.publish(f"statements/{DEVICE}", b"after")
    assert bridge.next() == (f"statements/{DEVICE}", b"after")
    assert not bridge.ended.is_set()


def test_who_is_removed_is_out_and_who_comes_again_has_a_new_password(
    broker: SecuredBroker, tmp_path: Path
) -> None:
    """As soon as the broker has read it again."""
    name = "urn:dev:ops:32473-air-9"
    passwords = []
    for _ in range(2):
        broker.grant(tmp_path, name)
        passwords.append(decode_access((tmp_path / access_file_name(name)).read_text())[1])
    outcomes = []
    for step in (None, "remove"):
        if step:
            cityproof("access", "remove", name, "--dir", broker.city)
            broker.read_again()
        for password in passwords:
            peer = Peer(broker, quote(name, safe=""), password)
            while not (peer.connected.is_set() or peer.ended.is_set()):
                peer.connected.wait(0.05)
            outcomes.append(peer.connected.is_set())
            peer.close()
    assert outcomes == [False, True, False, False]


def test_secrets_are_for_their_owner_alone(broker: SecuredBroker) -> None:
    """Every file that init and access have made and that is not meant for others; no password twice."""
    public = {"ca.crt", "policy.txt", "authorities.txt"}
    files = [
        path
        for path in [*broker.city.rglob("*"), *(broker.city.parent / "access").rglob("*")]
        if path.is_file()
    ]
    secrets = [path for path in files if path.name not in public]
    assert len(secrets) > 15
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    passwords = [decode_access(path.read_text())[1] for path in files if path.suffix == ".access"]
    assert len(passwords) == len(set(passwords)) == 9
    assert min(map(len, passwords)) == 43
