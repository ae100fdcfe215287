"""Bad input: whatever bytes come to any decoder, it answers, or refuses with its one exception, soon.

Every decoder that the pipeline's pure rooms have is here: one that is added and left out fails a test.
"""

import gc
import importlib
import inspect
import pkgutil
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.identity
import pipeline.log
import pipeline.verify
import pipeline.wire
from pipeline.identity.authorities import parse_authorities, parse_kinds, parse_names
from pipeline.identity.snapshot import decode_registry
from pipeline.log.block import decode_body, encode_body, parse_block_header, parse_signed_block
from pipeline.log.checkpoint import open_checkpoint, parse_checkpoint
from pipeline.log.cosigning import parse_add_checkpoint
from pipeline.log.genesis import parse_genesis
from pipeline.log.manifest import decode_manifest
from pipeline.log.note import decode_base64, encode_vkey, parse_note, parse_signatures, parse_vkey
from pipeline.log.policy import parse_policy
from pipeline.log.receipt import parse_receipt
from pipeline.log.signing import parse_log_header
from pipeline.log.tiles import encode_entries, parse_entries
from pipeline.verify.equivocation import (
    encode_equivocation,
    make_equivocation,
    parse_equivocation,
    verify_equivocation,
)
from pipeline.verify.evidence import (
    BlockFrame,
    encode_block,
    parse_admission,
    parse_block,
    parse_head,
    parse_key,
)
from pipeline.verify.frames import FIRST_LINE, FrameWriter, read_frames
from pipeline.verify.point import parse_proof, verify_point
from pipeline.wire.admission import decode_admission
from pipeline.wire.broker import decode_access, encode_access, parse_broker_url
from pipeline.wire.cbor import decode
from pipeline.wire.cose import decode_header, parse_sign1
from pipeline.wire.enrolment import decode_enrolment
from pipeline.wire.epcis_event import decode_epcis_event
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.finding import decode_finding
from pipeline.wire.keys import decode_key_file, encode_key_file
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.revocation import decode_revocation
from pipeline.wire.rotation import decode_rotation
from pipeline.wire.senml import decode_pack, decode_readings
from pipeline.wire.shipment import decode_shipment
from pipeline.wire.statement import parse_statement
from pipeline.wire.topics import parse_topic, statements_topic
from tests.docs import examples
from tests.support.city import AUTHORITIES, LOG, POLICY, Device, enrol

ROOMS = (pipeline.wire, pipeline.log, pipeline.identity, pipeline.verify)
VERBS = (
    "decode",
    "parse_",
    "decode_",
    "open_checkpoint",
    "verify_point",
    "verify_equivocation",
    "read_frames",
)
EXAMPLES = examples.examples()
BIG = 2 << 20  # The largest thing that anybody reads at once is a frame of evidence of 2 MiB.

Decoder = Callable[[bytes], object]


def of_text(parse: Callable[[str], object]) -> Decoder:
    """A decoder of text, given bytes."""
    return lambda raw: parse(raw.decode("latin-1"))


def payload_of(name: str) -> bytes:
    """The payload of an example that is a statement."""
    payload = parse_sign1(EXAMPLES[name]).payload
    assert payload is not None
    return payload


def frames(raw: bytes) -> bytes:
    """A whole evidence file, given what stands behind its first line, of which it may be all."""
    file = iter((FIRST_LINE, raw, b""))
    return b"".join(content for _, content in islice(read_frames(lambda _size: next(file, b"")), 100))


def framed() -> bytes:
    """What stands behind the first line of an evidence file."""
    written: list[bytes] = []
    writer = FrameWriter(written.append)
    writer.add(1, b"content" * 20)
    writer.close()
    return b"".join(written)[len(FIRST_LINE) :]


def equivocation() -> bytes:
    """A device that has signed two statements under one identity."""
    device = Device(1)
    first, second = device.read(), device.read(sequence=0, records=2)
    return encode_equivocation(make_equivocation(first, second, enrolment=enrol(device, 0)))


CHECKPOINT = examples.checkpoint()
SIGN1 = parse_sign1(EXAMPLES["statement"])
SIGNED_BLOCK = parse_sign1(EXAMPLES["signed-block"])
LABELS = frozenset({1, 3, 4, 15, -70001})
BLOCK_LABELS = frozenset({1, 4, 15, 395, -70002})

# By module and name: the decoder, and something good.
DECODERS: dict[str, tuple[Decoder, bytes]] = {
    "identity.authorities.parse_authorities": (parse_authorities, examples.authorities_text()),
    "identity.authorities.parse_kinds": (of_text(parse_kinds), b"air,water"),
    "identity.authorities.parse_names": (of_text(parse_names), b"air,water"),
    "identity.snapshot.decode_registry": (decode_registry, EXAMPLES["registry-snapshot"]),
    "log.block.decode_body": (decode_body, encode_body([EXAMPLES["manifest"], EXAMPLES["statement"]])),
    "log.block.parse_block_header": (parse_block_header, SIGNED_BLOCK.protected),
    "log.block.parse_signed_block": (parse_signed_block, EXAMPLES["signed-block"]),
    "log.checkpoint.open_checkpoint": (
        lambda raw: open_checkpoint(raw, examples.policy()),
        CHECKPOINT,
    ),
    "log.checkpoint.parse_checkpoint": (of_text(parse_checkpoint), CHECKPOINT.split(b"\n\n")[0] + b"\n"),
    "log.cosigning.parse_add_checkpoint": (
        parse_add_checkpoint,
        b"old 5\n" + b"A" * 43 + b"=\n\n" + CHECKPOINT,
    ),
    "log.genesis.parse_genesis": (parse_genesis, EXAMPLES["genesis"]),
    "log.manifest.decode_manifest": (decode_manifest, EXAMPLES["manifest"]),
    "log.note.decode_base64": (of_text(decode_base64), b"AAAA"),
    "log.note.parse_note": (parse_note, CHECKPOINT),
    "log.note.parse_signatures": (parse_signatures, CHECKPOINT.split(b"\n\n")[1]),
    "log.note.parse_vkey": (of_text(parse_vkey), encode_vkey(LOG.key()).encode()),
    "log.policy.parse_policy": (parse_policy, examples.policy_text()),
    "log.receipt.parse_receipt": (parse_receipt, EXAMPLES["receipt"]),
    "log.signing.parse_log_header": (
        lambda raw: parse_log_header(raw, BLOCK_LABELS),
        SIGNED_BLOCK.protected,
    ),
    "log.tiles.parse_entries": (parse_entries, encode_entries([b"", b"a", b"bc" * 200])),
    "verify.equivocation.parse_equivocation": (parse_equivocation, EXAMPLES["equivocation"]),
    "verify.equivocation.verify_equivocation": (
        lambda raw: verify_equivocation(raw, POLICY, AUTHORITIES),
        equivocation(),
    ),
    "verify.evidence.parse_admission": (parse_admission, EXAMPLES["evidence-admission"]),
    "verify.evidence.parse_block": (
        parse_block,
        encode_block(
            BlockFrame(3, bytes(64), EXAMPLES["manifest"], [(1, EXAMPLES["statement"])], [bytes(32)])
        ),
    ),
    "verify.evidence.parse_head": (parse_head, EXAMPLES["evidence-head"]),
    "verify.evidence.parse_key": (parse_key, EXAMPLES["evidence-key"]),
    "verify.frames.read_frames": (frames, framed()),
    "verify.point.parse_proof": (parse_proof, EXAMPLES["point-proof"]),
    "verify.point.verify_point": (
        lambda raw: verify_point(raw, examples.policy(), examples.authorities()),
        EXAMPLES["point-proof"],
    ),
    "wire.admission.decode_admission": (decode_admission, payload_of("admission-statement")),
    "wire.broker.decode_access": (of_text(decode_access), encode_access("name", "p" * 43).encode()),
    "wire.broker.parse_broker_url": (
        of_text(lambda url: parse_broker_url("--broker", url)),
        b"mqtts://broker.example:8883?ca=ca.pem&access=access",
    ),
    "wire.cbor.decode": (decode, EXAMPLES["manifest"]),
    "wire.cose.decode_header": (lambda raw: decode_header(raw, LABELS), SIGN1.protected),
    "wire.cose.parse_sign1": (parse_sign1, EXAMPLES["statement"]),
    "wire.enrolment.decode_enrolment": (decode_enrolment, payload_of("enrolment-statement")),
    "wire.epcis_event.decode_epcis_event": (decode_epcis_event, payload_of("epcis-statement")),
    "wire.finding.decode_finding": (decode_finding, payload_of("finding-statement")),
    "wire.keys.decode_key_file": (of_text(decode_key_file), encode_key_file(bytes(32), "name").encode()),
    "wire.messages.decode_receipts": (decode_receipts, EXAMPLES["receipts-message"]),
    "wire.messages.decode_refusal": (decode_refusal, EXAMPLES["refusal-message"]),
    "wire.revocation.decode_revocation": (decode_revocation, payload_of("revocation-statement")),
    "wire.rotation.decode_rotation": (decode_rotation, payload_of("rotation-statement")),
    "wire.senml.decode_pack": (lambda raw: decode_pack(raw, examples.DEVICE), payload_of("reading")),
    "wire.senml.decode_readings": (
        lambda raw: decode_readings(raw, examples.DEVICE),
        payload_of("reading"),
    ),
    "wire.shipment.decode_shipment": (decode_shipment, payload_of("shipment-statement")),
    "wire.statement.parse_statement": (parse_statement, EXAMPLES["statement"]),
    "wire.topics.parse_topic": (of_text(parse_topic), statements_topic(Device(1).issuer).encode()),
}
OF_ITEMS = {
    "identity.changes.decode_change",
    "verify.query.parse_query",
    "verify.signer.parse_path",
    "verify.signer.parse_rotations",
    "verify.signer.parse_status",
}
# A snapshot is as large as the registry, and what it takes grows with that; the others get parts of what has
# a limit: of a note, or of a line in an authorities file.
UNLIMITED = {
    "identity.authorities.parse_kinds",
    "identity.authorities.parse_names",
    "identity.snapshot.decode_registry",
    "log.note.decode_base64",
}
# Key files, access files and addresses are a person's: what is wrong with them is said to a person.
REFUSES_WITH: Mapping[str, type[InputError]] = {
    "wire.broker.decode_access": InputError,
    "wire.broker.parse_broker_url": InputError,
    "wire.keys.decode_key_file": InputError,
}


def survives(name: str, raw: bytes) -> bool:
    """Tell whether a decoder takes bytes; anything raised but its one exception goes through."""
    try:
        DECODERS[name][0](raw)
    except REFUSES_WITH.get(name, VerificationError) as refused:
        assert str(refused).isprintable()  # noqa: PT017 - or it would write to the terminal as it likes
        return False
    return True


def found_decoders() -> Iterator[str]:
    """Yield every public function of the pure rooms that reads what came from elsewhere."""
    for room in ROOMS:
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for name, function in inspect.getmembers(
                importlib.import_module(module.name), inspect.isfunction
            ):
                if function.__module__ == module.name and name.startswith(VERBS):
                    yield f"{module.name.removeprefix('pipeline.')}.{name}"


def test_every_decoder_is_here() -> None:
    """Those aside which get what is decoded already, and no bytes."""
    decoders = set(found_decoders()) - OF_ITEMS
    assert decoders == set(DECODERS), "give it, with something good, a line in DECODERS"


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_good_is_taken(name: str) -> None:
    """The mutations begin with something that goes all the way through."""
    assert survives(name, DECODERS[name][1])


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes, some of them changed, taken out, put in, doubled or cut."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("set", "delete", "insert", "double", "cut"))):
            case "set":
                data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
            case "delete":
                del data[at:end]
            case "insert":
                data[at:at] = draw(st.binary(max_size=12))
            case "double":
                data[at:at] = data[at:end]
            case _:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
@settings(max_examples=100)
def test_bad_input_raises_one_exception(name: str, data: st.DataObject) -> None:
    """Nearly good bytes, and bytes of no shape at all: taken, or refused for a reason that can be printed."""
    survives(name, data.draw(mutated(DECODERS[name][1]) | st.binary(max_size=300)))


LIMIT = 16_384
SMALL = {
    "nothing": b"",
    "zeros": bytes(LIMIT),
    "ones": b"\xff" * LIMIT,
    "deep arrays": b"\x81" * LIMIT,
    "deep maps": b"\xa1\x00" * (LIMIT // 2),
    "tags": b"\xd2" * LIMIT,
    "huge lengths": b"\x9b\x7f" + b"\xff" * (LIMIT - 2),
    "items without end": b"\x99\x3f\xfd" + bytes(LIMIT - 3),
}
LARGE = {
    "large zeros": bytes(BIG),
    "large ones": b"\xff" * BIG,
    "large items": b"\x9a\x00\x1f\xff\xfb" + bytes(BIG - 5),
    "large text": b"a" * BIG,
    "large lines": b"\n" * BIG,
    "large signatures": b"a\n\n" + "\N{EM DASH} a AAAAAAAA\n".encode() * (BIG // 20),
}


def bombs(name: str) -> Mapping[str, bytes]:
    """Small and large, what a decoder might spend its time or memory on."""
    if name == "verify.frames.read_frames":
        return SMALL | LARGE | {"a deflate bomb": deflated(bytes(64 << 20))}
    return SMALL if name in UNLIMITED else SMALL | LARGE


@cache
def deflated(raw: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(raw) + deflate.flush()


@pytest.mark.parametrize("name", DECODERS)
def test_bad_input_takes_bounded_memory(name: str) -> None:
    """16 MiB at the most, for whatever comes, and none once it is refused."""
    gc.collect()
    tracemalloc.start()
    try:
        for what, raw in bombs(name).items():
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            survives(name, raw)
            after, peak = tracemalloc.get_traced_memory()
            assert peak - before < 16 << 20, (what, peak - before)
            assert after - before < 64 << 10, (what, after - before)
    finally:
        tracemalloc.stop()


@pytest.mark.serial
@pytest.mark.parametrize("name", DECODERS)
def test_bad_input_is_refused_within_10_ms(name: str) -> None:
    """By the thread's own clock, the best of five, whatever comes."""
    for what, raw in bombs(name).items():
        best_s = 1.0
        for _ in range(5):
            start_s = time.thread_time()
            survives(name, raw)
            best_s = min(best_s, time.thread_time() - start_s)
            if best_s < 0.010:
                break
        assert best_s < 0.010, (what, best_s)
