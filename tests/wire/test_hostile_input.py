"""Whatever comes in: nothing but a VerificationError goes out, within 10 ms and a few megabytes, up to 16
KiB."""

import contextlib
import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.wire.cbor import check, decode
from pipeline.wire.cose import parse_sign1
from pipeline.wire.enrolment import decode_enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import check_public_key, verify
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import check_pack, decode_pack
from pipeline.wire.statement import StatementParser, parse_statement, record_count, verify_statement
from pipeline.wire.topics import parse_topic
from tests.wire import build, reference
from tests.wire.build import ISSUER, PUBLIC_KEY

PARSER = StatementParser()


def take_in(raw: bytes) -> None:
    """All that happens to a statement on its way in."""
    statement = PARSER.parse(raw)
    verify_statement(statement, PUBLIC_KEY)
    check_pack(statement.payload, statement.issuer)


READERS: dict[str, Callable[[bytes], object]] = {
    "check": check,
    "decode": lambda raw: decode(raw, null_payload=True),
    "parse_sign1": parse_sign1,
    "parse_sign1 detached": lambda raw: parse_sign1(raw, detached=True),
    "parse_statement": parse_statement,
    "take_in": take_in,
    "check_pack": lambda raw: check_pack(raw, ISSUER),
    "decode_pack": lambda raw: decode_pack(raw, ISSUER),
    "decode_enrolment": decode_enrolment,
    "decode_receipts": decode_receipts,
    "decode_refusal": decode_refusal,
    "record_count": record_count,
    "parse_topic": lambda raw: parse_topic(raw.decode("latin-1")),
    "check_public_key": check_public_key,
    "verify": lambda raw: verify(PUBLIC_KEY, raw[64:], raw[:64]),
}


def feed(raw: bytes) -> set[Reason]:
    """Give bytes to every reader; return why they were refused. Anything else raised is a failure."""
    reasons = set()
    for read in READERS.values():
        try:
            read(raw)
        except VerificationError as refused:
            reasons.add(refused.reason)
    return reasons


PACK = cbor2.dumps(
    [
        {0: "pm2_5", 2: 12.5, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"},
        {0: "temperature", 1: "Cel", 2: 23.1, 6: 60},
        {0: "door", 1: "/", 4: True},
    ]
)
GOOD = [
    build.statement(),
    build.statement(PACK),
    PACK,
    reference.dumps(
        dict.fromkeys((3, 4, 5, 7, 8), "label")
        | {1: ISSUER, 2: PUBLIC_KEY, 6: "air", 9: [121.4, 31.2, 3], 10: [121.5, 31.2, 3]}
        | {11: {"pm2_5": 1.5}, 12: 1, 13: "device", 14: 1}
    ),
    reference.dumps([[1, 2, b"receipt"]]),
    reference.dumps([bytes(32), "oversize"]),
    reference.dumps({1: [0.5, -1, True, "中", b"\x00" * 30], "a": {b"b": []}}),
    b"statements/urn:dev:ops:32473-air-7%2F",
]


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Good bytes with some dropped, doubled, changed, or put in from other good bytes."""
    draw = random.Random(seed)
    for _ in range(count):
        raw = bytearray(draw.choice(GOOD))
        for _ in range(draw.randint(1, 3)):
            at, size = draw.randrange(len(raw) + 1), draw.choice([0, 1, 1, 2, 8])
            other = draw.choice(GOOD)
            where = draw.randrange(len(other))
            new = draw.choice(
                [
                    b"",
                    draw.randbytes(size),
                    other[where : where + size],
                    bytes(raw[at : at + size]) * 2,
                    draw.choice(
                        [
                            b"\x9f",
                            b"\xff",
                            b"\xf6",
                            b"\x1b",
                            b"\xbb\xff",
                            b"\xd2\x84",
                            b"\xf9\x7c\x00",
                            b"\x80",
                        ]
                    ),
                ]
            )
            raw[at : at + size] = new
            if not raw:
                raw = bytearray(b"\x80")
        yield bytes(raw)


def test_mutated_input_raises_nothing_else() -> None:
    """Ten thousand mutations of good input, to every reader: refusals only, and of many kinds."""
    reasons: set[Reason] = set()
    for raw in mutations(seed=3, count=10_000):
        reasons |= feed(raw)
    assert len(reasons) >= 25


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_random_input_raises_nothing_else(raw: bytes) -> None:
    """Bytes of no shape at all."""
    feed(raw)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-5, 16) | st.text(max_size=3), inner, max_size=6)
        | st.builds(cbor2.CBORTag, st.sampled_from([0, 1, 2, 4, 18, 24, 28, 29, 256, 258]), inner)
    ),
    max_leaves=12,
)


@given(ANYTHING)
@settings(max_examples=500)
def test_any_value_raises_nothing_else(value: object) -> None:
    """Well-formed CBOR of any content, tags with meanings included, whole and as header and payload."""
    raw = cbor2.dumps(value)
    feed(raw)
    feed(cbor2.dumps(value, canonical=True))
    feed(build.sign1(raw, build.PACK))
    feed(build.statement(raw))


ARRAY = b"\x99\x3f\xfd"  # Of 16,381: as many items of one byte as fit.
WORST = {
    "small integers": ARRAY + bytes(16381),
    "empty arrays": ARRAY + b"\x80" * 16381,
    "empty maps": ARRAY + b"\xa0" * 16381,
    "empty texts": ARRAY + b"\x60" * 16381,
    "booleans": ARRAY + b"\xf5" * 16381,
    "half floats": b"\x99\x15\x54" + b"\xf9\x00\x00" * 5460,
    "integers of two bytes": b"\x99\x1f\xfe" + b"\x18\x18" * 8190,
    "texts of one byte": b"\x99\x1f\xfe" + b"\x61a" * 8190,
    "arrays of one": b"\x99\x1f\xfe" + b"\x81\x00" * 8190,
    "maps of one": b"\x99\x15\x54" + b"\xa1\x00\x00" * 5460,
    "arrays eight deep": b"\x99\x07\x1b" + (b"\x81" * 7 + b"\x80" + b"\x00") * 1819,
    "a map of many keys": reference.dumps(dict.fromkeys(range(4050), 0)),
    "a map of text keys": reference.dumps({f"{key:04}": 0 for key in range(2700)}),
    "keys in the wrong place": reference.dumps(dict.fromkeys(range(4050), 0))[:-4] + b"\x00\x00\x00\x00",
    "deep": b"\x81" * 16384,
    "deep maps": b"\xa1\x00" * 8192,
    "tags": b"\xd2" * 16384,
    "huge lengths": b"\x9b\x7f" + b"\xff" * 16382,
    "many huge lengths": b"\x9a\x00\x00\x0c\xcc" + b"\x9a\x00\x00\x0c\xcc" * 3275,
    "one long text": b"\x79\x3f\xfd" + b"a" * 16381,
    "one long bad text": b"\x79\x3f\xfd" + b"a" * 16380 + b"\xff",
    "bytes of 255": b"\xff" * 16384,
    "zeros": bytes(16384),
    "names without end": b"\x81\xa6\x00\x65" + b"a" * 16380,
    "units without end": b"\x81\xa6\x00\x65pm2_5\x01\x65" + b"a" * 16370,
    "many beginnings of records": PACK[:1] + PACK[1:] * 160,
    "names that never come to a value": b"\x99\x01\x00" + b"\xa2\x00\x65pm2_5" * 2000,
    "a pack too long": b"\x99\x05\x00" + PACK[1:60] + b"\xa2\x00\x64pm10\x02\x00" * 1200,
    "chains without end": b"\xd2\x84\x59\x3f\xf0" + b"\x3a\x00\x01\x11\x70\x83" * 2720,
    "a statement of nothing": build.statement(ARRAY[:1] + b"\x3e\x80" + bytes(16000)),
    "a statement of 256 records": build.statement(
        reference.dumps(
            [
                {0: "pm2_5", 2: 12.34, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"},
                *[{0: "permanganate_index", 1: "mg/l", 2: 12.34, 6: second + 0.1} for second in range(255)],
            ]
        )
    ),
    "a statement of 256 records that repeat": build.statement(
        reference.dumps(
            [
                {0: "pm2_5", 2: 12.34, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"},
                *[{0: "pm2_5", 2: 12.34, 6: 0.1} for _ in range(255)],
            ]
        )
    ),
    "a statement of 256 records with base fields": build.statement(
        reference.dumps(
            [
                {0: "pm2_5", 2: 12.34, 6: k, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"}
                for k in range(210)
            ]
        )
    ),
}
WORST = {name: raw[:16384] for name, raw in WORST.items()}


@pytest.mark.serial
@pytest.mark.parametrize("reader", sorted(READERS))
def test_the_worst_input_takes_less_than_10_ms(reader: str) -> None:
    """The best of nine, in processor time: what the input costs, and not what else the machine does."""
    read = READERS[reader]
    slowest = {}
    for name, raw in WORST.items():
        times = []
        for _ in range(9):
            started = time.process_time()
            with contextlib.suppress(VerificationError):
                read(raw)
            times.append(time.process_time() - started)
        slowest[name] = min(times)
    assert max(slowest.values()) < 0.010, {
        name: f"{1000 * s:.1f} ms" for name, s in slowest.items() if s > 0.01
    }


HUNGRY = ("take_in", "decode_pack", "decode_receipts", "record_count")  # They call all that allocates.


@pytest.mark.serial
@pytest.mark.timeout(300)  # Tracing every allocation takes its time.
def test_the_worst_input_takes_little_memory() -> None:
    """At most 4 MiB at any time, and nothing is kept of it."""
    for reader in HUNGRY:
        for raw in WORST.values():
            with contextlib.suppress(VerificationError):
                READERS[reader](raw)  # Caches that are bounded fill up first.
    tracemalloc.start()
    try:
        for name, raw in WORST.items():
            for reader in HUNGRY:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                with contextlib.suppress(VerificationError):
                    READERS[reader](raw)
                _, peak = tracemalloc.get_traced_memory()
                gc.collect()  # Empties the interpreter's free lists, which are nobody's.
                after, _ = tracemalloc.get_traced_memory()
                assert peak - before < 4 << 20, (name, reader)
                assert after - before < 16 << 10, (name, reader)
    finally:
        tracemalloc.stop()


def test_larger_input_is_refused_unread() -> None:
    """Sixteen mebibytes are refused for their size at once, whatever they hold."""
    raw = b"\x80" * (16 << 20)
    for reader in (
        "check",
        "parse_sign1",
        "parse_statement",
        "check_pack",
        "decode_enrolment",
        "decode_receipts",
    ):
        with pytest.raises(VerificationError) as refused:
            READERS[reader](raw)
        assert refused.value.reason is Reason.OVERSIZE
