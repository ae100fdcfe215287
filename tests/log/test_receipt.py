"""Receipts (RFC 9942): their bytes made by other means, what they prove, and every way to break them."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from nacl.signing import SigningKey

from pipeline.log.merkle import BlockTree
from pipeline.log.receipt import Receipt, check_receipt, make_receipt, parse_receipt
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

ORIGIN = "city.example/log"
KEY = SigningKey(b"L" * 32)
PUBLIC_KEY = bytes(KEY.verify_key)
KID = sha256(PUBLIC_KEY).digest()[:8]
LEAVES = [sha256(b"\x00leaf %d" % index).digest() for index in range(1025)]


def node(left: bytes, right: bytes) -> bytes:
    """RFC 9162's node hash."""
    return sha256(b"\x01" + left + right).digest()


def header(size: int = 5, **change: Any) -> bytes:
    """The protected header of block 1234 of shard 3, with `size` leaves, the first of them the manifest."""
    fields: dict[Any, Any] = {
        1: -19,
        4: KID,
        15: {1: ORIGIN, 2: "shard/3/1234"},
        395: 1,
        -70002: [3, 1234, LEAVES[0], size],
    }
    fields |= change.get("fields", {})
    return cbor2.dumps(fields)


def sign(root: bytes, protected: bytes | None = None, key: SigningKey = KEY) -> bytes:
    """The signature over a root, without our code."""
    message = cbor2.dumps(["Signature1", protected or header(), b"", root])
    return key.sign(message).signature


def sign1(
    unprotected: object, payload: bytes | None, signature: bytes, protected: bytes | None = None
) -> bytes:
    """A tagged COSE_Sign1, without our code."""
    return cbor2.dumps(cbor2.CBORTag(18, [protected or header(), unprotected, payload, signature]))


def receipt_of(proof: object, root: bytes, protected: bytes | None = None, key: SigningKey = KEY) -> bytes:
    """A receipt with this proof, signed over this root."""
    encoded = proof if isinstance(proof, bytes) else cbor2.dumps(proof)
    return sign1({396: {-1: [encoded]}}, None, sign(root, protected, key), protected)


def check(receipt: bytes, leaf_hash: bytes = LEAVES[2]) -> Receipt:
    """Check a receipt of our log."""
    return check_receipt(receipt, leaf_hash, origin=ORIGIN, public_key=PUBLIC_KEY)


def refusal(act: Callable[..., object], *arguments: object) -> Reason:
    """Why something is refused."""
    with pytest.raises(VerificationError) as refused:
        act(*arguments)
    return refused.value.reason


# Leaf 2 of a block of five: its path has a right, a left and a right sibling.
PATH = [LEAVES[3], node(LEAVES[0], LEAVES[1]), LEAVES[4]]
ROOT = node(node(PATH[1], node(LEAVES[2], LEAVES[3])), LEAVES[4])
PROOF: list[Any] = [5, 2, PATH]
SIGNED_BLOCK = sign1({}, ROOT, sign(ROOT))
RECEIPT = receipt_of(PROOF, ROOT)


def test_a_receipt_is_the_cose_of_rfc_9942() -> None:
    """The block's bytes, the payload detached, and one proof [size, index, path] in the unprotected map."""
    assert make_receipt(SIGNED_BLOCK, 5, 2, PATH) == RECEIPT
    assert check(RECEIPT) == Receipt(shard=3, height=1234, index=2, size=5)


def test_what_a_receipt_says_can_be_read_without_the_statement() -> None:
    """Parsing gives every part; it verifies nothing."""
    claim = parse_receipt(RECEIPT)
    assert (claim.kid, claim.origin, claim.shard, claim.height) == (KID, ORIGIN, 3, 1234)
    assert (claim.index, claim.size, claim.path) == (2, 5, PATH)
    assert (claim.protected, claim.signature) == (header(), sign(ROOT))
    assert parse_receipt(receipt_of(PROOF, LEAVES[9])).path == PATH


@pytest.mark.parametrize("size", [2, 3, 5, 24, 25, 256, 257, 1025])
def test_every_leaf_has_a_receipt(size: int) -> None:
    """One signature serves every leaf of the block; a receipt is that of its own leaf only."""
    tree = BlockTree(LEAVES[:size])
    protected = header(size)
    block = sign1({}, tree.root, sign(tree.root, protected), protected)
    for index in {0, 1, 2, size // 2, size - 2, size - 1} & set(range(size)):
        receipt = make_receipt(block, size, index, tree.path(index))
        assert receipt == receipt_of([size, index, tree.path(index)], tree.root, protected)
        assert check(receipt, LEAVES[index]) == Receipt(3, 1234, index, size)
        other = LEAVES[(index + 1) % size]
        assert refusal(check, receipt, other) is Reason.SIGNATURE_INVALID


def test_a_receipt_is_bound_to_log_key_and_leaf() -> None:
    """Another origin, key or leaf: refused for just that."""
    stranger = SigningKey(b"S" * 32)

    def by(origin: str, key: SigningKey) -> Receipt:
        return check_receipt(RECEIPT, LEAVES[2], origin=origin, public_key=bytes(key.verify_key))

    assert refusal(by, "other.example/log", KEY) is Reason.RECEIPT_ORIGIN
    assert refusal(by, ORIGIN, stranger) is Reason.KEY_UNKNOWN
    assert refusal(check, RECEIPT, LEAVES[3]) is Reason.SIGNATURE_INVALID
    assert refusal(check, RECEIPT, LEAVES[2][:-1]) is Reason.HASH_SIZE
    assert refusal(check, receipt_of(PROOF, ROOT, key=stranger)) is Reason.SIGNATURE_INVALID
    assert refusal(check, receipt_of(PROOF, LEAVES[9])) is Reason.SIGNATURE_INVALID
    other = header(fields={15: {1: "other.example/log", 2: "shard/3/1234"}})
    assert refusal(check, receipt_of(PROOF, ROOT, other)) is Reason.RECEIPT_ORIGIN


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        ([5, 3, PATH], Reason.SIGNATURE_INVALID),
        ([6, 2, PATH], Reason.RECEIPT_SIZE),  # The path would lead to the same root.
        ([4, 2, PATH[:2]], Reason.RECEIPT_SIZE),
        ([5, 2, PATH[::-1]], Reason.SIGNATURE_INVALID),
        ([5, 5, PATH], Reason.INDEX_OUTSIDE),
        ([5, -1, PATH], Reason.INDEX_OUTSIDE),
        ([0, 0, PATH], Reason.RECEIPT_SIZE),
        ([-5, -6, PATH], Reason.RECEIPT_SIZE),
        ([5, 2, [*PATH, PATH[0]]], Reason.PATH_LONG),
        ([5, 2, PATH[:2]], Reason.PATH_SHORT),
        ([5, 2, [PATH[0], PATH[1], PATH[2][:-1]]], Reason.HASH_SIZE),
        ([5, 2, [PATH[0], PATH[1], b""]], Reason.HASH_SIZE),
        ([5, 2, []], Reason.RECEIPT_SHAPE),
        ([1, 0, []], Reason.RECEIPT_SHAPE),
        ([5, 2], Reason.RECEIPT_SHAPE),
        ([5, 2, PATH, 0], Reason.RECEIPT_SHAPE),
        ([5, 2, *PATH], Reason.RECEIPT_SHAPE),
        ([5, PATH, 2], Reason.RECEIPT_SHAPE),
        ([5.0, 2, PATH], Reason.RECEIPT_SHAPE),
        ([5, 2.0, PATH], Reason.RECEIPT_SHAPE),
        ([5, True, PATH], Reason.RECEIPT_SHAPE),
        ([True, 0, PATH], Reason.RECEIPT_SHAPE),
        (["5", 2, PATH], Reason.RECEIPT_SHAPE),
        ([5, b"2", PATH], Reason.RECEIPT_SHAPE),
        ([5, 2, ["x" * 32, *PATH[1:]]], Reason.RECEIPT_SHAPE),
        ([5, 2, [0, *PATH[1:]]], Reason.RECEIPT_SHAPE),
        ([5, 2, b"".join(PATH)], Reason.RECEIPT_SHAPE),
        ([5, 2, {0: PATH[0]}], Reason.RECEIPT_SHAPE),
        ({0: 5, 1: 2, 2: PATH}, Reason.RECEIPT_SHAPE),
        (cbor2.dumps("text"), Reason.RECEIPT_SHAPE),
        (b"", Reason.CBOR_TRUNCATED),
        (cbor2.dumps(PROOF) + b"\0", Reason.CBOR_TRAILING),
        (b"\x83\x18\x05" + cbor2.dumps(PROOF)[2:], Reason.CBOR_NOT_SHORTEST),
    ],
)
def test_another_proof_is_refused_for_what_it_is(proof: object, reason: Reason) -> None:
    """Size, then index, then at least one sibling, each of its type, and leading to the signed root."""
    assert refusal(check, receipt_of(proof, ROOT)) is reason


PROOF_BYTES = cbor2.dumps(PROOF)


@pytest.mark.parametrize(
    "unprotected",
    [
        {},
        {396: {}},
        {396: {-1: []}},
        {396: {-1: PROOF_BYTES}},
        {396: {-1: PROOF}},
        {396: {-1: [PROOF]}},
        {396: {-1: ["text"]}},
        {396: {-1: [PROOF_BYTES, PROOF_BYTES]}},
        {396: {-2: [PROOF_BYTES]}},
        {396: {-1: [PROOF_BYTES], -2: [PROOF_BYTES]}},
        {396: [PROOF_BYTES]},
        {396: {1: [PROOF_BYTES]}},
        {-1: [PROOF_BYTES]},
        {395: 1, 396: {-1: [PROOF_BYTES]}},
        {4: KID, 396: {-1: [PROOF_BYTES]}},
        {396: {-1: [PROOF_BYTES]}, -222: {}},
        {394: [RECEIPT]},
        {-222: {-1: [PROOF_BYTES]}},
    ],
)
def test_the_unprotected_map_holds_one_inclusion_proof(unprotected: object) -> None:
    """Exactly {396: {-1: [bstr]}}: nothing else beside it on any level."""
    assert refusal(check, sign1(unprotected, None, sign(ROOT))) is Reason.COSE_UNPROTECTED


def test_the_payload_is_detached() -> None:
    """A receipt that brings its root along is refused, the right root too; only null stands for detached."""
    unprotected = {396: {-1: [PROOF_BYTES]}}
    assert refusal(check, sign1(unprotected, ROOT, sign(ROOT))) is Reason.COSE_PAYLOAD
    assert refusal(check, sign1(unprotected, b"", sign(ROOT))) is Reason.COSE_PAYLOAD
    assert refusal(check, SIGNED_BLOCK) is Reason.COSE_PAYLOAD
    undefined = RECEIPT[:-67] + b"\xf7" + RECEIPT[-66:]
    assert refusal(check, undefined) is Reason.CBOR_SIMPLE


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({1: -8}, Reason.COSE_ALGORITHM),
        ({1: -7}, Reason.COSE_ALGORITHM),
        ({395: 2}, Reason.COSE_HEADER),
        ({4: bytes(8)}, Reason.KEY_UNKNOWN),
        ({15: {1: ORIGIN, 2: "shard/3/1"}}, Reason.BLOCK_SHAPE),
        ({15: {1: ORIGIN, 2: "genesis"}}, Reason.BLOCK_SHAPE),
        ({-70002: [3, 1234, LEAVES[0]]}, Reason.COSE_HEADER),
        ({-70003: 0}, Reason.COSE_HEADER),
    ],
)
def test_another_header_is_refused_though_well_signed(fields: dict[Any, Any], reason: Reason) -> None:
    """A receipt's header is its block's."""
    assert refusal(check, receipt_of(PROOF, ROOT, header(fields=fields))) is reason


def test_bytes_that_are_no_receipt() -> None:
    """Cut, extended, untagged, oversize."""
    for size in range(len(RECEIPT)):
        assert refusal(check, RECEIPT[:size]) is Reason.CBOR_TRUNCATED
    assert refusal(check, RECEIPT + b"\0") is Reason.CBOR_TRAILING
    assert refusal(check, b"\x80") is Reason.COSE_SHAPE
    assert refusal(check, bytes(16385)) is Reason.OVERSIZE


@pytest.mark.parametrize("index", range(5))
def test_every_bit_of_a_receipt_counts(index: int) -> None:
    """Each flipped bit is refused with a reason, in the receipt of every leaf: size and index too."""
    tree = BlockTree(LEAVES[:5])
    receipt = make_receipt(SIGNED_BLOCK, 5, index, tree.path(index))
    check(receipt, LEAVES[index])
    reasons = set()
    for bit in range(8 * len(receipt)):
        flipped = bytearray(receipt)
        flipped[bit // 8] ^= 1 << bit % 8
        reasons.add(refusal(check, bytes(flipped), LEAVES[index]))
    assert {Reason.SIGNATURE_INVALID, Reason.COSE_UNPROTECTED, Reason.COSE_HEADER} <= reasons
    assert Reason.RECEIPT_SIZE in reasons


def test_making_one_out_of_nothing_is_our_bug() -> None:
    """A block of one leaf has no receipts, and other bytes are no block."""
    with pytest.raises(AssertionError):
        make_receipt(SIGNED_BLOCK, 1, 0, [])
    with pytest.raises(AssertionError):
        make_receipt(RECEIPT, 5, 2, PATH)
