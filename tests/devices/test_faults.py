"""Faults: each does what it says, and says what must come of it."""

from collections import Counter
from hashlib import sha256
from random import Random

import cbor2
import pytest

from devices.device import Chain, Device, Signed
from devices.faults import FAULTS, Fault, Injection, assign_faults, expected_refusal
from pipeline.wire.errors import InputError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack
from pipeline.wire.statement import parse_statement, sign_statement

ISSUER = "urn:dev:ops:32473-test-1"
SIGNER = SeedSigner(b"\x05" * 32)
START_S = 1_700_000_000.0


def make(name: str, seed: int = 1) -> Fault:
    return FAULTS[name](Random(seed))


def statements(count: int, records: int = 4) -> list[Signed]:
    device = Device(SIGNER, ISSUER, "station/1", Chain(7, 0, bytes(32)))
    return [
        device.sign_records(
            [
                Record("pm2_5", "ug/m3", number + place / 8, START_S + number + place)
                for place in range(records)
            ]
        )
        for number in range(count)
    ]


def beside(name: str, signed: list[Signed], seed: int = 1) -> list[list[Injection]]:
    fault = make(name, seed)
    return [fault.beside(one, SIGNER) for one in signed]


def readings(count: int) -> list[Record]:
    return [Record("pm2_5", "ug/m3", float(number), START_S + 60.0 * number) for number in range(count)]


def test_the_registry_holds_every_fault() -> None:
    """The ten faults of the issue are there under their names."""
    assert sorted(FAULTS) == [
        "clock_skew",
        "cloned_key",
        "delay",
        "duplicate",
        "flipped_bits",
        "malformed",
        "offline",
        "reorder",
        "replayed",
        "stuck_value",
    ]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_faults_are_seeded(name: str) -> None:
    """The same seed gives the same fault, in all that it does."""

    def run(seed: int) -> object:
        fault = make(name, seed)
        signed = statements(40)
        return (
            [fault.release_s(float(at)) for at in range(40)],
            [fault.beside(one, SIGNER) for one in signed],
            fault.measure(readings(40)),
        )

    assert run(3) == run(3)


def test_offline_holds_back_what_is_signed_in_a_gap() -> None:
    """A third of the time nothing is sent; what was signed meanwhile leaves when the gap ends."""
    fault = make("offline")
    held_s = [fault.release_s(at / 10) - at / 10 for at in range(900)]
    assert min(held_s) == 0.0
    assert 2.5 < max(held_s) <= 3.0
    assert sum(wait > 0 for wait in held_s) / len(held_s) == pytest.approx(1 / 3, abs=0.03)
    ends = {round(at / 10 + wait, 6) for at, wait in enumerate(held_s) if wait > 0}
    assert len(ends) in {10, 11}


def test_delay_keeps_the_order_and_reorder_does_not() -> None:
    """Delayed statements stay in order and come a second or more late; reordered ones overtake each other."""
    fault = make("delay")
    delayed = [fault.release_s(at / 4) for at in range(200)]
    assert delayed == sorted(delayed)
    assert all(1.0 <= time_s - at / 4 <= 3.5 for at, time_s in enumerate(delayed))
    fault = make("reorder")
    reordered = [fault.release_s(at / 4) for at in range(200)]
    assert reordered != sorted(reordered)


def test_duplicates_and_replays_are_bytes_sent_before() -> None:
    """Both send only bytes that the device had signed, and expect no refusal."""
    signed = statements(200)
    for name in ("duplicate", "replayed"):
        known: set[bytes] = set()
        sent = 0
        for one, injections in zip(signed, beside(name, signed), strict=True):
            known.add(one.raw)
            assert {injection.raw for injection in injections} <= known
            assert {injection.reason for injection in injections} <= {None}
            sent += len(injections)
        assert sent > 50
    old = [
        (number, parse_statement(injection.raw).sequence)
        for number, injections in enumerate(beside("replayed", signed))
        for injection in injections
    ]
    assert max(number - sequence for number, sequence in old) in range(50, 64)


def test_a_skewed_clock_is_wrong_by_the_same_and_drifts() -> None:
    """Times are off by ten minutes to a day and drift by 50 millionths; values and order stay."""
    for seed in range(20):
        true = [Record("pm2_5", "ug/m3", 1.0, START_S + 3600.0 * hour) for hour in range(48)]
        fault = make("clock_skew", seed)
        wrong = [record for one in true for record in fault.measure([one])]
        off_s = [record.time_s - one.time_s for record, one in zip(wrong, true, strict=True)]
        assert 600 <= abs(off_s[0]) <= 86_400
        assert off_s[-1] - off_s[0] == pytest.approx(47 * 3600 * 50e-6, abs=1.0)
        assert [record.time_s for record in wrong] == sorted(record.time_s for record in wrong)
        assert {record.value for record in wrong} == {1.0}


def test_a_stuck_value_repeats_the_first_of_its_quantity() -> None:
    """Each quantity keeps its first value; times go on."""
    fault = make("stuck_value")
    assert [record.value for record in fault.measure(readings(5))] == [0.0] * 5
    later = [Record("pm2_5", "ug/m3", 9.0, START_S + 900.0), Record("o3", "ug/m3", 4.0, START_S + 900.0)]
    assert fault.measure(later) == [later[0]._replace(value=0.0), later[1]]


def test_a_clone_signs_other_values_under_the_same_identity() -> None:
    """A clone's statement verifies, has the original's identity and number of records, and other bytes."""
    signed = statements(60)
    clones = 0
    for one, injections in zip(signed, beside("cloned_key", signed), strict=True):
        for injection in injections:
            clone, original = parse_statement(injection.raw), parse_statement(one.raw)
            assert expected_refusal(injection.raw, ISSUER, SIGNER.public_key) is None
            assert (clone.issuer, clone.epoch, clone.sequence) == (ISSUER, 7, one.sequence)
            assert clone.raw != original.raw
            assert injection.records == one.records == 4
            assert decode_pack(clone.payload, ISSUER) != decode_pack(original.payload, ISSUER)
            assert injection.reason is Reason.EQUIVOCATION
            clones += 1
    assert 10 < clones < 30


def test_a_clone_of_a_boolean_reading_flips_it() -> None:
    """Where a device measures nothing but open or closed, its clone says the opposite."""
    device = Device(SIGNER, ISSUER, "container/1", Chain(7, 0, bytes(32)))
    signed = [device.sign_records([Record("door", "/", 1.0, START_S + number)]) for number in range(20)]
    found = [injection for injections in beside("cloned_key", signed) for injection in injections]
    assert found
    for injection in found:
        assert decode_pack(parse_statement(injection.raw).payload, ISSUER)[0].value == 0.0


def reason_by_hand(raw: bytes) -> str:
    """Say why a lenient reader, made of cbor2 and PyNaCl, refuses it; "form" where it does not decode."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        tag = cbor2.loads(raw)
        protected, _, payload, signature = tag.value
        header = cbor2.loads(protected)
        claims = header[15]
        if (claims[1], header[4]) != (ISSUER, sha256(SIGNER.public_key).digest()[:8]):
            return "key_unknown"
        to_be_signed = cbor2.dumps(["Signature1", protected, b"", payload])
    except (cbor2.CBORDecodeError, AttributeError, TypeError, ValueError, KeyError, IndexError):
        return "form"
    try:
        VerifyKey(SIGNER.public_key).verify(to_be_signed, signature)
    except (BadSignatureError, ValueError, TypeError):
        return "signature_invalid"
    return "accepted"


def test_flipped_bits_expect_what_an_independent_reading_finds() -> None:
    """An unknown key or a wrong signature is expected where a lenient reader finds it; else bad form."""
    signed = statements(1500)
    expected: Counter[str] = Counter()
    for injections in beside("flipped_bits", signed):
        for injection in injections:
            assert injection.reason is not None
            by_hand = reason_by_hand(injection.raw)
            expected[by_hand] += 1
            if injection.reason in {Reason.KEY_UNKNOWN, Reason.SIGNATURE_INVALID}:
                assert by_hand == injection.reason
            else:
                assert injection.reason.startswith(("cbor_", "cose_", "statement_"))
            assert ISSUER.encode() in injection.raw
    assert min(expected["key_unknown"], expected["signature_invalid"], expected["form"]) >= 5


def test_expectations_follow_the_order_of_checks() -> None:
    """Form before key, key before signature, signature before content."""
    (signed,) = statements(1)
    parsed = parse_statement(signed.raw)
    other = SeedSigner(b"\x06" * 32)

    def resigned(issuer: str = ISSUER, signer: SeedSigner = SIGNER, payload: bytes = parsed.payload) -> bytes:
        return sign_statement(
            signer,
            issuer=issuer,
            subject="station/1",
            content_type=112,
            epoch=7,
            sequence=0,
            previous=bytes(32),
            payload=payload,
        )

    def expected(raw: bytes) -> str | None:
        return expected_refusal(raw, ISSUER, SIGNER.public_key)

    assert expected(signed.raw) is None
    assert expected(resigned(issuer="urn:dev:ops:32473-test-2")) == "key_unknown"
    assert expected(resigned(signer=other)) == "key_unknown"
    assert expected(resigned(payload=b"\x80")) == "pack_shape"
    assert expected(resigned(payload=b"\x80")[:-1] + b"\x00") == "signature_invalid"
    assert expected(resigned(signer=other)[:-1]) == "cbor_truncated"


def test_malformed_bytes_are_all_different_and_all_refused() -> None:
    """No two malformed messages are alike, each has a reason, and each counts one record."""
    signed = statements(600)
    found = [one for injections in beside("malformed", signed) for one in injections]
    assert len({one.raw for one in found}) == len(found) > 150
    reasons = Counter(one.reason for one in found)
    assert reasons.keys() >= {
        Reason.OVERSIZE,
        Reason.CBOR_TRUNCATED,
        Reason.CBOR_TRAILING,
        Reason.CBOR_INDEFINITE,
    }
    assert {one.records for one in found} == {1}


def test_faults_are_spread_over_devices() -> None:
    """With `all` each fault has a device of its own, while there are enough; the seed decides which."""
    issuers = [f"urn:dev:ops:32473-test-{number}" for number in range(30)]
    assigned = assign_faults("all", issuers, 7)
    assert sorted(fault.name for faults in assigned.values() for fault in faults) == sorted(FAULTS)
    assert len(assigned) == len(FAULTS)
    assert assign_faults("all", issuers, 7).keys() == assigned.keys()
    assert assign_faults("all", issuers, 8).keys() != assigned.keys()
    few = assign_faults("all", issuers[:4], 7)
    assert sorted(map(len, few.values())) == [2, 2, 3, 3]


def test_a_list_names_faults_and_devices() -> None:
    """`offline:3,duplicate` gives three devices the one and one the other."""
    issuers = [f"urn:dev:ops:32473-test-{number}" for number in range(30)]
    assigned = assign_faults("offline:3,duplicate", issuers, 7)
    names = sorted(fault.name for faults in assigned.values() for fault in faults)
    assert names == ["duplicate", "offline", "offline", "offline"]
    assert assign_faults("none", issuers, 7) == {}


@pytest.mark.parametrize(
    "wanted", ["", "offlin", "offline:", "offline:x", "offline:-1", "offline,,delay", "offline:2:3"]
)
def test_a_wrong_list_is_an_input_error(wanted: str) -> None:
    """An unknown name or number is refused with the names there are."""
    with pytest.raises(InputError) as refused:
        assign_faults(wanted, [ISSUER], 7)
    assert refused.value.place == "--faults"
    assert "cloned_key" in refused.value.remedy
