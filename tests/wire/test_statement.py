"""The statement's profile: what is signed, what is refused and why, and the fast way against the general
one."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.wire import statement as subject_under_test
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import (
    CONTENT_ENROLMENT,
    CONTENT_SENML,
    Statement,
    StatementParser,
    parse_statement,
    record_count,
    shard_of,
    sign_statement,
    verify_statement,
)
from tests.wire import build, reference
from tests.wire.build import ISSUER, KEY_ID, PACK, PREVIOUS, PUBLIC_KEY, SUBJECT, Raw

SIGNER = SeedSigner(build.SEED)
GOOD = build.statement()
Outcome = Statement | Reason


def outcome(parse: Callable[[bytes], Statement], raw: bytes) -> Outcome:
    """Return what a parser makes of bytes: the statement or the reason."""
    try:
        return parse(raw)
    except VerificationError as refused:
        return refused.reason


def warmed(*statements: bytes) -> StatementParser:
    """Return a parser that has seen these statements."""
    parser = StatementParser()
    for raw in statements or (GOOD,):
        parser.parse(raw)
    return parser


def test_a_statement_is_what_the_specifications_say() -> None:
    """The bytes of a statement, built by the reference encoder and signed by PyNaCl's own interface."""
    raw = sign_statement(
        SIGNER,
        issuer=ISSUER,
        subject=SUBJECT,
        content_type=CONTENT_SENML,
        epoch=1700000000,
        sequence=3,
        previous=PREVIOUS,
        payload=PACK,
    )
    assert raw == GOOD
    assert parse_statement(raw) == Statement(
        raw=GOOD,
        issuer=ISSUER,
        subject=SUBJECT,
        kid=KEY_ID,
        content_type=112,
        epoch=1700000000,
        sequence=3,
        previous=PREVIOUS,
        payload=PACK,
        signature=GOOD[-64:],
        protected=reference.dumps(build.header()),
    )


def test_content_types_are_those_of_the_formats() -> None:
    """A CoAP number for readings, a media type of our own for each other object."""
    names = {
        name.removeprefix("CONTENT_").lower(): value
        for name, value in vars(subject_under_test).items()
        if name.startswith("CONTENT_") and name != "CONTENT_TYPE_SIZE_MAX"
    }
    assert names.pop("senml") == 112
    assert names == {name: f"application/vnd.cityproof.{name}+cbor" for name in names}
    assert names.keys() >= {"enrolment", "rotation", "revocation", "admission", "finding", "genesis"}


LONG_URI = "https://city.example/" + "a" * 107
REFUSED: list[tuple[dict[str, Any], Reason | None]] = [
    ({}, None),
    ({"alg": -8}, Reason.COSE_ALGORITHM),
    ({"alg": -7}, Reason.COSE_ALGORITHM),
    ({"alg": "Ed25519"}, Reason.COSE_ALGORITHM),
    ({"alg": None}, Reason.COSE_HEADER),
    ({"content_type": None}, Reason.COSE_HEADER),
    ({"kid": None}, Reason.COSE_HEADER),
    ({"claims": None}, Reason.COSE_HEADER),
    ({"chain": None}, Reason.COSE_HEADER),
    ({"label_2": [3]}, Reason.COSE_HEADER),  # crit: nothing may be critical that is not known.
    ({"label_5": bytes(8)}, Reason.COSE_HEADER),
    ({"label_395": 1}, Reason.COSE_HEADER),
    ({"label_-70002": [1, 2, bytes(32)]}, Reason.COSE_HEADER),
    ({"kid": KEY_ID[:7]}, Reason.COSE_HEADER),
    ({"kid": KEY_ID + b"\x00"}, Reason.COSE_HEADER),
    ({"kid": b""}, Reason.COSE_HEADER),
    ({"kid": "abcdefgh"}, Reason.COSE_HEADER),
    ({"claims": {1: ISSUER}}, Reason.COSE_HEADER),
    ({"claims": {1: ISSUER, 2: SUBJECT, 6: 1700000000}}, Reason.COSE_HEADER),
    ({"claims": {1: ISSUER, 3: SUBJECT}}, Reason.COSE_HEADER),
    ({"claims": [ISSUER, SUBJECT]}, Reason.COSE_HEADER),
    ({"content_type": 50}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": 112.0}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": b"application/senml+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/senml+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/vnd.cityproof.+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/vnd.cityproof.Enrolment+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/vnd.cityproof.a.+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/vnd.cityproof.a+cbor\n"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "xapplication/vnd.cityproof.a+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": "application/vndxcityproof.a+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": f"application/vnd.cityproof.{'a' * 98}+cbor"}, Reason.STATEMENT_CONTENT_TYPE),
    ({"content_type": f"application/vnd.cityproof.{'a' * 97}+cbor"}, None),
    ({"content_type": "application/vnd.cityproof.key-rotation.2+cbor"}, None),
    ({"claims": {1: "https://city.example/ecology", 2: SUBJECT}}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: ISSUER.encode(), 2: SUBJECT}}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: "", 2: SUBJECT}}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: ISSUER + "\n", 2: SUBJECT}}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: "urn:dev:ops:32473-air", 2: SUBJECT}}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: LONG_URI, 2: SUBJECT}, "content_type": CONTENT_ENROLMENT}, None),
    ({"claims": {1: LONG_URI + "a", 2: SUBJECT}, "content_type": CONTENT_ENROLMENT}, Reason.STATEMENT_ISSUER),
    ({"claims": {1: "no uri", 2: SUBJECT}, "content_type": CONTENT_ENROLMENT}, Reason.STATEMENT_ISSUER),
    (
        {"claims": {1: "urn:dev:ops:1", 2: SUBJECT}, "content_type": CONTENT_ENROLMENT},
        Reason.STATEMENT_ISSUER,
    ),
    ({"claims": {1: ISSUER, 2: ""}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: 7}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "a" * 129}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "水" * 43}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "水" * 42 + "aa"}}, None),
    ({"claims": {1: ISSUER, 2: "a\x00"}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "a\x1f"}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "\x7f"}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: "\x9f"}}, Reason.STATEMENT_SUBJECT),
    ({"claims": {1: ISSUER, 2: " \xa0"}}, None),
    ({"chain": [0, 0, bytes(32)]}, None),
    ({"chain": [2**53 - 1, 2**53 - 1, PREVIOUS]}, None),
    ({"chain": [2**53, 0, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 2**53, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [-1, 0, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, -1, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0.0, 0, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, False, PREVIOUS]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 0, PREVIOUS[:31]]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 0, PREVIOUS + b"\x00"]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 0, "a" * 32]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 0]}, Reason.STATEMENT_CHAIN),
    ({"chain": [0, 0, PREVIOUS, 0]}, Reason.STATEMENT_CHAIN),
    ({"chain": {0: 0, 1: 0, 2: PREVIOUS}}, Reason.STATEMENT_CHAIN),
    ({"chain": 0}, Reason.STATEMENT_CHAIN),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_each_field_has_its_bounds(changes: dict[str, Any], reason: Reason | None) -> None:
    """Every label is required, none may be added, and each value out of bounds has its reason."""
    raw = build.statement(**changes)
    for parse in (parse_statement, StatementParser().parse, warmed().parse):
        got = outcome(parse, raw)
        assert (got if isinstance(got, Reason) else None) is reason


COUNTERS = st.sampled_from([0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1]) | st.integers(
    0, 2**53 - 1
)
SIZES = st.sampled_from([0, 1, 22, 23, 24, 25, 254, 255, 256, 257, 4000]) | st.integers(0, 300)
ISSUERS = st.sampled_from(
    ["https://city.example/ecology", "urn:dev:ops:32473-air-7", "urn:dev:mac:0024befffe804ff1"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(ISSUERS, TEXTS, COUNTERS, COUNTERS, st.binary(min_size=32, max_size=32), SIZES)
@settings(max_examples=200)
def test_statements_survive(
    issuer: str, subject: str, epoch: int, sequence: int, previous: bytes, size: int
) -> None:
    """Whatever is signed is parsed again, by the general way, cold and warm, and verifies; its size forms are
    all met."""
    fields: dict[str, Any] = {
        "epoch": epoch,
        "sequence": sequence,
        "previous": previous,
        "payload": bytes(size),
    }
    raw = sign_statement(SIGNER, issuer=issuer, subject=subject, content_type=CONTENT_ENROLMENT, **fields)
    statement = parse_statement(raw)
    assert {name: getattr(statement, name) for name in fields} == fields
    assert (statement.issuer, statement.subject, statement.kid) == (issuer, subject, KEY_ID)
    assert statement.content_type == CONTENT_ENROLMENT
    verify_statement(statement, PUBLIC_KEY)
    parser = StatementParser()
    assert parser.parse(raw) == statement
    assert parser.parse(raw) == statement
    later_fields: dict[str, Any] = fields | {"sequence": 7}
    later = sign_statement(
        SIGNER, issuer=issuer, subject=subject, content_type=CONTENT_ENROLMENT, **later_fields
    )
    assert parser.parse(later) == parse_statement(later)


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second statement of a device needs no general parse; one of another epoch, subject or key does."""
    parser = warmed()
    general = []

    def count(raw: bytes) -> Statement:
        general.append(raw)
        return parse_statement(raw)

    monkeypatch.setattr(subject_under_test, "parse_statement", count)
    for sequence in (0, 4, 5, 23):
        parser.parse(build.statement(chain=[1700000000, sequence, bytes(32)]))
    for size in (0, 23, 24, 255, 256, 16000):
        parser.parse(build.statement(b"\x80" * size, chain=[1700000000, 9, bytes(32)]))
    assert general == []
    longer_sequence = build.statement(chain=[1700000000, 24, bytes(32)])  # Another length of the header.
    parser.parse(longer_sequence)
    parser.parse(build.statement(chain=[1700000000, 255, bytes(32)]))
    assert general == [longer_sequence]
    other: list[dict[str, Any]] = [
        {"chain": [1700000001, 3, PREVIOUS]},
        {"claims": {1: ISSUER, 2: "b"}},
        {"kid": b"anotherk"},
    ]
    for changes in other:
        parser.parse(build.statement(**changes))
        assert len(general) == 2
        general.pop()


LEASTS = [(24, b"\x18\x17"), (1 << 8, b"\x19\x00\xff"), (1 << 16, b"\x1a\x00\x00\xff\xff")]
LEASTS += [(1 << 32, b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff")]


@pytest.mark.parametrize(("least", "one_less"), LEASTS)
def test_each_length_of_sequence_has_its_least(
    least: int, one_less: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast way takes the least that needs so many bytes, and leaves what needs fewer to be refused."""
    parser = warmed(build.statement(chain=[1700000000, least + 1, PREVIOUS]))
    end = reference.dumps(build.header())[: -len(b"\x03\x58\x20") - 32]
    raw = build.sign1(end + one_less + b"\x58\x20" + PREVIOUS)
    assert outcome(parser.parse, raw) is outcome(parse_statement, raw) is Reason.CBOR_NOT_SHORTEST
    monkeypatch.setattr(subject_under_test, "parse_statement", None)
    assert parser.parse(build.statement(chain=[1700000000, least, PREVIOUS])).sequence == least


@pytest.mark.parametrize("epoch", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1])
def test_every_epoch_goes_the_fast_way(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes it has."""
    parser = warmed(build.statement(chain=[epoch, 3, PREVIOUS]))
    monkeypatch.setattr(subject_under_test, "parse_statement", None)
    assert parser.parse(build.statement(chain=[epoch, 4, PREVIOUS])).epoch == epoch


def test_the_largest_sequence_goes_the_fast_way_and_no_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """2^53 - 1 is the last."""
    parser = warmed(build.statement(chain=[1700000000, 2**40, PREVIOUS]))
    larger = build.statement(chain=[1700000000, 2**53, PREVIOUS])
    assert outcome(parser.parse, larger) is Reason.STATEMENT_CHAIN
    monkeypatch.setattr(subject_under_test, "parse_statement", None)
    assert parser.parse(build.statement(chain=[1700000000, 2**53 - 1, PREVIOUS])).sequence == 2**53 - 1


def test_no_bit_may_change() -> None:
    """Flip any bit: the parsers agree, and the statement is refused, or names another key, or does not
    verify."""
    parser = warmed()
    for bit in range(8 * len(GOOD)):
        raw = bytearray(GOOD)
        raw[bit // 8] ^= 1 << bit % 8
        general = outcome(parse_statement, bytes(raw))
        assert outcome(parser.parse, bytes(raw)) == general
        if isinstance(general, Reason) or (general.issuer, general.kid) != (ISSUER, KEY_ID):
            continue
        with pytest.raises(VerificationError) as refused:
            verify_statement(general, PUBLIC_KEY)
        assert refused.value.reason is Reason.SIGNATURE_INVALID


BASES = [
    GOOD,
    build.statement(bytes(23)),
    build.statement(bytes(24)),
    build.statement(bytes(255)),
    build.statement(bytes(256)),
    build.statement(chain=[0, 2**32, PREVIOUS]),
    build.statement(chain=[5, 70000, PREVIOUS]),
    build.statement(chain=[24, 300, PREVIOUS]),
    build.statement(chain=[256, 24, PREVIOUS]),
    build.statement(
        kid=b"\x3a\x00\x01\x11\x70\x83\x00\x58"
    ),  # The chain's label and head, where no chain is.
]


@given(
    st.sampled_from(BASES),
    st.integers(0, 600),
    st.integers(0, 3),
    st.binary(max_size=4) | st.sampled_from([b"\x3a\x00\x01\x11\x70\x83", b"\x00", b"\x58\x20", b"\x58\x40"]),
)
@settings(max_examples=2000)
def test_the_fast_way_agrees_with_the_general_one(base: bytes, at: int, drop: int, new: bytes) -> None:
    """Put other bytes in place of some: a parser that knows the beginnings says what one that does not
    says."""
    at %= len(base)
    raw = base[:at] + new + base[at + drop :]
    assert outcome(warmed(*BASES).parse, raw) == outcome(parse_statement, raw)


def test_every_truncation_is_refused_alike() -> None:
    """Cut anywhere, or go on behind the end: both ways refuse for one reason."""
    for base in BASES:
        parser = warmed(base)
        for size in range(len(base)):
            assert outcome(parser.parse, base[:size]) is Reason.CBOR_TRUNCATED
            assert outcome(parse_statement, base[:size]) is Reason.CBOR_TRUNCATED
        assert outcome(parser.parse, base + b"\x00") is Reason.CBOR_TRAILING


def test_a_known_beginning_does_not_excuse_the_rest() -> None:
    """Sequence, previous, unprotected map, payload and signature are each checked behind a known
    beginning."""
    parser = warmed(GOOD, build.statement(chain=[1700000000, 24, PREVIOUS]))
    protected = reference.dumps(build.header())
    end = protected[: -len(b"\x03\x58\x20") - 32]
    cases = [
        (build.sign1(end + b"\x17\x58\x20" + PREVIOUS), None),
        (build.sign1(end + b"\x18\x17\x58\x20" + PREVIOUS[:-1]), Reason.CBOR_NOT_SHORTEST),
        (build.sign1(end + b"\x20\x58\x20" + PREVIOUS), Reason.STATEMENT_CHAIN),
        (build.sign1(end + b"\x18\x58\x20" + PREVIOUS), Reason.CBOR_TRAILING),
        (build.sign1(end + b"\x03\x78\x20" + b"a" * 32), Reason.STATEMENT_CHAIN),
        (build.sign1(end + b"\x03\x58\x1f" + PREVIOUS[:-1] + b"\x00"), Reason.CBOR_TRAILING),
        (build.sign1(protected, unprotected={4: KEY_ID}), Reason.COSE_UNPROTECTED),
        (build.sign1(protected, unprotected=[]), Reason.COSE_SHAPE),
        (build.sign1(protected, unprotected=b""), Reason.COSE_SHAPE),
        (build.sign1(protected, sent="a" * 30), Reason.COSE_SHAPE),
        (build.sign1(protected, sent="a" * 300), Reason.COSE_SHAPE),
        (build.sign1(protected, sent={}), Reason.COSE_SHAPE),
        (build.sign1(protected, sent=Raw(b"\xf6")), Reason.COSE_PAYLOAD),
        (build.sign1(protected, sent=Raw(b"\x58\x17" + bytes(23))), Reason.CBOR_NOT_SHORTEST),
        (build.sign1(protected, sent=Raw(b"\x59\x00\xff" + bytes(255))), Reason.CBOR_NOT_SHORTEST),
        (build.sign1(protected, sent=Raw(b"\x5a\x00\x00\x01\x00" + bytes(256))), Reason.CBOR_NOT_SHORTEST),
        (build.sign1(protected, signature=bytes(63)), Reason.COSE_SHAPE),
        (build.sign1(protected, signature=bytes(65)), Reason.COSE_SHAPE),
        (build.sign1(protected)[:-66] + b"\x78\x40" + b"a" * 64, Reason.COSE_SHAPE),
    ]
    for raw, reason in cases:
        general = outcome(parse_statement, raw)
        assert outcome(parser.parse, raw) == general
        assert (general if isinstance(general, Reason) else None) is reason


def test_the_size_limit_holds_on_both_ways() -> None:
    """16,384 bytes pass, one more does not, also behind a known beginning."""
    room = 16384 - len(build.statement(bytes(256))) + 256
    largest, larger = build.statement(bytes(room)), build.statement(bytes(room + 1))
    assert (len(largest), len(larger)) == (16384, 16385)
    for parse in (parse_statement, warmed(largest).parse):
        assert isinstance(outcome(parse, largest), Statement)
        assert outcome(parse, larger) is Reason.OVERSIZE


def test_the_parser_forgets_the_oldest() -> None:
    """Beginnings are bounded; the parser stays right when they were too many."""
    limit = subject_under_test._BEGINNINGS_MAX
    parser = StatementParser()
    statements = [GOOD.replace(KEY_ID, index.to_bytes(8, "big")) for index in range(limit + 3)]
    for raw in statements:
        parser.parse(raw)
    assert len(parser._beginnings) == limit
    known = {beginning.kid for beginning in parser._beginnings.values()}
    assert known == {index.to_bytes(8, "big") for index in range(3, limit + 3)}
    assert parser.parse(statements[0]) == parse_statement(statements[0])


def test_the_header_is_a_map_in_order() -> None:
    """No other order of labels, no other type, nothing unprotected."""
    header = build.header()
    backwards = b"\xa5" + b"".join(
        reference.dumps(label) + reference.dumps(header[label]) for label in reversed(header)
    )
    assert outcome(parse_statement, build.sign1(backwards)) is Reason.CBOR_KEY_ORDER
    assert outcome(parse_statement, build.sign1(b"")) is Reason.CBOR_TRUNCATED
    assert outcome(parse_statement, build.sign1(b"\x80")) is Reason.COSE_HEADER
    protected = reference.dumps(header)
    assert outcome(parse_statement, build.sign1(protected, unprotected={394: []})) is Reason.COSE_UNPROTECTED


def test_verification_covers_header_and_payload() -> None:
    """The right key verifies; another key, header or payload does not."""
    statement = parse_statement(GOOD)
    verify_statement(statement, PUBLIC_KEY)
    for wrong, key in [
        (statement, SeedSigner(bytes(32)).public_key),
        (statement._replace(payload=statement.payload + b"\x00"), PUBLIC_KEY),
        (statement._replace(protected=statement.protected[:-1] + b"\x00"), PUBLIC_KEY),
        (statement._replace(signature=bytes(64)), PUBLIC_KEY),
    ]:
        with pytest.raises(VerificationError) as refused:
            verify_statement(wrong, key)
        assert refused.value.reason is Reason.SIGNATURE_INVALID


@given(st.text(max_size=20), st.integers(2, 1000))
def test_shards(issuer: str, shards: int) -> None:
    """1 + SHA-256 as a number modulo (shards - 1); shard 0 is nobody's."""
    number = int(hashlib.sha256(issuer.encode()).hexdigest(), 16)
    assert shard_of(issuer, shards) == 1 + number % (shards - 1)
    assert 1 <= shard_of(issuer, shards) < shards


def test_some_shards() -> None:
    """Published examples."""
    assert [shard_of("urn:dev:ops:32473-air-8", shards) for shards in (2, 3, 5, 9, 65)] == [1, 2, 2, 6, 6]
    with pytest.raises(AssertionError):
        shard_of(ISSUER, 1)


def test_records_are_counted_alike_at_both_ends() -> None:
    """A reading that decodes counts its records, signed rightly or not; anything else counts one."""
    records = [{0: "pm10", 2: value, 6: value} for value in range(2, 5)]
    first = {0: "pm10", 2: 1, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"}
    pack = reference.dumps([first, *records])
    assert record_count(build.statement(pack)) == 4
    assert record_count(build.statement(pack)[:-1] + b"\x00") == 4
    assert record_count(GOOD) == 1
    assert record_count(build.statement(reference.dumps([first, *records, {0: "none"}]))) == 1
    assert record_count(build.statement(pack, content_type=CONTENT_ENROLMENT)) == 1
    assert record_count(build.statement(pack, alg=-8)) == 1
    assert record_count(b"") == 1
    assert record_count(b"\xff" * 20000) == 1
