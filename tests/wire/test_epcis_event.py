"""The statement of an EPCIS event: its form, and what is none."""

import cbor2
import pytest

from pipeline.wire.epcis_event import EpcisEvent, decode_epcis_event, encode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.wire.test_rotation import LEFT_OUT, Changes, Fields, changed

SPACE = "https://ns.example.com/"
JSON = b'{"type":"ObjectEvent"}'
EVENT: Fields = {1: bytes(range(32)), 2: JSON, 3: {"example": SPACE}}
SHAPE = Reason.EPCIS_SHAPE
NO_NAMESPACES: list[object] = [{}, [], {"a": ""}, {"": "a"}, {1: "x"}, {"a": 1}, {"a": "b\nc"}]
EVENT_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in (1, 2)],
    (3, LEFT_OUT, None),
    *[(label, 0, SHAPE) for label in (0, 1, 2, 3, 4)],
    *[(1, wrong, SHAPE) for wrong in (b"", bytes(31), bytes(33), "a" * 32)],
    *[(2, wrong, SHAPE) for wrong in (b"", JSON.decode())],
    *[(3, wrong, SHAPE) for wrong in NO_NAMESPACES],
    (3, {f"{number:02}": "x" for number in range(17)}, SHAPE),
    (3, {f"{number:02}": "x" for number in range(16)}, None),
]


@pytest.mark.parametrize(("label", "value", "reason"), EVENT_CHANGES)
def test_each_field_has_its_bounds(label: object, value: object, reason: Reason | None) -> None:
    """Whatever is missing, of another type, too long or too much is refused."""
    payload = changed(EVENT, label, value)
    if reason is None:
        decode_epcis_event(payload)
        return
    with pytest.raises(VerificationError) as refused:
        decode_epcis_event(payload)
    assert refused.value.reason is reason


def test_there_and_back() -> None:
    """With namespaces and without; the subject of its statement is its hash."""
    whole = EpcisEvent(bytes(range(32)), JSON, {"example": SPACE})
    assert cbor2.loads(encode_epcis_event(whole)) == EVENT
    for event in (whole, EpcisEvent(bytes(32), JSON)):
        assert decode_epcis_event(encode_epcis_event(event)) == event
    assert whole.uri == f"ni:///sha-256;{bytes(range(32)).hex()}?ver=CBV2.0"


def test_the_json_has_its_size() -> None:
    """One byte is taken, and 12,288; one more is not."""
    whole = EpcisEvent(bytes(32), bytes(12_288))
    assert decode_epcis_event(encode_epcis_event(whole)) == whole
    least = EpcisEvent(bytes(32), b"0")
    assert decode_epcis_event(encode_epcis_event(least)) == least
    with pytest.raises(VerificationError) as refused:
        decode_epcis_event(changed(EVENT, 2, bytes(12_289)))
    assert refused.value.reason is SHAPE


def test_what_is_no_map_is_none() -> None:
    """An array of the same parts says nothing."""
    with pytest.raises(VerificationError) as refused:
        decode_epcis_event(cbor2.dumps([bytes(32), JSON]))
    assert refused.value.reason is SHAPE


def test_what_nobody_would_take_is_not_written() -> None:
    """The encoder refuses what the decoder would."""
    with pytest.raises(VerificationError):
        encode_epcis_event(EpcisEvent(bytes(31), b"{}"))
