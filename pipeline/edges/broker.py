"""The embedded MQTT broker on loopback: Mosquitto as a child process where it is installed, else amqtt.

Neither keeps anything over an end: devices send again whatever the log has not promised to keep.
"""

import asyncio
import logging
import os
import pwd
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from amqtt.adapters import ReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from pipeline.wire.errors import InputError, UnavailableError

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
PACKET_SIZE_MAX = 1024 * 1024 + 4096  # A payload of 1 MiB and its topic.
# Deliveries without an answer, beyond which amqtt takes no more messages in. It drops what is not answered
# within 5 s, so that more than it delivers in that time, at its worst, must not wait.
WAITING_MAX = 512
WRITE_BUFFER_MAX = 16 * 1024 * 1024
MOSQUITTO_IN_FLIGHT_MAX = 2048  # Several batches of the bridge: it acknowledges a batch at a time.
HOLD_S = 0.01
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
PUBLISH = 3  # MQTT 3.1.1, 2.2.1
SIZE_BYTES_MAX = 4  # MQTT 3.1.1, 2.2.3
ADMIN_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # Debian keeps Mosquitto where only root's PATH looks.


def embedded_broker(port: int = 0) -> AbstractAsyncContextManager[tuple[str, int]]:
    """Run a broker on loopback, anyone admitted, and give its host and port; 0 finds a free port.

    Raises:
        InputError: The port is taken.
        UnavailableError: The broker does not start.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=ADMIN_FOLDERS)
    return mosquitto(program, port) if program else amqtt(port)


@asynccontextmanager
async def amqtt(port: int = 0) -> AsyncGenerator[tuple[str, int]]:
    """Run amqtt inside this process. MQTT 3.1.1 only; about 2,000 messages a second."""
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # It logs every late acknowledgement as an error.
    broker = Broker(
        BrokerConfig(
            listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL, bind=HOST)},
            # Without a list it logs every packet and publishes $SYS topics.
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
    )

    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(broker, reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = _listen(port)
    await broker.start()
    try:
        async with await asyncio.start_server(connected, sock=listener):
            yield HOST, listener.getsockname()[1]
    finally:
        await broker.shutdown()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let amqtt speak with one client, and close the connection, which amqtt forgets to where it gives up."""
    packets = cast("ReaderAdapter", _PacketReader(reader, broker))
    # Where a write has to wait, amqtt misses the answer that comes meanwhile, and waits 5 s for it in vain.
    writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
    try:
        await broker.external_connected(packets, StreamWriterAdapter(writer), "default")
    except Exception as error:  # noqa: BLE001 - whatever a client's bytes raise there ends this client only
        logger.debug("a client's connection ended: %r", error)
    finally:
        writer.transport.abort()


class _PacketReader:
    """Hands amqtt whole packets of bounded size, and holds senders back while too many deliveries wait.

    By itself amqtt reads what it is told is coming, up to 256 MB, and queues without bound.
    """

    def __init__(self, reader: asyncio.StreamReader, broker: Broker) -> None:
        self._reader = reader
        self._broker = broker
        self._head = bytearray()  # Kept over a cancelled read: amqtt cancels at every keep-alive.
        self._packet = memoryview(b"")

    async def read(self, n: int = -1) -> bytes:
        """Return the next `n` bytes of a packet; fewer at the end of the stream."""
        if not self._packet:
            self._packet = memoryview(await self._read_packet())
        taken, self._packet = self._packet[:n], self._packet[n:]
        return bytes(taken)

    def feed_eof(self) -> None:
        """End the stream."""
        self._reader.feed_eof()

    async def _read_packet(self) -> bytes:
        head = self._head
        while len(head) < 2 or head[-1] & 0x80:
            byte = await self._reader.read(1)
            if not byte or len(head) > SIZE_BYTES_MAX:
                return b""
            head += byte
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
        if size > PACKET_SIZE_MAX:
            return b""  # amqtt takes it for the end, and closes the connection.
        while head[0] >> 4 == PUBLISH and self._waiting() > WAITING_MAX:  # noqa: ASYNC110
            await asyncio.sleep(HOLD_S)  # amqtt tells nobody when a delivery has been answered.
        body = await self._reader.readexactly(size)
        packet = bytes(head) + body
        head.clear()
        return packet

    def _waiting(self) -> int:
        """Return how many messages amqtt holds: taken in, to be distributed, and sent without an answer."""
        held = sum(
            session.delivered_message_queue.qsize() + len(session.inflight_out)
            for session, _ in self._broker.sessions.values()
        )
        return int(held + self._broker._broadcast_queue.qsize())  # noqa: SLF001 - no other way to bound it


@asynccontextmanager
async def mosquitto(program: str, port: int = 0) -> AsyncGenerator[tuple[str, int]]:
    """Run Mosquitto as a child process, which ends with this one."""
    with _listen(port) as claimed:  # Mosquitto takes no open socket and finds no free port by itself.
        port = claimed.getsockname()[1]
    with TemporaryDirectory(prefix="cityproof-") as folder:
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(_settings(port), encoding="ascii")
        with (Path(folder) / "output").open("w+", encoding="utf-8", errors="replace") as output:
            process = await asyncio.create_subprocess_exec(
                *_ending_with_us(),
                program,
                "-c",
                str(settings),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us, who end it once everything has been said.
            )
            try:
                if not await _answers(process, port):
                    output.seek(0)
                    raise UnavailableError("mosquitto", f"it does not start: {output.read().strip()}")
                yield HOST, port
            finally:
                await _stop(process)


def _settings(port: int) -> str:
    lines = {
        "listener": f"{port} {HOST}",
        "allow_anonymous": "true",
        "persistence": "false",
        "log_type": "none",
        "max_inflight_messages": MOSQUITTO_IN_FLIGHT_MAX,
        "max_queued_messages": 1_000_000,  # Never 0: some 2.0 versions then drop everything.
        "max_packet_size": PACKET_SIZE_MAX,
        "set_tcp_nodelay": "true",
        "user": pwd.getpwuid(os.getuid()).pw_name,
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _ending_with_us() -> list[str]:
    """Return what to put before a command so that the kernel ends it with us, even at kill -9."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM"] if program else []


async def _answers(process: Process, port: int) -> bool:
    """Wait until something listens on the port; tell whether the process lives."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection(HOST, port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                await writer.wait_closed()
                break
    except TimeoutError:
        return False
    return process.returncode is None


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        problem = f"port {port} of {HOST} cannot be used: {error.strerror}"
        raise InputError("--port", problem, "Name another port, or 0 for a free one.") from error
    return listener
