"""The container of an evidence file: frames, deflated, between a first line and a hash over everything.

    cityproof evidence 1 <newline>
    a deflate stream (RFC 1951) of frames: length (4 bytes, big-endian), kind (1 byte), content
    the SHA-256 of all bytes before it

The hash is not what makes evidence true; it tells a damaged copy from a false one, and leaves no bit of the
compressed stream to choose.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

FIRST_LINE = b"cityproof evidence 1\n"
FRAME_SIZE_MAX = 2 << 20  # Bytes of content: a whole block and its hashes fit.

_READ_SIZE = 64 << 10
_HEAD_SIZE = 5
_HASH_SIZE = 32
_LEVEL = 9

Read: TypeAlias = Callable[[int], bytes]  # Like a file's: at most so many bytes, none at the end.
Write: TypeAlias = Callable[[bytes], object]


class FrameWriter:
    """Writes an evidence file, frame by frame."""

    __slots__ = ("_deflate", "_hash", "_write")

    def __init__(self, write: Write) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._put(FIRST_LINE)

    def add(self, kind: int, content: bytes) -> None:
        """Write a frame."""
        assert len(content) <= FRAME_SIZE_MAX, "a frame that nobody reads"
        self._put(self._deflate.compress(len(content).to_bytes(4) + bytes((kind,)) + content))

    def close(self) -> None:
        """Write what ends the file."""
        self._put(self._deflate.flush())
        self._write(self._hash.digest())

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._write(data)


def read_frames(read: Read) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, content) of every frame; the last one is yielded before the hash has been checked.

    Raises:
        VerificationError: EVIDENCE_SHAPE, OVERSIZE; EVIDENCE_DAMAGED at the end.
    """
    inflate = _Inflate(read)
    buffer, at = b"", 0
    while True:
        start = at + _HEAD_SIZE
        if start <= len(buffer):
            size = int.from_bytes(buffer[at : at + 4])
            if size > FRAME_SIZE_MAX:
                raise VerificationError(Reason.OVERSIZE, f"a frame of {size} bytes")
            end = start + size
            if end <= len(buffer):
                yield buffer[at + 4], buffer[start:end]
                at = end
                continue
        buffer, at = buffer[at:], 0
        more = inflate.read()
        if not more:
            break
        buffer += more
    if buffer:
        raise VerificationError(Reason.EVIDENCE_SHAPE, "the last frame is cut off")
    inflate.finish()


class _Inflate:
    """Reads the file: first line, stream, hash. What it holds in memory does not grow with the file."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._hash = hashlib.sha256()
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        first = _read_exactly(read, len(FIRST_LINE))
        if first != FIRST_LINE:
            raise VerificationError(Reason.EVIDENCE_SHAPE, "it does not begin as evidence does")
        self._hash.update(first)

    def read(self) -> bytes:
        """Return some bytes of the stream's content, none at its end."""
        while not self._stream.eof:
            taken = self._stream.unconsumed_tail
            data = taken or self._read(_READ_SIZE)
            if not data:
                raise VerificationError(Reason.EVIDENCE_SHAPE, "the file is cut off")
            try:
                content = self._stream.decompress(data, _READ_SIZE * 4)
            except zlib.error as error:
                raise VerificationError(Reason.EVIDENCE_SHAPE, "not a deflate stream") from error
            # Where the stream has ended, zlib keeps what is behind it in both places.
            stream = self._stream
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
            self._hash.update(data[: len(data) - len(left)])
            if content:
                return content
        return b""

    def finish(self) -> None:
        """Check the hash, and that nothing follows it."""
        found = self._stream.unused_data
        while len(found) <= _HASH_SIZE and (more := self._read(_HASH_SIZE + 1)):
            found += more
        if len(found) != _HASH_SIZE:
            raise VerificationError(Reason.EVIDENCE_SHAPE, "after the stream there is not exactly a hash")
        if found != self._hash.digest():
            raise VerificationError(Reason.EVIDENCE_DAMAGED)


def _read_exactly(read: Read, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data
