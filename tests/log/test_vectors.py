"""Our own vectors: what the generator makes, meaning what they say, each refusal for its reason."""

import importlib.util
import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import cbor2
import pytest
from nacl.signing import VerifyKey

from pipeline.log.block import decode_body, open_body, parse_signed_block, verify_signed_block
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.genesis import parse_genesis, verify_genesis
from pipeline.log.manifest import decode_manifest
from pipeline.log.policy import parse_policy
from pipeline.log.receipt import check_receipt
from pipeline.log.tiles import TileAppender
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "log.json").read_text(encoding="utf-8"))
LOG = VECTORS["keys"]["log"]
ORIGIN: str = LOG["origin"]
PUBLIC_KEY = bytes.fromhex(LOG["public_key"])


def generator() -> ModuleType:
    """Load make_log.py."""
    spec = importlib.util.spec_from_file_location("make_log", FOLDER / "make_log.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verify_sign1(raw: bytes, payload: bytes | None = None) -> list[Any]:
    """Check a COSE_Sign1 of the log by cbor2 and PyNaCl alone; return its four parts."""
    protected, unprotected, attached, signature = cbor2.loads(raw).value
    signed = cbor2.dumps(["Signature1", protected, b"", attached if payload is None else payload])
    VerifyKey(PUBLIC_KEY).verify(signed, signature)
    return [protected, unprotected, attached, signature]


def test_the_file_is_what_the_generator_makes() -> None:
    """Whoever changes a format changes this file knowingly: `python tests/vectors/make_log.py`."""
    assert (FOLDER / "log.json").read_text(encoding="utf-8") == generator().render()


def test_keys() -> None:
    """Key ids and verifier keys follow from the public keys by the specifications' formulas."""
    assert LOG["key_id"] == sha256(PUBLIC_KEY).hexdigest()[:16]
    named = [(LOG["vkey"], ORIGIN, PUBLIC_KEY, 1)]
    named += [(w["vkey"], w["name"], bytes.fromhex(w["public_key"]), 4) for w in VECTORS["keys"]["witnesses"]]
    for vkey, name, public_key, key_type in named:
        material = bytes([key_type]) + public_key
        key_id = sha256(name.encode() + b"\n" + material).hexdigest()[:8]
        assert vkey == f"{name}+{key_id}+{b64encode(material).decode()}"


def test_genesis() -> None:
    """Its fields, by our parser and by cbor2; its signature, by ours and by PyNaCl."""
    vector = VECTORS["genesis"]
    raw = bytes.fromhex(vector["bytes"])
    genesis = parse_genesis(raw)
    verify_genesis(genesis, PUBLIC_KEY)
    assert (genesis.origin, genesis.shards, genesis.version) == (ORIGIN, vector["shards"], vector["version"])
    assert genesis.authorities_hash.hex() == vector["authorities_hash"]
    assert cbor2.loads(verify_sign1(raw)[2]) == {1: ORIGIN, 2: 5, 3: 1, 4: genesis.authorities_hash}


@pytest.mark.parametrize("vector", VECTORS["manifests"], ids=lambda vector: vector["name"])
def test_manifests(vector: dict[str, Any]) -> None:
    """Every field comes out as it is written here."""
    decoded = decode_manifest(bytes.fromhex(vector["bytes"]))
    for name, value in vector["fields"].items():
        field = getattr(decoded, name)
        shown = (
            field.hex() if isinstance(field, bytes) else list(field) if isinstance(field, tuple) else field
        )
        assert shown == value


@pytest.mark.parametrize("vector", VECTORS["blocks"], ids=lambda vector: str(vector["statements"]))
def test_blocks(vector: dict[str, Any]) -> None:
    """Body, signed block and every receipt fit together; each path leads to the root by the definition."""
    leaves = [bytes.fromhex(leaf) for leaf in vector["leaves"]]
    body = bytes.fromhex(vector["body"])
    assert body == b"".join(len(leaf).to_bytes(4, "big") + leaf for leaf in leaves)
    raw = bytes.fromhex(vector["signed_block"])
    block = parse_signed_block(raw)
    verify_signed_block(block, PUBLIC_KEY)
    assert verify_sign1(raw)[2] == block.root
    assert block.root.hex() == vector["root"]
    assert block.manifest_hash.hex() == vector["manifest_hash"]
    opened, tree = open_body(block, body)
    assert opened == leaves == decode_body(body)
    assert tree.root == block.root

    assert len(vector["receipts"]) == vector["statements"] == len(leaves) - 1
    for receipt in vector["receipts"]:
        leaf_hash = sha256(b"\x00" + leaves[receipt["index"]]).digest()
        assert leaf_hash.hex() == receipt["leaf_hash"]
        encoded = bytes.fromhex(receipt["bytes"])
        place = check_receipt(encoded, leaf_hash, origin=ORIGIN, public_key=PUBLIC_KEY)
        assert (place.shard, place.height, place.index, place.size) == (3, 1, receipt["index"], len(leaves))
        unprotected = verify_sign1(encoded, block.root)[1]
        (proof,) = unprotected[396][-1]
        path = [bytes.fromhex(sibling) for sibling in receipt["path"]]
        assert cbor2.loads(proof) == [len(leaves), receipt["index"], path]
        assert rfc9162_root(leaf_hash, receipt["index"], len(leaves), path) == block.root


def rfc9162_root(leaf_hash: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2, word for word."""
    fn, sn, r = index, size - 1, leaf_hash
    for p in path:
        assert sn != 0
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r).digest()
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return r


@pytest.mark.parametrize("vector", VECTORS["checkpoints"], ids=lambda vector: str(vector["size"]))
def test_checkpoints(vector: dict[str, Any]) -> None:
    """Signed by the log, cosigned by the witnesses named, at the times named."""
    lines = [
        f"log {LOG['vkey']}",
        *(f"witness {w['name']} {w['vkey']}" for w in VECTORS["keys"]["witnesses"]),
    ]
    policy = parse_policy("\n".join([*lines, "quorum none", ""]).encode())
    opened = open_checkpoint(vector["note"].encode(), policy)
    assert opened.text == vector["text"] == f"{ORIGIN}\n{vector['size']}\n{root_text(vector['root'])}\n"
    assert (opened.checkpoint.size, opened.checkpoint.root.hex()) == (vector["size"], vector["root"])
    assert {c.witness: c.time_s for c in opened.cosignatures} == vector["cosigned"]


def root_text(root: str) -> str:
    """A root as a checkpoint writes it."""
    return b64encode(bytes.fromhex(root)).decode()


@pytest.mark.parametrize("vector", VECTORS["tiles"], ids=lambda vector: str(vector["size"]))
def test_tiles(vector: dict[str, Any]) -> None:
    """A log grown in uneven steps has these files in the end."""
    appender, files = TileAppender(), dict[str, bytes]()
    for size in (vector["size"] // 3, vector["size"] // 2, vector["size"]):
        files |= appender.append([b"%d" % index for index in range(appender.size, size)])
    assert appender.root().hex() == vector["root"]
    for path, digest in vector["files"].items():
        assert sha256(files[path]).hexdigest() == digest


@pytest.mark.parametrize("vector", VECTORS["policies"], ids=lambda vector: vector["name"])
def test_policies(vector: dict[str, Any]) -> None:
    """Who is a quorum and who is not."""
    policy = parse_policy(vector["text"].encode())
    for witnesses in vector["quorate"]:
        policy.check_quorum(witnesses)
    for witnesses in vector["not_quorate"]:
        with pytest.raises(VerificationError) as refused:
            policy.check_quorum(witnesses)
        assert refused.value.reason is Reason.QUORUM_MISSING


def check_signed_block(raw: bytes, _leaf_hash: bytes) -> None:
    """Parse and verify."""
    verify_signed_block(parse_signed_block(raw), PUBLIC_KEY)


def check_checkpoint(raw: bytes, _leaf_hash: bytes) -> None:
    """Open under a policy of this log alone."""
    open_checkpoint(raw, parse_policy(f"log {LOG['vkey']}\nquorum none\n".encode()))


CHECKS: dict[str, Callable[[bytes, bytes], object]] = {
    "manifest": lambda raw, _leaf_hash: decode_manifest(raw),
    "body": lambda raw, _leaf_hash: decode_body(raw),
    "policy": lambda raw, _leaf_hash: parse_policy(raw),
    "signed_block": check_signed_block,
    "checkpoint": check_checkpoint,
    "receipt": partial(check_receipt, origin=ORIGIN, public_key=PUBLIC_KEY),
}


@pytest.mark.parametrize(
    "vector", VECTORS["refusals"], ids=lambda vector: f"{vector['object']}: {vector['name']}"
)
def test_refusals(vector: dict[str, Any]) -> None:
    """Each is refused, for the reason it stands here for."""
    raw, leaf_hash = bytes.fromhex(vector["bytes"]), bytes.fromhex(vector.get("leaf_hash", ""))
    with pytest.raises(VerificationError) as refused:
        CHECKS[vector["object"]](raw, leaf_hash)
    assert refused.value.reason.value == vector["reason"]
