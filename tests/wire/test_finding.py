"""The finding: what an auditor states about a point; everything that is not exactly one is refused."""

from dataclasses import replace
from typing import Any

import cbor2
import pytest

from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import Finding, FoundPlace, as_label, decode_finding, encode_finding
from pipeline.wire.reasons import Reason
from tests.wire.test_rotation import LEFT_OUT, Changes, Fields, changed

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


# The same fields as they stand in the published vectors.
FINDING: Fields = {
    1: "point_altered",
    2: list(PLACE),
    3: 20.25,
    4: 7.5,
    5: [17, 3],
    6: 1_800_000_005_000,
    7: 1_800_000_003_000,
    8: [40, bytes(range(32))],
    9: ["root", "anyone of group adm"],
}
SHAPE = Reason.FINDING_SHAPE
FINDING_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in FINDING if label != 7],
    (7, LEFT_OUT, None),
    (0, 0, SHAPE),
    (11, 0, SHAPE),
    *[(1, wrong, SHAPE) for wrong in ("point_lost", "", 7, b"point_altered")],
    (1, "point_missing", None),
    (1, "point_unexpected", None),
    *[
        (2, [*PLACE[:at], wrong, *PLACE[at + 1 :]], SHAPE)
        for at in range(3)
        for wrong in ("", "a" * 129, "\x00", 7, b"a")
    ],
    *[(2, [*PLACE[:3], wrong], SHAPE) for wrong in (1.5, 2**53, -(2**53), "0")],
    *[(2, [*PLACE[:3], good], None) for good in (0, -5, 2**53 - 1, 1 - 2**53)],
    *[(2, wrong, SHAPE) for wrong in ([], list(PLACE[:3]), [*PLACE, 0], "a place", 0)],
    *[(label, wrong, SHAPE) for label in (3, 4) for wrong in ("20.25", True, [20.25])],
    *[(label, good, None) for label in (3, 4) for good in (0, -1, 1e300)],
    *[(5, wrong, SHAPE) for wrong in ([], [17], [17, 3, 0], [17, -1], [-1, 3], [2**53, 0], [17, 3.0], 17)],
    (5, [0, 2**53 - 1], None),
    *[(label, wrong, SHAPE) for label in (6, 7) for wrong in (-1, 2**53, 1.5, "0", True)],
    *[(8, wrong, SHAPE) for wrong in ([], [40], [40, bytes(31)], [-1, bytes(32)], ["40", bytes(32)], 40)],
    *[(9, wrong, SHAPE) for wrong in ([], [""], ["a" * 129], ["a\nb"], [7], ["a"] * 33, "root")],
    (9, ["a"] * 32, None),
    (10, "both", SHAPE),
]


@pytest.mark.parametrize(("label", "value", "reason"), FINDING_CHANGES)
def test_each_field_has_its_bounds(label: object, value: object, reason: Reason | None) -> None:
    """Whatever is missing, of another type, out of range, or too much is refused."""
    payload = changed(FINDING, label, value)
    if reason is None:
        decode_finding(payload)
        return
    with pytest.raises(VerificationError) as refused:
        decode_finding(payload)
    assert refused.value.reason is reason


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


def test_a_label_is_as_long_as_it_may_be() -> None:
    """One byte too many costs the last character and no other."""
    assert as_label("x" * 128) == "x" * 128
    assert as_label("x" * 129) == "x" * 128


def test_one_credential_is_enough() -> None:
    """Where one person could have written, one is named."""
    alone = replace(ALTERED, credentials=("root",))
    assert decode_finding(encode_finding(alone)) == alone


@pytest.mark.parametrize("code", ["point_altered", "point_missing", "point_unexpected"])
def test_the_store_says_one_thing(code: str) -> None:
    """A number and a text at once are no finding of any kind."""
    text_label = (cbor2.loads(encode_finding(replace(ALTERED, stored="nan"))).keys() - FINDING.keys()).pop()
    with pytest.raises(VerificationError) as refused:
        decode_finding(cbor2.dumps({**FINDING, 1: code, text_label: "nan"}, canonical=True))
    assert refused.value.reason is Reason.FINDING_SHAPE
