"""The finding: what an auditor states about a point; everything that is not exactly one is refused."""

from dataclasses import replace
from typing import Any

import cbor2
import pytest

from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import Finding, FoundPlace, as_label, decode_finding, encode_finding
from pipeline.wire.reasons import Reason

PLACE = FoundPlace("urn:dev:ops:32473-air-1", "station-1", "no2", 1_800_000_000_000_000)
ALTERED = Finding(
    reason=Reason.POINT_ALTERED,
    place=PLACE,
    signed=20.25,
    stored=7.5,
    ref=(17, 3),
    noticed_ms=1_800_000_005_000,
    unnoticed_ms=1_800_000_003_000,
    size=40,
    root=bytes(range(32)),
    credentials=("root", "anyone of group adm"),
)
MISSING = replace(ALTERED, reason=Reason.POINT_MISSING, stored=None)
UNEXPECTED = replace(ALTERED, reason=Reason.POINT_UNEXPECTED, signed=None, ref=None)


@pytest.mark.parametrize(
    "finding",
    [
        ALTERED,
        MISSING,
        UNEXPECTED,
        replace(ALTERED, stored="nan", unnoticed_ms=None),
        replace(UNEXPECTED, signed=1.0, ref=(0, 0)),
        replace(UNEXPECTED, place=FoundPlace("it's me", "—", "x", -5)),
    ],
    ids=["altered", "missing", "unexpected", "no number", "of another leaf", "strange names"],
)
def test_what_is_written_is_read(finding: Finding) -> None:
    """Each kind, with and without what it may lack."""
    payload = encode_finding(finding)
    assert decode_finding(payload) == finding
    assert cbor2.loads(payload)[1] == finding.reason.value


def changed(label: int, value: object) -> bytes:
    """The altered one with a field changed, or without it."""
    fields: dict[int, Any] = cbor2.loads(encode_finding(ALTERED))
    fields[label] = value
    if value is None:
        del fields[label]
    return cbor2.dumps(fields, canonical=True)


PLACE_FIELDS = list(PLACE)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        *((label, None) for label in (1, 2, 3, 4, 5, 6, 8, 9)),
        (1, "point_lost"),
        (1, 7),
        (2, PLACE_FIELDS[:3]),
        (2, ["", *PLACE_FIELDS[1:]]),
        (2, [*PLACE_FIELDS[:3], 1.5]),
        (2, [*PLACE_FIELDS[:3], 2**53]),
        (3, "20.25"),
        (3, True),
        (4, "text"),
        (10, "both"),
        (4, b"7.5"),
        (5, [17]),
        (5, [17, -1]),
        (6, -1),
        (6, 1.5),
        (7, "yesterday"),
        (8, [40, bytes(31)]),
        (8, [-1, bytes(32)]),
        (9, []),
        (9, [""]),
        (9, ["x"] * 33),
        (11, 1),
    ],
)
def test_what_is_none_is_refused(label: int, value: object) -> None:
    """Whatever is missing, of another type, out of range, or too much."""
    with pytest.raises(VerificationError) as refused:
        decode_finding(changed(label, value))
    assert refused.value.reason is Reason.FINDING_SHAPE


@pytest.mark.parametrize("text", ["a\nb", "", 7.5])
def test_a_stored_text_is_a_label(text: object) -> None:
    """It stands in place of the number."""
    fields: dict[int, Any] = cbor2.loads(encode_finding(replace(ALTERED, stored="x")))
    assert (fields.pop(10), 4 in fields) == ("x", False)
    with pytest.raises(VerificationError) as refused:
        decode_finding(cbor2.dumps(fields | {10: text}, canonical=True))
    assert refused.value.reason is Reason.FINDING_SHAPE


def test_no_map_is_no_finding() -> None:
    """Nor is what is no CBOR of the profile."""
    for payload, reason in ((b"\x80", Reason.FINDING_SHAPE), (b"", Reason.CBOR_TRUNCATED)):
        with pytest.raises(VerificationError) as refused:
            decode_finding(payload)
        assert refused.value.reason is reason


def test_an_auditor_writes_none_that_would_be_refused() -> None:
    """It hears so at once."""
    with pytest.raises(VerificationError):
        encode_finding(replace(ALTERED, credentials=()))


@pytest.mark.parametrize(
    ("text", "label"),
    [("no2", "no2"), ("a\nb\x7f", "a?b?"), ("", "?"), ("é" * 100, "é" * 64), ("\ud800", "?")],
)
def test_any_name_becomes_a_label(text: str, label: str) -> None:
    """What an intruder calls things can be told."""
    assert as_label(text) == label
