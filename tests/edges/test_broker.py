"""The embedded brokers: each carries messages from sender to inbox, on loopback, quietly, in bounds."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from pipeline.edges import broker as brokers
from pipeline.edges.broker import ADMIN_FOLDERS, amqtt, embedded_broker, mosquitto
from pipeline.edges.mqtt import MqttInbox, MqttPublisher
from pipeline.ports import Delivery
from pipeline.wire.errors import InputError, UnavailableError

Open = Callable[[int], AbstractAsyncContextManager[tuple[str, int]]]

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01g"
GARBAGE = (
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x10\xff\xff\xff\x7f",
    b"\xff" * 10,
    b"\x00" * 10,
    b"\x30\x05\x00\x01\xffxx",  # A topic that is no UTF-8.
    b"\x32\x03\x00\x05a",  # A topic longer than its packet.
    b"\x82\x02\x00\x01",  # A subscription to nothing.
    b"\x82\x06\x00\x01\x00\x01#\x07",  # One at a quality that does not exist.
    b"\x40\x02\x00\x09",  # An answer to nothing.
    b"\x62\x02\x00\x09",
    CONNECT,
)

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path=ADMIN_FOLDERS)


def open_mosquitto(port: int) -> AbstractAsyncContextManager[tuple[str, int]]:
    assert MOSQUITTO is not None
    return mosquitto(MOSQUITTO, port)


@pytest.fixture(params=[amqtt, pytest.param(open_mosquitto, marks=pytest.mark.needs("mosquitto"))])
def opened(request: pytest.FixtureRequest) -> Open:
    chosen: Open = request.param
    return chosen


async def take(inbox: MqttInbox, number: int) -> list[Delivery]:
    """Receive and acknowledge this many."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(deliveries) < number:
            some = await inbox.receive(number - len(deliveries), 0)
            await inbox.acknowledge(some)
            deliveries += some
    return deliveries


class Sender:
    """A device's connection, with the plainest client there is; counts what the broker acknowledged."""

    def __init__(self, host: str, port: int) -> None:
        self.acknowledged = 0
        self.ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(10_000)

        def published(*_: object) -> None:
            loop.call_soon_threadsafe(self._count)

        def disconnected(*_: object) -> None:
            loop.call_soon_threadsafe(self.ended.set)

        self._client.on_publish = published
        self._client.on_disconnect = disconnected
        self._client.connect(host, port)
        self._client.loop_start()

    def _count(self) -> None:
        self.acknowledged += 1

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1)

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


async def test_messages_go_through(opened: Open) -> None:
    """Any bytes up to the size limit, on the topics subscribed to and no others, in each sender's order."""
    payloads = [b"", bytes(range(256)), b"x" * (1024 * 1024), *(b"%d" % n for n in range(100))]
    async with (
        opened(0) as (host, port),
        MqttInbox.open(host, port, "bridge", ["statements/+", "registry/+"]) as inbox,
        MqttPublisher.open(host, port, "device") as publisher,
    ):
        for payload in payloads:
            await publisher.publish("elsewhere/a", payload[:10])
            await publisher.publish("statements/urn%3Adev%3Aorg%3A32473-1", payload)
        await publisher.publish("registry/https%3A%2F%2Feeb.example%2F", b"enrolment")
        deliveries = await take(inbox, len(payloads) + 1)
    assert [d.payload for d in deliveries] == [*payloads, b"enrolment"]
    assert {d.topic for d in deliveries[:-1]} == {"statements/urn%3Adev%3Aorg%3A32473-1"}


async def test_receipts_find_their_devices(opened: Open) -> None:
    """The other way round: what the courier publishes reaches whoever subscribed to it."""
    async with (
        opened(0) as (host, port),
        MqttInbox.open(host, port, "one", ["receipts/one"]) as one,
        MqttInbox.open(host, port, "two", ["receipts/two"]) as two,
        MqttPublisher.open(host, port, "courier") as courier,
    ):
        await asyncio.gather(*(courier.publish(f"receipts/{n}", n.encode()) for n in ("one", "two", "none")))
        assert [d.payload for d in await take(one, 1)] == [b"one"]
        assert [d.payload for d in await take(two, 1)] == [b"two"]


async def test_ports_are_found_and_claimed(opened: Open) -> None:
    """Two brokers find ports of their own on loopback; a port that is taken is refused by its number."""
    async with opened(0) as (host, port), opened(0) as (_, other):
        assert host == "127.0.0.1"
        assert port != other
        with pytest.raises(
            InputError, match=f"port {port} of 127.0.0.1 cannot be used: Address already in use"
        ):
            async with opened(port):
                pass
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        wanted = free.getsockname()[1]
    async with opened(wanted) as (_, given):
        assert given == wanted


async def test_nothing_listens_afterwards(opened: Open) -> None:
    """Leaving the context ends the broker, with connections open and messages under way."""
    async with opened(0) as (host, port):
        sender = Sender(host, port)
        for _ in range(100):
            sender.send("statements/a", bytes(100))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)
    await sender.close()


async def test_it_keeps_quiet(opened: Open, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed or logged, whatever clients send: garbage, also behind a greeting; a sudden end."""
    async with opened(0) as (host, port), MqttInbox.open(host, port, "bridge", ["statements/+"]) as inbox:
        for greeting, garbage in itertools.product((b"", CONNECT), GARBAGE):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(greeting + garbage)
            with contextlib.suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(reader.read(), 0.02)
            writer.transport.abort()
        sender = Sender(host, port)
        sender.send("statements/a", b"good")
        assert [d.payload for d in await take(inbox, 1)] == [b"good"]
        await sender.close()
    assert capfd.readouterr() == ("", "")


async def test_an_oversize_packet_ends_its_sender_only(opened: Open) -> None:
    """A packet over the limit is not taken in: its connection ends, and the others go on."""
    async with opened(0) as (host, port), MqttInbox.open(host, port, "bridge", ["statements/+"]) as inbox:
        bad, good = Sender(host, port), Sender(host, port)
        bad.send("statements/bad", bytes(brokers.PACKET_SIZE_MAX + 1))
        async with asyncio.timeout(10):
            await bad.ended.wait()
        good.send("statements/good", b"good")
        assert [d.topic for d in await take(inbox, 1)] == ["statements/good"]
        await bad.close()
        await good.close()


async def test_senders_wait_while_nobody_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    """amqtt acknowledges to senders little more than it may hold for receivers, who let it go on."""
    monkeypatch.setattr(brokers, "WAITING_MAX", 100)
    async with amqtt() as (host, port), MqttInbox.open(host, port, "bridge", ["statements/+"]) as inbox:
        sender = Sender(host, port)
        for _ in range(1000):
            sender.send("statements/a", bytes(200))
        held: list[Delivery] = []
        async with asyncio.timeout(10):
            while len(held) < 100:
                held += await inbox.receive(1000, 0)
        acknowledged = sender.acknowledged
        await asyncio.sleep(0.3)
        assert sender.acknowledged <= max(acknowledged, 100) + 50
        await inbox.acknowledge(held)
        await take(inbox, 1000 - len(held))
        await sender.close()


@pytest.mark.needs("mosquitto")
async def test_mosquitto_sends_again_what_a_lost_connection_left_open() -> None:
    """The persistent session on a real broker: what was not acknowledged comes again."""
    async with open_mosquitto(0) as (host, port), MqttPublisher.open(host, port, "device") as publisher:
        async with MqttInbox.open(host, port, "bridge", ["statements/+"]) as inbox:
            for number in range(10):
                await publisher.publish("statements/a", b"%d" % number)
            deliveries = await inbox.receive(10, 0.2)
            await inbox.acknowledge(deliveries[:5])
        await publisher.publish("statements/a", b"while away")
        async with MqttInbox.open(host, port, "bridge", ["statements/+"]) as inbox:
            again = await take(inbox, 6)
    assert [d.payload for d in again] == [*(b"%d" % n for n in range(5, 10)), b"while away"]


@pytest.mark.needs("mosquitto")
def test_mosquitto_ends_with_us() -> None:
    """kill -9 of the process that started it leaves no broker behind."""
    code = (
        "import asyncio, os\n"
        "from pipeline.edges.broker import mosquitto\n"
        "async def main():\n"
        "    async with mosquitto(os.environ['PROGRAM']) as (_, port):\n"
        "        print(port, flush=True)\n"
        "        await asyncio.sleep(100)\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PROGRAM": str(MOSQUITTO)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        os.kill(owner.pid, signal.SIGKILL)
    asyncio.run(wait_for_silence(port))


@pytest.mark.needs("mosquitto")
def test_ctrl_c_leaves_mosquitto_to_us() -> None:
    """A terminal sends it to every process in the foreground; the broker goes on until we end it."""
    code = (
        "import asyncio, signal\n"
        "from tests.edges.test_broker import open_mosquitto\n"
        "async def main():\n"
        "    stopping = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)\n"
        "    async with open_mosquitto(0) as (host, port):\n"
        "        print(port, flush=True)\n"
        "        await stopping.wait()\n"
        "        await asyncio.sleep(0.5)\n"
        "        _, writer = await asyncio.open_connection(host, port)\n"
        "        writer.close()\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(30) == 0


async def wait_for_silence(port: int) -> None:
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await asyncio.sleep(0.01)


async def test_a_mosquitto_that_does_not_start_says_why() -> None:
    """The child's own words reach the person."""
    with pytest.raises(UnavailableError, match=r"mosquitto .*does not start"):
        async with mosquitto("/bin/false"):
            pass


async def test_the_default_is_mosquitto_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the same call runs amqtt."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    async with embedded_broker() as (host, port), MqttInbox.open(host, port, "bridge", ["statements/+"]):
        pass
