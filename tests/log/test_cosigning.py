"""The body of add-checkpoint (C2SP tlog-witness): its one spelling, and what breaks it."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.cosigning import (
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    encode_add_checkpoint,
    parse_add_checkpoint,
)
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

HASH = bytes(range(32))
LINE = b64encode(HASH)
NOTE = "origin\n5\nroot\n\n\N{EM DASH} name sig\n".encode()


def test_a_body_is_the_specifications() -> None:
    """`old` and size, a hash a line, a blank line, the checkpoint with its signatures."""
    body = b"old 7\n" + LINE + b"\n" + LINE + b"\n\n" + NOTE
    assert encode_add_checkpoint(AddCheckpoint(7, [HASH, HASH], NOTE)) == body
    request = parse_add_checkpoint(body)
    assert (request.old_size, list(request.proof), request.note) == (7, [HASH, HASH], NOTE)
    assert encode_add_checkpoint(AddCheckpoint(0, [], NOTE)) == b"old 0\n\n" + NOTE
    assert list(parse_add_checkpoint(b"old 0\n\n" + NOTE).proof) == []


@given(
    st.integers(0, 10**19 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(max_size=100),
)
def test_requests_go_there_and_back(old_size: int, proof: list[bytes], note: bytes) -> None:
    """Any request of up to 63 hashes."""
    request = parse_add_checkpoint(encode_add_checkpoint(AddCheckpoint(old_size, proof, note)))
    assert (request.old_size, list(request.proof), request.note) == (old_size, proof, note)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 0",
        b"\n\n" + NOTE,
        b"old\n\n" + NOTE,
        b"old 0\r\n\n" + NOTE,
        b"old  0\n\n" + NOTE,
        b" old 0\n\n" + NOTE,
        b"Old 0\n\n" + NOTE,
        b"new 0\n\n" + NOTE,
        b"old 0 1\n\n" + NOTE,
        *(
            b"old " + size + b"\n\n" + NOTE
            for size in (b"", b"00", b"01", b"-1", b"+1", b"1_0", b"0x1", b"9" * 20)
        ),
        "old ٣\n\n".encode() + NOTE,
        b"old 1\n" + LINE[:-1] + b"\n\n" + NOTE,
        b"old 1\n" + LINE + b" \n\n" + NOTE,
        b"old 1\n" + b64encode(HASH[:-1]) + b"\n\n" + NOTE,
        b"old 1\n" + b64encode(HASH + b"x") + b"\n\n" + NOTE,
        b"old 1\n" + LINE[:-2] + b"9=\n\n" + NOTE,
        b"old 1\n" + HASH.hex().encode() + b"\n\n" + NOTE,
        b"old 1\n\xff\n\n" + NOTE,
        b"old 1\n" + (LINE + b"\n") * 64 + b"\n" + NOTE,
    ],
)
def test_any_other_body_is_request_shape(body: bytes) -> None:
    """Sizes and hashes spelled otherwise, missing or too many lines."""
    with pytest.raises(VerificationError) as refused:
        parse_add_checkpoint(body)
    assert refused.value.reason is Reason.REQUEST_SHAPE


def test_63_hashes_are_read() -> None:
    """The bound is the specification's."""
    body = b"old 1\n" + (LINE + b"\n") * 63 + b"\n" + NOTE
    assert len(parse_add_checkpoint(body).proof) == 63


def test_the_content_type_of_a_size_is_the_specifications() -> None:
    """By it a log tells "ask again from this size" from an alarm."""
    assert SIZE_CONTENT_TYPE == "text/x.tlog.size"
