"""A verifier written from docs/ alone agrees with all vectors, and with ours on flipped bits of a proof."""

import ast
import json
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.verify.point import verify_point
from pipeline.wire.errors import VerificationError
from tests.docs import examples
from tests.interop import verifier

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
LOG: Any = json.loads((VECTORS / "log.json").read_text(encoding="utf-8"))
WIRE: Any = json.loads((VECTORS / "wire.json").read_text(encoding="utf-8"))
REGISTRY: Any = json.loads((VECTORS / "registry.json").read_text(encoding="utf-8"))
LOG_KEY = bytes.fromhex(LOG["keys"]["log"]["public_key"])
ORIGIN = LOG["keys"]["log"]["origin"]


def test_it_imports_nothing_of_ours() -> None:
    """What it agrees with, it was not told by the code it is compared with."""
    assert verifier.__file__ is not None
    tree = ast.parse(Path(verifier.__file__).read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in imported} & {"pipeline", "devices", "tests", "cbor2"} == set()


def test_cbor() -> None:
    """Every item of the profile is read, every other refused for its reason."""
    for data in WIRE["cbor"]["admitted"]:
        assert verifier.reason_of(verifier.decode, bytes.fromhex(data)) == "", data
    for case in WIRE["cbor"]["refused"]:
        raw = bytes.fromhex(case["bytes"])
        assert verifier.reason_of(verifier.decode, raw) == case["reason"], case


def test_keys() -> None:
    """Key ids, and keys that may not be enrolled."""
    for pair in WIRE["keys"]["pairs"]:
        assert verifier.key_id(bytes.fromhex(pair["public_key"])).hex() == pair["key_id"]
    for key in WIRE["keys"]["refused"]:
        assert verifier.reason_of(verifier.check_key, bytes.fromhex(key)) == "key_invalid"


def test_names() -> None:
    """Issuers, and what is none."""
    names = WIRE["names"]

    assert [name for name in names["devices"] if not verifier.is_device(name)] == []
    assert [name for name in names["no_devices"] if verifier.is_device(name)] == []
    assert [name for name in names["uris"] if not verifier.is_issuer(name)] == []
    assert [name for name in names["no_uris"] if verifier.is_issuer(name)] == []
    for case in WIRE["shards"]:
        shards = {size: verifier.shard_of(case["issuer"], int(size)) for size in case["shards"]}
        assert shards == case["shards"]


def test_packs() -> None:
    """Records resolve to the same values and times; faults have the same reasons."""
    packs = WIRE["packs"]
    for case in packs["written"] + packs["admitted"]:
        records = verifier.resolve_pack(bytes.fromhex(case["bytes"]), packs["issuer"])
        names = ("quantity", "unit", "value", "time_s", "time_us")
        found = [{name: getattr(record, name) for name in names} for record in records]
        assert found == case["records"], case["diagnostic"]
    for case in packs["refused"]:
        raw = bytes.fromhex(case["bytes"])
        reason = verifier.reason_of(verifier.resolve_pack, raw, packs["issuer"])
        assert reason == case["reason"], case["diagnostic"]


def test_statements() -> None:
    """Statements parse into the same fields and verify; what is broken has the same reason."""
    public_key = bytes.fromhex(WIRE["keys"]["pairs"][0]["public_key"])

    def check(raw: bytes) -> verifier.Statement:
        statement = verifier.parse_statement(raw)
        verifier.verify_statement(statement, public_key)
        return statement

    for case in WIRE["statements"]["made"]:
        statement = check(bytes.fromhex(case["bytes"]))
        assert statement.chain[:2] == [case["epoch"], case["sequence"]]
        assert (statement.issuer, statement.subject) == (case["issuer"], case["subject"])
        assert verifier.hash_leaf(statement.raw).hex() == case["leaf_hash"]
    for case in WIRE["statements"]["refused"]:
        raw = bytes.fromhex(case["bytes"])
        assert verifier.reason_of(check, raw) == case["reason"], case["changed"]


def test_enrolments() -> None:
    """Enrolments, right and wrong."""
    for case in WIRE["enrolments"]["admitted"]:
        verifier.parse_enrolment(bytes.fromhex(case["bytes"]))
    for case in WIRE["enrolments"]["refused"]:
        raw = bytes.fromhex(case["bytes"])
        reason = verifier.reason_of(verifier.parse_enrolment, raw)
        assert reason == case["reason"], case["bytes"]


@pytest.mark.parametrize("what", ["rotation", "revocation", "admission", "finding"])
def test_what_else_is_stated(what: str) -> None:
    """Payloads of rotations, revocations, admissions and findings, right and wrong."""
    parse: Callable[[bytes], Any] = getattr(verifier, f"parse_{what}")
    for raw in WIRE[f"{what}s"]["admitted"]:
        parse(bytes.fromhex(raw))
    for case in WIRE[f"{what}s"]["refused"]:
        assert verifier.reason_of(parse, bytes.fromhex(case["bytes"])) == case["reason"], case["bytes"]


def test_blocks_and_receipts() -> None:
    """Bodies give the signed roots, every statement its receipt."""
    verifier.check_genesis(bytes.fromhex(LOG["genesis"]["bytes"]), LOG_KEY)
    for case in LOG["blocks"]:
        leaves = verifier.parse_body(bytes.fromhex(case["body"]))
        block = verifier.parse_signed_block(bytes.fromhex(case["signed_block"]))
        verifier.verify_as_log(block.header.kid, block.sign1, block.root, LOG_KEY)
        hashes = [verifier.hash_leaf(leaf) for leaf in leaves]
        assert (verifier.root_of(hashes), hashes[0]) == (block.root, block.header.manifest_hash)
        assert verifier.parse_manifest(leaves[0])[7] == len(leaves) - 1 == block.header.size - 1
        for receipt in case["receipts"]:
            place = verifier.check_receipt(
                bytes.fromhex(receipt["bytes"]), hashes[receipt["index"]], ORIGIN, LOG_KEY
            )
            assert place == (3, 1, receipt["index"])
    for case in LOG["manifests"]:
        verifier.parse_manifest(bytes.fromhex(case["bytes"]))


def test_policies_and_checkpoints() -> None:
    """Quorums, and checkpoints under policies."""
    for case in LOG["policies"]:
        policy = verifier.parse_policy(case["text"].encode())
        assert all(policy.is_quorum(set(names)) for names in case["quorate"])
        assert not any(policy.is_quorum(set(names)) for names in case["not_quorate"])
    lines = [f"log {LOG['keys']['log']['vkey']}"]
    lines += [f"witness {witness['name']} {witness['vkey']}" for witness in LOG["keys"]["witnesses"]]
    policy = verifier.parse_policy(("\n".join([*lines, "quorum none"]) + "\n").encode())
    for case in LOG["checkpoints"]:
        opened = verifier.open_checkpoint(case["note"].encode(), policy)
        assert (opened.size, opened.root.hex()) == (case["size"], case["root"])
        assert opened.times_s == case["cosigned"]


def refusal_checks(case: dict[str, str]) -> Callable[[], object]:
    """Return the check that must refuse a case of log.json."""
    raw = bytes.fromhex(case["bytes"])
    policy = verifier.parse_policy(f"log {LOG['keys']['log']['vkey']}\nquorum none\n".encode())

    def signed_block() -> None:
        block = verifier.parse_signed_block(raw)
        verifier.verify_as_log(block.header.kid, block.sign1, block.root, LOG_KEY)

    checks: dict[str, Callable[[], object]] = {
        "manifest": lambda: verifier.parse_manifest(raw),
        "body": lambda: verifier.parse_body(raw),
        "signed_block": signed_block,
        "receipt": lambda: verifier.check_receipt(raw, bytes.fromhex(case["leaf_hash"]), ORIGIN, LOG_KEY),
        "checkpoint": lambda: verifier.open_checkpoint(raw, policy),
        "policy": lambda: verifier.parse_policy(raw),
    }
    return checks[case["object"]]


@pytest.mark.parametrize("case", LOG["refusals"], ids=lambda case: f"{case['object']}: {case['name']}")
def test_what_the_log_vectors_refuse(case: dict[str, str]) -> None:
    """The same objects are refused, for the same reasons."""
    assert verifier.reason_of(refusal_checks(case)) == case["reason"]


def test_a_point_proof_and_flipped_bits_of_it() -> None:
    """Both verifiers accept the proof, and refuse it for the same reason where a bit of it is flipped.

    Or both accept it all the same: in the line of a cosignature that the quorum can spare.
    """
    proof = examples.point_proof()
    policy = verifier.parse_policy(examples.policy_text())
    authorities = verifier.parse_authorities(examples.authorities_text())

    point = verifier.verify_point(proof, policy, authorities)

    assert (point.record.quantity, point.record.value, point.entry, point.leaf) == ("temperature", 5.0, 1, 2)
    assert (point.authority, point.rotated_by) == (examples.AUTHORITY, [examples.AUTHORITY])
    assert point.admitted_by == examples.AUTHORITY
    assert point.checkpoint.times_s == {"w": examples.TIME_S + 1}
    for place in range(0, len(proof) * 8, 17):  # All of them agree too, and take half a minute.
        flipped = bytearray(proof)
        flipped[place // 8] ^= 1 << place % 8
        raw = bytes(flipped)
        reason = verifier.reason_of(verifier.verify_point, raw, policy, authorities)
        try:
            verify_point(raw, examples.policy(), examples.authorities())
            expected = ""
        except VerificationError as error:
            expected = error.reason.value
        assert reason == expected, f"bit {place}"


def test_the_life_of_some_keys() -> None:
    """Each of the authorities' statements is taken or refused; each state has its root and its outcomes."""
    registry = verifier.Registry(verifier.parse_authorities(REGISTRY["authorities"].encode()))
    outcomes = {case["blocks"]: case["reasons"] for case in REGISTRY["outcomes"]}
    for case in REGISTRY["stated"]:
        assert verifier.reason_of(registry.take, bytes.fromhex(case["bytes"])) == (case["reason"] or "")
        assert registry.root().hex() == case["root"], case["name"]
        for signed in REGISTRY["signed"]:
            reason = verifier.reason_of(
                registry.check_key, bytes.fromhex(signed["bytes"]), REGISTRY["arrival_ms"]
            )
            assert reason == (outcomes[case["blocks"]][signed["name"]] or ""), signed["name"]


@pytest.mark.parametrize("case", REGISTRY["proofs"], ids=lambda case: case["name"])
def test_proofs_of_keys_that_changed(case: dict[str, Any]) -> None:
    """Valid, or refused for the same reason."""
    policy = verifier.parse_policy(REGISTRY["policy"].encode())
    authorities = verifier.parse_authorities(REGISTRY["authorities"].encode())
    reason = verifier.reason_of(verifier.verify_point, bytes.fromhex(case["bytes"]), policy, authorities)
    assert reason == (case["reason"] or "")


def test_what_the_pages_leave_to_arithmetic() -> None:
    """Half floats and roots by hand, so that an error common to both does not pass."""
    assert verifier.decode(b"\xf9\x3c\x00") == struct.unpack(">e", b"\x3c\x00")[0] == 1.0
    assert verifier.root_of([]) == sha256(b"").digest()
