"""Our own vectors: what the generator makes, and what cityproof's code has to agree with."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.wire import topics
from pipeline.wire.admission import decode_admission
from pipeline.wire.cbor import check
from pipeline.wire.enrolment import decode_enrolment
from pipeline.wire.epcis_event import decode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import decode_finding
from pipeline.wire.keys import SeedSigner, check_public_key, decode_key_file, encode_key_file, key_id
from pipeline.wire.messages import decode_receipts, decode_refusal, encode_receipts, encode_refusal
from pipeline.wire.names import is_device, is_issuer
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import decode_revocation
from pipeline.wire.rotation import decode_rotation
from pipeline.wire.senml import Record, decode_pack, encode_pack, time_us
from pipeline.wire.shipment import decode_shipment
from pipeline.wire.statement import (
    StatementParser,
    parse_statement,
    record_count,
    shard_of,
    sign_statement,
    verify_statement,
)
from tests.vectors import make_wire

VECTORS: dict[str, Any] = json.loads(make_wire.FILE.read_text(encoding="utf-8"))
SEED = bytes.fromhex(VECTORS["statements"]["seed"])


def refusal(read: Callable[[bytes], object], raw: str) -> str | None:
    """Why bytes are refused, or None."""
    try:
        read(bytes.fromhex(raw))
    except VerificationError as refused:
        return refused.reason.value
    return None


def test_the_file_is_what_the_generator_makes() -> None:
    """Whoever changes a format changes this file knowingly: `python -m tests.vectors.make_wire`."""
    assert Path(make_wire.FILE).read_text(encoding="utf-8") == make_wire.render()


def test_keys() -> None:
    """Seeds give these keys, key ids and key files; these points are no keys."""
    for pair in VECTORS["keys"]["pairs"]:
        seed, public_key = bytes.fromhex(pair["seed"]), bytes.fromhex(pair["public_key"])
        assert SeedSigner(seed).public_key == public_key
        assert key_id(public_key).hex() == pair["key_id"]
        check_public_key(public_key)
        assert encode_key_file(seed, pair["name"]) == pair["key_file"]
        assert decode_key_file(pair["key_file"]) == (seed, pair["name"])
    assert len(VECTORS["keys"]["refused"]) >= 17
    for public in VECTORS["keys"]["refused"]:
        assert refusal(check_public_key, public) == "key_invalid"


def test_cbor() -> None:
    """Items inside and outside the profile."""
    assert len(VECTORS["cbor"]["admitted"]) >= 30
    assert len(VECTORS["cbor"]["refused"]) >= 80
    for data in VECTORS["cbor"]["admitted"]:
        assert refusal(check, data) is None
    for case in VECTORS["cbor"]["refused"]:
        assert refusal(check, case["bytes"]) == case["reason"]


def test_packs() -> None:
    """Records and bytes lead to one another; refused packs are refused for their reasons."""
    packs = VECTORS["packs"]
    issuer = packs["issuer"]
    assert len(packs["written"]) >= 8
    assert len(packs["admitted"]) >= 20
    assert len(packs["refused"]) >= 50
    for case in packs["written"] + packs["admitted"]:
        records = [Record(r["quantity"], r["unit"], r["value"], r["time_s"]) for r in case["records"]]
        decoded = decode_pack(bytes.fromhex(case["bytes"]), issuer)
        assert repr(decoded) == repr(records)
        assert [time_us(record) for record in decoded] == [r["time_us"] for r in case["records"]]
        if case in packs["written"]:
            assert encode_pack(issuer, records).hex() == case["bytes"]
    for case in packs["refused"]:
        assert refusal(lambda raw: decode_pack(raw, issuer), case["bytes"]) == case["reason"]


def test_statements() -> None:
    """Every step from the fields to the bytes, and back."""
    signer = SeedSigner(SEED)
    parser = StatementParser()
    for case in VECTORS["statements"]["made"]:
        fields = {name: case[name] for name in ("issuer", "subject", "content_type", "epoch", "sequence")}
        payload, previous = bytes.fromhex(case["payload"]), bytes.fromhex(case["previous"])
        raw = sign_statement(signer, payload=payload, previous=previous, **fields)
        assert raw.hex() == case["bytes"]
        statement = parse_statement(raw)
        assert parser.parse(raw) == statement
        verify_statement(statement, signer.public_key)
        assert {name: getattr(statement, name) for name in fields} == fields
        for name in ("protected", "payload", "previous", "signature"):
            assert getattr(statement, name).hex() == case[name]
        assert case["signing_input"].startswith("846a5369676e617475726531")
        assert signer.sign(bytes.fromhex(case["signing_input"])).hex() == case["signature"]
        assert hashlib.sha256(b"\x00" + raw).hexdigest() == case["leaf_hash"]
        if case["content_type"] == 112 and payload != b"\x80":
            assert record_count(raw) == len(decode_pack(payload, case["issuer"]))


def test_refused_statements() -> None:
    """Signed rightly, and refused; the last one signed wrongly."""

    def take_in(raw: bytes) -> None:
        verify_statement(parse_statement(raw), SeedSigner(SEED).public_key)

    assert len(VECTORS["statements"]["refused"]) >= 55
    for case in VECTORS["statements"]["refused"]:
        assert refusal(take_in, case["bytes"]) == case["reason"], case["changed"]
    assert VECTORS["statements"]["refused"][-1]["reason"] == "signature_invalid"


def test_shards() -> None:
    """Issuers have their shards."""
    for case in VECTORS["shards"]:
        for shards, shard in case["shards"].items():
            assert shard_of(case["issuer"], int(shards)) == shard


def test_enrolments() -> None:
    """One that is admitted, and many that are not."""
    for case in VECTORS["enrolments"]["admitted"]:
        assert refusal(decode_enrolment, case["bytes"]) is None
    assert len(VECTORS["enrolments"]["refused"]) >= 90
    for case in VECTORS["enrolments"]["refused"]:
        assert refusal(decode_enrolment, case["bytes"]) == case["reason"]


def test_what_else_is_stated() -> None:
    """Rotations, revocations, admissions, findings, shipments, events: payloads admitted, and many not."""
    for name, decode in (
        ("rotations", decode_rotation),
        ("revocations", decode_revocation),
        ("admissions", decode_admission),
        ("findings", decode_finding),
        ("shipments", decode_shipment),
        ("epcis_events", decode_epcis_event),
    ):
        assert [refusal(decode, raw) for raw in VECTORS[name]["admitted"] if refusal(decode, raw)] == []
        assert len(VECTORS[name]["refused"]) >= 15
        for case in VECTORS[name]["refused"]:
            assert refusal(decode, case["bytes"]) == case["reason"]


def test_messages() -> None:
    """Receipts and a refusal, both ways, and what is neither."""
    receipts, refused = VECTORS["messages"]["receipts"], VECTORS["messages"]["refusal"]
    items = [(epoch, sequence, bytes.fromhex(receipt)) for epoch, sequence, receipt in receipts["items"]]
    assert encode_receipts(items).hex() == receipts["bytes"]
    assert decode_receipts(bytes.fromhex(receipts["bytes"])) == items
    received = bytes.fromhex(refused["hash"])
    assert encode_refusal(received, Reason.PACK_UNIT).hex() == refused["bytes"]
    assert decode_refusal(bytes.fromhex(refused["bytes"])) == (received, Reason.PACK_UNIT)
    assert refused["reason"] == Reason.PACK_UNIT.value
    for message in VECTORS["messages"]["no_receipts"]:
        assert refusal(decode_receipts, message) == "message_shape"
    for message in VECTORS["messages"]["no_refusal"]:
        assert refusal(decode_refusal, message) == "message_shape"


def test_topics() -> None:
    """Names and their topics; topics that are refused."""
    for case in VECTORS["topics"]["made"]:
        assert topics.statements_topic(case["name"]) == case["statements"]
        assert topics.receipts_topic(case["name"]) == case["receipts"]
        assert topics.parse_topic(case["statements"]) == ("statements", case["name"])
    assert len(VECTORS["topics"]["refused"]) >= 20
    for topic in VECTORS["topics"]["refused"]:
        with pytest.raises(VerificationError):
            topics.parse_topic(topic)


def test_names() -> None:
    """Device URNs and other URIs."""
    names = VECTORS["names"]
    assert [is_device(name) for name in names["devices"] + names["no_devices"]] == (
        [True] * len(names["devices"]) + [False] * len(names["no_devices"])
    )
    assert all(map(is_issuer, names["uris"]))
    assert not any(map(is_issuer, names["no_uris"]))
