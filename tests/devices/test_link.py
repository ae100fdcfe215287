"""The link against a real broker on loopback: it connects again by itself, and never hides a queue."""

from random import Random
from threading import Event

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from devices.link import Arrival, Link
from tests.devices.fakes import Broker


class Listener:
    """Another client of the broker."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.heard: list[bytes] = []
        self.event = Event()
        ready = Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _client, _data, message: self.hear(bytes(message.payload))
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe(topic, qos=1)
        self.client.loop_start()
        assert ready.wait(10)

    def hear(self, payload: bytes) -> None:
        self.heard.append(payload)
        self.event.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_messages_go_both_ways(broker: Broker) -> None:
    """What is published arrives; what is published for it is received; many subscriptions are all made."""
    listener = Listener(broker, "statements/+")
    topics = [f"receipts/{number}" for number in range(150)]
    with Link(broker.url, "link", topics, Random(1)) as link:
        assert link.ready.wait(10)
        assert link.problem == ""
        assert link.publish("statements/a", b"\x00\xff")
        assert listener.event.wait(10)
        assert listener.heard == [b"\x00\xff"]
        for topic in ("receipts/0", "receipts/149"):
            listener.client.publish(topic, topic.encode(), qos=1)
        arrivals: list[Arrival] = []
        while len(arrivals) < 2:
            arrivals += link.receive(10.0, 1)
        assert [(one.topic, one.payload) for one in arrivals] == [
            ("receipts/0", b"receipts/0"),
            ("receipts/149", b"receipts/149"),
        ]
    listener.close()


def test_a_broker_that_is_not_there_is_named_and_tried_again() -> None:
    """Without a broker nothing is published and the problem is said; once there is one, the link is ready."""
    broker = Broker()
    with Link(broker.url, "link", ["receipts/a"], Random(1)) as link:
        while "cannot be reached" not in link.problem:
            assert not link.publish("statements/a", b"1")
            assert link.receive(0.01, 10) == []
        broker.start()
        try:
            assert link.ready.wait(20)
            assert link.publish("statements/a", b"1")
        finally:
            broker.stop()


def test_a_restarted_broker_is_found_again() -> None:
    """After the broker went and came back the link has a new generation, and publishes."""
    broker = Broker()
    broker.start()
    with Link(broker.url, "link", ["receipts/a"], Random(1)) as link:
        assert link.ready.wait(10)
        assert link.generation == 1
        broker.stop()
        while link.ready.is_set():
            link.receive(0.01, 10)
        assert not link.publish("statements/a", b"1")
        broker.start()
        try:
            assert link.ready.wait(20)
            assert link.generation == 2
            assert link.publish("statements/a", b"1")
        finally:
            broker.stop()
