"""Evidence of an equivocation: two statements of one identity by one key, in the log or not."""

from typing import Any

import cbor2
import pytest

from pipeline.verify.collect import Collector
from pipeline.verify.equivocation import (
    EQUIVOCATION_SIZE_MAX,
    Equivocation,
    VerifiedEquivocation,
    encode_equivocation,
    make_equivocation,
    parse_equivocation,
    verify_equivocation,
)
from pipeline.verify.query import Query
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.changes import NEW, rotate
from tests.support.city import (
    AUTHORITIES,
    AUTHORITY_NAME,
    POLICY,
    ForgedLog,
    device_in,
    enrol,
    leaf_hash,
)

DEVICE = device_in(1)
ENROLMENT = enrol(DEVICE, 0)
ONE, OTHER = DEVICE.read(sequence=3), DEVICE.read(sequence=3, records=2)
NEXT = DEVICE.read(sequence=4)


def file_of(*pair: bytes, **parts: Any) -> bytes:
    """The bytes of evidence about two statements."""
    first, second = pair or (ONE, OTHER)
    fields: dict[str, Any] = {"enrolment": ENROLMENT} | parts
    return encode_equivocation(make_equivocation(first, second, **fields))


def judge(data: bytes) -> VerifiedEquivocation:
    """Verify under the city's policy and authorities."""
    return verify_equivocation(data, POLICY, AUTHORITIES)


def refusal(data: bytes) -> Reason:
    """Why a file is refused."""
    with pytest.raises(VerificationError) as refused:
        judge(data)
    return refused.value.reason


def test_two_signatures_convict() -> None:
    """Without any log: the key's holder signed both."""
    shown = judge(file_of())
    assert {statement.raw for statement in shown.statements} == {ONE, OTHER}
    assert shown.enrolled_by == AUTHORITY_NAME
    assert (shown.entries, shown.manifests, shown.checkpoint) == ((None, None), (None, None), None)


def test_there_is_one_file_for_a_pair() -> None:
    """In the order of their leaf hashes, whichever came first."""
    assert file_of(ONE, OTHER) == file_of(OTHER, ONE)
    low, high = sorted([ONE, OTHER], key=leaf_hash)
    assert cbor2.loads(file_of()) == {
        0: "application/vnd.cityproof.equivocation+cbor",
        1: low,
        2: high,
        7: ENROLMENT,
    }
    assert parse_equivocation(file_of()) == Equivocation((low, high), enrolment=ENROLMENT)
    assert refusal(encode_equivocation(Equivocation((high, low), enrolment=ENROLMENT))) is (
        Reason.EQUIVOCATION_SHAPE
    )


def test_what_is_none() -> None:
    """The same bytes, another sequence, epoch, signer or key."""
    stranger = device_in(1, 1)
    for pair in (
        (ONE, ONE),
        (ONE, NEXT),
        (ONE, DEVICE.read(sequence=3, epoch=2)),
        (ONE, stranger.read(sequence=3)),
    ):
        assert refusal(file_of(*pair)) is Reason.EQUIVOCATION_NONE
    renewed = device_in(1)
    renewed.signer = NEW
    assert refusal(file_of(ONE, renewed.read(sequence=3))) is Reason.EQUIVOCATION_NONE


def test_both_signatures_must_hold() -> None:
    """One that does not convicts nobody."""
    for pair in ((ONE, OTHER), (OTHER, ONE)):
        forged = bytearray(pair[1])
        forged[-1] ^= 1
        assert refusal(file_of(pair[0], bytes(forged))) is Reason.SIGNATURE_INVALID


def test_the_key_must_be_enrolled() -> None:
    """By an authority of the file, for this signer; an authority's own key stands in the file."""
    assert refusal(file_of(enrolment=None)) is Reason.AUTHORITY_UNKNOWN
    assert refusal(file_of(enrolment=enrol(device_in(1, 1), 0))) is Reason.PROOF_REGISTRY
    assert refusal(file_of(enrolment=ONE)) is Reason.AUTHORITY_UNKNOWN
    twice = [enrol(device, 7) for device in (DEVICE, device_in(1, 1))]
    shown = judge(file_of(*twice, enrolment=None))
    assert shown.enrolled_by is None
    assert shown.statements[0].issuer == AUTHORITY_NAME


def test_a_rotated_key_is_followed() -> None:
    """From the enrolment over the rotation to the key that signed."""
    renewed = device_in(1)
    renewed.signer = NEW
    pair = renewed.read(sequence=9), renewed.read(sequence=9, records=2)
    assert judge(file_of(*pair, rotations=[rotate(DEVICE)])).enrolled_by == AUTHORITY_NAME
    assert refusal(file_of(*pair)) is Reason.PROOF_REGISTRY
    assert refusal(file_of(rotations=[rotate(DEVICE)])) is Reason.PROOF_REGISTRY


def logged() -> tuple[ForgedLog, bytes]:
    """A log that keeps both, and the evidence taken from it."""
    log = ForgedLog()
    log.enrol(ENROLMENT)
    log.add(1, [ONE, NEXT])
    log.add(2, [device_in(2).read()])
    log.add(1, [device_in(1, 1).read(), OTHER], equivocations=(2,))
    log.publish()
    found = list(Collector(log.files.get, POLICY).find_equivocations(Query()))
    assert len(found) == 1
    return log, encode_equivocation(found[0])


LOG, DATA = logged()


def test_the_log_says_when() -> None:
    """Where each stands, under a cosigned checkpoint."""
    shown = judge(DATA)
    order = [ONE, OTHER] if leaf_hash(ONE) < leaf_hash(OTHER) else [OTHER, ONE]
    entries = {ONE: 2, OTHER: 4}
    assert [statement.raw for statement in shown.statements] == order
    assert shown.entries == (entries[order[0]], entries[order[1]])
    assert [manifest.height for manifest in shown.manifests if manifest] == [
        entries[raw] // 3 for raw in order
    ]
    assert shown.checkpoint is not None
    assert len(shown.checkpoint.cosignatures) == 3


def test_only_signers_asked_for_are_looked_at() -> None:
    """By device and by area; others' equivocations are another file's."""
    collector = Collector(LOG.files.get, POLICY)
    for query, count in (
        (Query(devices=frozenset({DEVICE.issuer})), 1),
        (Query(devices=frozenset({device_in(2).issuer})), 0),
        (Query(areas=frozenset({"north"})), 1),
        (Query(areas=frozenset({"south"})), 0),
    ):
        assert len(list(collector.find_equivocations(query))) == count


FIELDS: dict[int, Any] = cbor2.loads(DATA)


def place_with(key: int, **in_log: Any) -> list[Any]:
    """A statement's place, with another path of its entry in the log."""
    *rest, (index, size, hashes) = FIELDS[key]
    return [*rest, [in_log.get("index", index), in_log.get("size", size), in_log.get("hashes", hashes)]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: "application/cbor"}, Reason.EQUIVOCATION_SHAPE),
        ({0: None}, Reason.EQUIVOCATION_SHAPE),
        ({1: None}, Reason.EQUIVOCATION_SHAPE),
        ({2: "text"}, Reason.EQUIVOCATION_SHAPE),
        ({5: 0}, Reason.EQUIVOCATION_SHAPE),
        ({7: None, 10: [ENROLMENT]}, Reason.EQUIVOCATION_SHAPE),
        ({7: None}, Reason.AUTHORITY_UNKNOWN),  # As an authority's own has it.
        ({7: "text"}, Reason.EQUIVOCATION_SHAPE),
        ({9: "text"}, Reason.EQUIVOCATION_SHAPE),
        ({9: None}, Reason.EQUIVOCATION_SHAPE),
        ({3: None, 4: None}, Reason.EQUIVOCATION_SHAPE),
        ({3: []}, Reason.EQUIVOCATION_SHAPE),
        ({3: [0, b"", b"", 0]}, Reason.PROOF_SHAPE),
        ({10: []}, Reason.PROOF_SHAPE),
        ({3: FIELDS[4]}, Reason.ROOT_MISMATCH),
        ({4: FIELDS[3]}, Reason.ROOT_MISMATCH),
        ({3: place_with(3, hashes=[bytes(32), *FIELDS[3][3][2][1:]])}, Reason.ROOT_MISMATCH),
        ({4: place_with(4, size=4)}, Reason.SIZE_ORDER),
        ({9: b""}, Reason.NOTE_SHAPE),
    ],
)
def test_a_file_is_exactly_its_parts(change: dict[int, Any], reason: Reason) -> None:
    """One missing, one more, one of another type, one of another statement."""
    fields = {key: value for key, value in (FIELDS | change).items() if value is not None}
    assert refusal(cbor2.dumps(fields, canonical=True)) is reason


def test_a_file_is_one_item_of_the_profile() -> None:
    """Of at most 256 KiB; one place of the two may be shown alone."""
    assert EQUIVOCATION_SIZE_MAX == 256 * 1024
    assert refusal(b"\xff" * (EQUIVOCATION_SIZE_MAX + 1)) is Reason.OVERSIZE
    assert refusal(DATA + b"\0") is Reason.CBOR_TRAILING
    for nth in (0, 1):
        alone = {key: value for key, value in FIELDS.items() if key != 3 + nth}
        entries = judge(cbor2.dumps(alone, canonical=True)).entries
        assert [entry is None for entry in entries] == [nth == 0, nth == 1]


def test_no_bit_may_change() -> None:
    """Each flip of each bit is refused, in a file without a log and without a signature to spare."""
    data = file_of()
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        refusal(bytes(flipped))
