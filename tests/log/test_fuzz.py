"""Whatever bytes come in, a parser answers or refuses with a reason; nothing else ever leaves it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.log.block import decode_body, open_body, parse_signed_block, verify_signed_block
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.cosigning import parse_add_checkpoint
from pipeline.log.genesis import parse_genesis
from pipeline.log.manifest import decode_manifest, encode_manifest
from pipeline.log.merkle import Tree, root_from_path
from pipeline.log.note import encode_note, encode_vkey, parse_note, parse_signatures, parse_vkey
from pipeline.log.policy import parse_policy
from pipeline.log.receipt import check_receipt
from pipeline.log.tiles import encode_entries, parse_entries
from pipeline.wire.errors import VerificationError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "log.json").read_text("utf-8")
)
BLOCK = VECTORS["blocks"][2]
RECEIPT = BLOCK["receipts"][1]
LEAF_HASH = bytes.fromhex(RECEIPT["leaf_hash"])
ORIGIN: str = VECTORS["keys"]["log"]["origin"]
PUBLIC_KEY = bytes.fromhex(VECTORS["keys"]["log"]["public_key"])
NOTE: bytes = VECTORS["checkpoints"][2]["note"].encode()
POLICY_TEXT: bytes = VECTORS["policies"][0]["text"].encode()
POLICY = parse_policy(POLICY_TEXT)
SIGNED_BLOCK = bytes.fromhex(BLOCK["signed_block"])
MANIFEST = bytes.fromhex(VECTORS["manifests"][2]["bytes"])


def check_block(raw: bytes) -> object:
    """A block must be the one that was signed; its bytes have one reading."""
    block = parse_signed_block(raw)
    verify_signed_block(block, PUBLIC_KEY)
    assert raw == SIGNED_BLOCK
    return block


def check_one_receipt(raw: bytes) -> object:
    """A receipt of the leaf must be the one that was made."""
    place = check_receipt(raw, LEAF_HASH, origin=ORIGIN, public_key=PUBLIC_KEY)
    assert raw.hex() == RECEIPT["bytes"]
    return place


def check_manifest(raw: bytes) -> object:
    """What is read as a manifest is written as those bytes."""
    manifest = decode_manifest(raw)
    assert encode_manifest(manifest) == raw
    return manifest


def check_note(raw: bytes) -> object:
    """What is read as a note is written as those bytes."""
    note = parse_note(raw)
    assert encode_note(note.text, note.signatures) == raw
    return note


def check_checkpoint(raw: bytes) -> object:
    """What opens says what the log signed."""
    opened = open_checkpoint(raw, POLICY)
    assert opened.text.encode() == NOTE.split(b"\n\n")[0] + b"\n"
    return opened


def check_vkey(raw: bytes) -> object:
    """What is read as a verifier key is written as that text."""
    text = raw.decode(errors="surrogateescape")
    assert encode_vkey(parse_vkey(text)) == text
    return text


def check_bundle(raw: bytes) -> object:
    """What is read as a bundle is written as those bytes."""
    entries = parse_entries(raw)
    assert encode_entries(entries) == raw
    return entries


TARGETS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "signed block": (check_block, SIGNED_BLOCK),
    "body": (lambda raw: open_body(parse_signed_block(SIGNED_BLOCK), raw), bytes.fromhex(BLOCK["body"])),
    "framing": (decode_body, bytes.fromhex(BLOCK["body"])),
    "manifest": (check_manifest, MANIFEST),
    "genesis": (parse_genesis, bytes.fromhex(VECTORS["genesis"]["bytes"])),
    "receipt": (check_one_receipt, bytes.fromhex(RECEIPT["bytes"])),
    "note": (check_note, NOTE),
    "checkpoint": (check_checkpoint, NOTE),
    "signature lines": (parse_signatures, NOTE.split(b"\n\n")[1]),
    "policy": (parse_policy, POLICY_TEXT),
    "verifier key": (check_vkey, VECTORS["keys"]["log"]["vkey"].encode()),
    "bundle": (check_bundle, encode_entries([b"", b"a", b"bc" * 200])),
    "tree": (Tree.from_bytes, (5).to_bytes(8, "big") + bytes(64)),
    "add-checkpoint": (parse_add_checkpoint, b"old 5\n" + b"A" * 43 + b"=\n\n" + NOTE),
}


def survives(check: Callable[[bytes], object], raw: bytes) -> bool:
    """Tell whether it was accepted; anything but a refusal goes through."""
    try:
        check(raw)
    except VerificationError as error:
        assert error.reason.meaning  # noqa: PT017 - the claim is about refusals and acceptances alike
        str(error).encode()
        return False
    return True


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """The seed with a few bytes changed, taken out, put in, doubled or cut."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("set", "delete", "insert", "double", "cut", "swap"))):
            case "set":
                data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
            case "delete":
                del data[at:end]
            case "insert":
                data[at:at] = draw(
                    st.binary(max_size=12) | st.sampled_from((b"\n", b"\n\n", b" ", b"+", b"\xf6", b"\xff"))
                )
            case "double":
                data[at:at] = data[at:end]
            case "cut":
                del data[at:]
            case _:
                data[at:end] = bytes(reversed(data[at:end]))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_accepted(name: str) -> None:
    """What the mutations start from is good."""
    check, seed = TARGETS[name]
    assert survives(check, seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=150)
def test_mutations_are_answered_or_refused(name: str, data: st.DataObject) -> None:
    """Nearly right bytes: refused with a reason and a printable detail, or read in their one way."""
    check, seed = TARGETS[name]
    survives(check, data.draw(mutated(seed)))


@pytest.mark.parametrize("name", TARGETS)
@given(raw=st.binary(max_size=400))
@settings(max_examples=100)
def test_any_bytes_are_answered_or_refused(name: str, raw: bytes) -> None:
    """Random bytes."""
    survives(TARGETS[name][0], raw)


@given(
    leaf_hash=st.binary(max_size=40) | st.just(bytes(32)),
    index=st.integers(-(2**70), 2**70),
    size=st.integers(-(2**70), 2**70),
    path=st.lists(st.binary(max_size=40) | st.just(bytes(32)), max_size=80),
)
def test_any_path_is_answered_or_refused(leaf_hash: bytes, index: int, size: int, path: list[bytes]) -> None:
    """Any numbers and hashes."""
    survives(lambda _: root_from_path(leaf_hash, index, size, path), b"")
