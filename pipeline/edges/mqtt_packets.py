"""MQTT 3.1.1 as far as a client at QoS 0 and 1 needs it (OASIS standard, 29 October 2014). Pure.

Packets are cut out of what has been received without being copied first: a bridge reads thousands a second.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
REFUSED_SUBSCRIPTION = 0x80
MESSAGE_IDS = 65_535

# 3.2.2.3, Table 3.1
CONNECT_REFUSALS = {
    1: "unacceptable protocol version",
    2: "client id rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorised",
}


class MalformedError(Exception):
    """What was received is no MQTT."""


class Packet(NamedTuple):
    """A received packet: its first byte, and where in `data` what follows the fixed header stands."""

    head: int
    data: bytes
    start: int
    end: int


class Published(NamedTuple):
    """A received PUBLISH. The message id is 0 at QoS 0."""

    topic: bytes
    message_id: int
    payload: bytes


class PacketReader:
    """Cuts a stream into packets; keeps what belongs to one that is not whole yet."""

    __slots__ = ("_needed", "_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._needed = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take what was received, and yield the packets that are whole now.

        Raises:
            MalformedError: A length is longer than four bytes.
        """
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._needed:  # Joined once it is whole: a large one costs no more than its size.
                return
            data = b"".join(self._parts)
            self._parts.clear()
        at, size = 0, len(data)
        while at < size:
            start, length = _remaining_length(data, at)
            end = start + length
            if not start or end > size:
                self._parts.append(data[at:])
                self._size, self._needed = size - at, end - at if start else 0
                return
            yield Packet(data[at], data, start, end)
            at = end


def _remaining_length(data: bytes, at: int) -> tuple[int, int]:
    """Return where a packet's content starts, and its length (2.2.3); 0 where the length is not whole."""
    length = 0
    for place, byte in enumerate(data[at + 1 : at + 5]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return at + 2 + place, length
    if len(data) - at > 4:
        raise MalformedError("a packet's length has no end")
    return 0, 0


def parse_publish(packet: Packet) -> Published:
    """Read a PUBLISH (3.3).

    Raises:
        MalformedError: It ends too early.
    """
    head, data, start, end = packet
    topic_end = start + 2 + (data[start] << 8 | data[start + 1]) if end - start >= 2 else end + 1
    payload_at = topic_end + 2 if head & 0x06 else topic_end
    if payload_at > end:
        raise MalformedError("a message ends within its topic")
    message_id = int.from_bytes(data[topic_end:payload_at])
    return Published(data[start + 2 : topic_end], message_id, data[payload_at:end])


def connect_packet(
    client_id: str, keepalive_s: int, *, persistent: bool, login: tuple[str, str] | None = None
) -> bytes:
    """Return a CONNECT (3.1); `login` is a name and its password."""
    flags = (0 if persistent else 0x02) | (0 if login is None else 0xC0)
    body = b"\x00\x04MQTT\x04" + bytes((flags,)) + keepalive_s.to_bytes(2) + _text(client_id.encode())
    body += b"".join(_text(word.encode()) for word in login or ())
    return b"\x10" + _length(len(body)) + body


def subscribe_packet(topics: Sequence[str]) -> bytes:
    """Return a SUBSCRIBE at QoS 1 (3.8), with message id 1."""
    body = b"\x00\x01" + b"".join(_text(topic.encode()) + b"\x01" for topic in topics)
    return b"\x82" + _length(len(body)) + body


def publish_packet(topic: str, message_id: int, payload: bytes) -> bytes:
    """Return a PUBLISH at QoS 1 (3.3)."""
    name = _text(topic.encode())
    return b"".join((b"\x32", _length(len(name) + 2 + len(payload)), name, message_id.to_bytes(2), payload))


def puback_packet(message_id: int) -> bytes:
    """Return a PUBACK (3.4)."""
    return b"\x40\x02" + message_id.to_bytes(2)


def _text(raw: bytes) -> bytes:
    return len(raw).to_bytes(2) + raw


def _length(size: int) -> bytes:
    encoded = bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
