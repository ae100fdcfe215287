"""The statement of an EPCIS event: its form, and what is none."""

import cbor2
import pytest

from pipeline.wire.epcis_event import JSON_SIZE_MAX, EpcisEvent, decode_epcis_event, encode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

EVENT = EpcisEvent(bytes(range(32)), b'{"type":"ObjectEvent"}', {"example": "https://ns.example.com/"})


def test_there_and_back() -> None:
    """With namespaces and without; the subject of its statement is its hash."""
    for event in (EVENT, EpcisEvent(bytes(32), bytes(JSON_SIZE_MAX))):
        assert decode_epcis_event(encode_epcis_event(event)) == event
    assert EVENT.uri == f"ni:///sha-256;{bytes(range(32)).hex()}?ver=CBV2.0"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {1: bytes(32)},
        {1: bytes(31), 2: b"{}"},
        {1: bytes(32), 2: b""},
        {1: bytes(32), 2: "{}"},
        {1: bytes(32), 2: bytes(JSON_SIZE_MAX + 1)},
        {1: bytes(32), 2: b"{}", 3: {}},
        {1: bytes(32), 2: b"{}", 3: {"a": ""}},
        {1: bytes(32), 2: b"{}", 3: {1: "x"}},
        {1: bytes(32), 2: b"{}", 3: {str(n): "x" for n in range(17)}},
        {1: bytes(32), 2: b"{}", 4: 1},
    ],
)
def test_what_is_none(fields: object) -> None:
    """Parts that are missing, too long, of another type, or too many."""
    with pytest.raises(VerificationError) as refused:
        decode_epcis_event(cbor2.dumps(fields, canonical=True))
    assert refused.value.reason is Reason.EPCIS_SHAPE


def test_what_nobody_would_take_is_not_written() -> None:
    """The encoder refuses what the decoder would."""
    with pytest.raises(VerificationError):
        encode_epcis_event(EpcisEvent(bytes(31), b"{}"))
