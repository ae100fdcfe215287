"""MQTT packets: the standard's own examples, and streams cut anywhere."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.edges.mqtt_packets import (
    MalformedError,
    PacketReader,
    Published,
    connect_packet,
    parse_publish,
    puback_packet,
    publish_packet,
    subscribe_packet,
)

# OASIS MQTT 3.1.1, Table 2.4: the smallest and the largest length of so many bytes.
LENGTHS = {
    0: "00",
    127: "7f",
    128: "8001",
    16_383: "ff7f",
    16_384: "808001",
    2_097_151: "ffff7f",
    2_097_152: "80808001",
}

TOPICS = st.text(max_size=40).filter(lambda text: len(text.encode(errors="ignore")) == len(text))
MESSAGES = st.lists(st.tuples(TOPICS, st.integers(1, 65_535), st.binary(max_size=400)), max_size=8)


def read_all(parts: Sequence[bytes]) -> list[Published]:
    reader = PacketReader()
    return [parse_publish(packet) for part in parts for packet in reader.feed(part)]


@pytest.mark.parametrize(("size", "encoded"), LENGTHS.items())
def test_lengths_are_those_of_the_standard(size: int, encoded: str) -> None:
    """Read and written at both ends of each number of bytes (2.2.3)."""
    raw = bytes.fromhex("30" + encoded) + bytes(size)
    (packet,) = PacketReader().feed(raw)
    assert (packet.head, packet.start, packet.end) == (0x30, 1 + len(encoded) // 2, len(raw))
    if size >= 5:
        written = publish_packet("a", 1, bytes(size - 5))
        assert written == b"\x32" + bytes.fromhex(encoded) + b"\0\1a\0\1" + bytes(size - 5)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_a_stream_may_be_cut_anywhere(messages: list[tuple[str, int, bytes]], cuts: list[int]) -> None:
    """The same messages come out, wherever what is received ends."""
    stream = b"".join(publish_packet(*message) for message in messages)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(places)]
    expected = [(topic.encode(), message_id, payload) for topic, message_id, payload in messages]
    assert read_all(parts) == expected
    assert read_all([stream[at : at + 1] for at in range(len(stream))]) == expected


def test_a_message_at_qos_0_has_no_id() -> None:
    """Its payload follows the topic (3.3.2)."""
    assert read_all([b"\x30\x05\x00\x01axy"]) == [Published(b"a", 0, b"xy")]


@pytest.mark.parametrize("raw", ["3000", "300100", "30020001", "3003000261", "3203000161", "320400016100"])
def test_a_message_that_ends_within_its_topic_is_refused(raw: str) -> None:
    """Or within the id behind it."""
    with pytest.raises(MalformedError, match="within its topic"):
        read_all([bytes.fromhex(raw)])


@pytest.mark.parametrize("parts", [["30ffffffff"], ["30ffff", "ffff7f"], ["30", "ff", "ff", "ff", "ff"]])
def test_a_length_without_an_end_is_refused(parts: list[str]) -> None:
    """Four bytes are the most (2.2.3)."""
    with pytest.raises(MalformedError, match="no end"):
        read_all([bytes.fromhex(part) for part in parts])


def test_what_a_client_sends() -> None:
    """CONNECT with and without a clean session, SUBSCRIBE at QoS 1, PUBACK: byte by byte (3.1, 3.8, 3.4)."""
    assert connect_packet("ab", 20, persistent=True).hex() == "100e00044d5154540400001400026162"
    assert connect_packet("ab", 20, persistent=False).hex() == "100e00044d5154540402001400026162"
    assert subscribe_packet(["a/+", "b"]).hex() == "820c00010003612f2b0100016201"
    assert puback_packet(258).hex() == "40020102"
