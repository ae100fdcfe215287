"""The container of evidence: what it is to the byte, and everything that it is not."""

import os
import zlib
from hashlib import sha256
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.verify.frames import FRAME_SIZE_MAX, FrameWriter, read_frames
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.evidence_files import FIRST_LINE, Frame, pack, put_together, reader, take_apart

FRAMES: list[Frame] = [(0, b"head"), (3, bytes(1000)), (255, b""), (4, b"end")]


def written(frames: list[Frame]) -> bytes:
    """A file as the writer makes it."""
    parts: list[bytes] = []
    writer = FrameWriter(parts.append)
    for kind, content in frames:
        writer.add(kind, content)
    writer.close()
    return b"".join(parts)


def refusal(data: bytes) -> Reason:
    """Why a file is refused."""
    with pytest.raises(VerificationError) as refused:
        list(read_frames(reader(data)))
    return refused.value.reason


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20), st.integers(1, 400))
def test_frames_go_there_and_back(frames: list[Frame], most: int) -> None:
    """Written by us and read by others, written by others and read by us, in pieces of any size."""
    data = written(frames)
    assert take_apart(data) == frames
    for file in (data, put_together(frames)):
        source = reader(file)
        assert list(read_frames(lambda size, read=source: read(min(size, most)))) == frames  # type: ignore[misc]


def test_large_frames_and_many() -> None:
    """A frame of the largest size, incompressible and not; thousands of small ones."""
    for content in (os.urandom(FRAME_SIZE_MAX), bytes(FRAME_SIZE_MAX)):
        frames = [(1, content), (2, b"behind")]
        assert list(read_frames(reader(put_together(frames)))) == frames
    many = [(n % 5, n.to_bytes(4, "big") * 20) for n in range(20_000)]
    assert list(read_frames(reader(written(many)))) == many


def test_the_largest_frame_is_two_mebibytes() -> None:
    """The writer makes that and no larger one, which nobody would read."""
    assert FRAME_SIZE_MAX == 2 * 1024 * 1024
    writer = FrameWriter(lambda _: None)
    writer.add(1, bytes(FRAME_SIZE_MAX))
    with pytest.raises(AssertionError):
        writer.add(1, bytes(FRAME_SIZE_MAX + 1))


DATA = written(FRAMES)
BODY = DATA[:-32]


def hashed(body: bytes) -> bytes:
    """This, with the hash that fits."""
    return body + sha256(body).digest()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EVIDENCE_SHAPE),
        (DATA[:10], Reason.EVIDENCE_SHAPE),
        (b"x" + DATA[1:], Reason.EVIDENCE_SHAPE),
        (FIRST_LINE, Reason.EVIDENCE_SHAPE),
        (hashed(FIRST_LINE), Reason.EVIDENCE_SHAPE),
        (DATA[:-40], Reason.EVIDENCE_SHAPE),
        (DATA[:-1], Reason.EVIDENCE_SHAPE),
        (DATA + b"\0", Reason.EVIDENCE_SHAPE),
        (BODY, Reason.EVIDENCE_SHAPE),
        (BODY + bytes(32), Reason.EVIDENCE_DAMAGED),
        (hashed(FIRST_LINE + b"\xff" * 50), Reason.EVIDENCE_SHAPE),
        (pack(b"\0\0\0\4\1abc"), Reason.EVIDENCE_SHAPE),
        (pack(b"\0\0\0"), Reason.EVIDENCE_SHAPE),
        (pack((FRAME_SIZE_MAX + 1).to_bytes(4, "big") + b"\1"), Reason.OVERSIZE),
        (pack(b"\xff\xff\xff\xff\1" + bytes(100)), Reason.OVERSIZE),
    ],
)
def test_what_is_no_file(data: bytes, reason: Reason) -> None:
    """Cut off, begun wrong, not deflated, more behind it, frames that do not end."""
    assert refusal(data) is reason


def test_what_follows_the_hash_is_seen_and_not_read() -> None:
    """One more byte, where those before it came alone; of a megabyte no more than shows that it is there."""
    parts = [DATA[:30], DATA[30:], b"\0"]

    def piecewise(size: int) -> bytes:
        if not parts:
            return b""
        data, parts[0] = parts[0][:size], parts[0][size:]
        if not parts[0]:
            del parts[0]
        return data

    with pytest.raises(VerificationError) as refused:
        list(read_frames(piecewise))
    assert refused.value.reason is Reason.EVIDENCE_SHAPE
    source = BytesIO(DATA + bytes(1 << 20))
    with pytest.raises(VerificationError) as refused:
        list(read_frames(source.read))
    assert refused.value.reason is Reason.EVIDENCE_SHAPE
    assert source.tell() <= 2 * 65536


def test_a_last_frame_may_be_empty_and_come_byte_by_byte() -> None:
    """Five bytes are a frame."""
    source = reader(put_together([(1, b"x"), (2, b"")]))
    assert list(read_frames(lambda _size: source(1))) == [(1, b"x"), (2, b"")]


def test_another_deflation_is_another_file() -> None:
    """The same frames at another level are as good; a bit that changes nothing in the frames is not."""
    content = zlib.decompress(BODY[len(FIRST_LINE) :], -15)
    stored = zlib.compressobj(0, zlib.DEFLATED, -15)
    plain = hashed(FIRST_LINE + stored.compress(content) + stored.flush())
    assert list(read_frames(reader(plain))) == FRAMES
    for position in range(8 * len(DATA)):
        flipped = bytearray(DATA)
        flipped[position // 8] ^= 1 << position % 8
        refusal(bytes(flipped))


def test_a_bomb_is_not_unpacked() -> None:
    """A thousandth of the size on disk: only as much is in memory as a frame may hold."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = FIRST_LINE + deflate.compress(b"\xff\xff\xff\xff\0" + bytes(200 << 20)) + deflate.flush()
    read = 0
    source = reader(hashed(body))

    def counted(size: int) -> bytes:
        nonlocal read
        data = source(size)
        read += len(data)
        return data

    with pytest.raises(VerificationError) as refused:
        list(read_frames(counted))
    assert refused.value.reason is Reason.OVERSIZE
    assert read <= 2 * 65536 < len(body)
