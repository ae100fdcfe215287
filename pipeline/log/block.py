"""Blocks: what an aggregator seals, what the log signs, and the genesis that opens the log.

A block's leaves are its manifest and then its statements. Its body, on the bus and in the archive, is these
leaves, each behind its length. The log signs the root: one signature for every statement in the block.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast

from pipeline.log.merkle import HASH_SIZE, BlockTree, hash_leaves
from pipeline.log.note import is_name
from pipeline.wire import cbor, cose, keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_GENESIS, COUNTER_MAX

BODY_SIZE_MAX = 1 << 20
LEAVES_MAX = 2048  # A point's `ref` is entry * 2048 + leaf.
FORMATS_VERSION = 1

LABEL_VDS = 395  # RFC 9942: which verifiable data structure.
VDS_RFC9162_SHA256 = 1
LABEL_BLOCK = -70002  # [shard, height, leaf hash of the manifest, number of leaves]

_FRAME_SIZE = 4
_TOPIC_ID_SIZE = 16
_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_BLOCK_LABELS = frozenset(
    {cose.LABEL_ALGORITHM, LABEL_VDS, cose.LABEL_KEY_ID, cose.LABEL_CWT_CLAIMS, LABEL_BLOCK}
)
_GENESIS_LABELS = frozenset(
    {cose.LABEL_ALGORITHM, cose.LABEL_CONTENT_TYPE, cose.LABEL_KEY_ID, cose.LABEL_CWT_CLAIMS}
)
_GENESIS_SUBJECT = "genesis"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Leaf 0 of a block: which part of the bus it took in, and what became of it.

    Attributes:
        shard: The shard, 0 is the registry.
        height: The block's place in its shard, from 0.
        previous: Root of the shard's previous block; 32 zero bytes at height 0.
        topic_id: 16-byte id of the bus topic.
        offset_first: First offset taken in.
        offset_last: Last offset taken in.
        arrival_first_ms: Earliest append time on the bus, POSIX milliseconds.
        arrival_last_ms: Latest append time.
        accepted: Statements in the block.
        duplicates: Messages dropped because their bytes were in the log already.
        refused: Reason code -> how many messages were refused for it.
        refused_hash: One hash over the refused.
        registry_blocks: How many registry blocks had been applied.
        registry_root: Root of the registry the statements were checked against.
        equivocations: Leaves under an identity that has another leaf already: evidence, not readings.
        state_hash: Hash of the state snapshot, where one was taken with this block.
    """

    shard: int
    height: int
    previous: bytes
    topic_id: bytes
    offset_first: int
    offset_last: int
    arrival_first_ms: int
    arrival_last_ms: int
    accepted: int
    duplicates: int
    refused: dict[str, int]
    refused_hash: bytes
    registry_blocks: int
    registry_root: bytes
    equivocations: tuple[int, ...] = ()
    state_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A block as it leaves the aggregator: body, and the tree over its leaves."""

    body: bytes
    tree: BlockTree

    @property
    def root(self) -> bytes:
        """Root over the leaves, 32 bytes."""
        return self.tree.root

    @property
    def manifest_hash(self) -> bytes:
        """Leaf hash of the manifest."""
        return self.tree.levels[0][0]


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Protected header of a signed block, and of every receipt taken from it.

    `size`, the number of leaves, is signed here because RFC 9942 leaves a proof's size unsigned, and a path
    leads to the same root at other sizes too, some of them with another index.
    """

    kid: bytes
    origin: str
    shard: int
    height: int
    manifest_hash: bytes
    size: int


@dataclass(frozen=True, slots=True)
class SignedBlock:
    """A signed block: an entry of the log."""

    raw: bytes
    protected: bytes
    kid: bytes
    origin: str
    shard: int
    height: int
    manifest_hash: bytes
    size: int
    root: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Genesis:
    """Entry 0: the log's name, number of shards, version of the formats, SHA-256 of the authorities file."""

    raw: bytes
    protected: bytes
    kid: bytes
    origin: str
    shards: int
    version: int
    authorities_hash: bytes
    payload: bytes
    signature: bytes


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's bytes, leaf 0 of its block."""
    m = manifest
    fields: dict[int, object] = {
        1: m.shard,
        2: m.height,
        3: m.previous,
        4: m.topic_id,
        5: [m.offset_first, m.offset_last],
        6: [m.arrival_first_ms, m.arrival_last_ms],
        7: m.accepted,
        8: m.duplicates,
        9: m.refused,
        10: m.refused_hash,
        11: [m.registry_blocks, m.registry_root],
    }
    if m.equivocations:
        fields[12] = list(m.equivocations)
    if m.state_hash is not None:
        fields[13] = m.state_hash
    return cbor.encode(fields)


def decode_manifest(raw: bytes) -> Manifest:
    """Parse a manifest. What it says is compared with block and log elsewhere.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, MANIFEST_SHAPE.
    """
    match cbor.decode(raw):
        case {
            1: shard,
            2: height,
            3: previous,
            4: topic_id,
            5: [offset_first, offset_last],
            6: [arrival_first_ms, arrival_last_ms],
            7: accepted,
            8: duplicates,
            9: dict() as refused,
            10: refused_hash,
            11: [registry_blocks, registry_root],
            **rest,
        } if (
            _are_uints(shard, height, offset_first, offset_last, arrival_first_ms, arrival_last_ms)
            and _are_uints(accepted, duplicates, registry_blocks)
            and offset_first <= offset_last
            and arrival_first_ms <= arrival_last_ms
            and all(map(_is_hash, (previous, refused_hash, registry_root)))
            and isinstance(topic_id, bytes)
            and len(topic_id) == _TOPIC_ID_SIZE
            and all(_is_refusal(reason, count) for reason, count in refused.items())
            and rest.keys() <= {12, 13}
            and (12 not in rest or _are_leaves(rest[12], accepted))
            and (13 not in rest or _is_hash(rest[13]))
        ):
            return Manifest(
                shard=shard,
                height=height,
                previous=previous,
                topic_id=topic_id,
                offset_first=offset_first,
                offset_last=offset_last,
                arrival_first_ms=arrival_first_ms,
                arrival_last_ms=arrival_last_ms,
                accepted=accepted,
                duplicates=duplicates,
                refused=refused,
                refused_hash=refused_hash,
                registry_blocks=registry_blocks,
                registry_root=registry_root,
                equivocations=tuple(cast("list[int]", rest.get(12, ()))),
                state_hash=cast("bytes | None", rest.get(13)),
            )
    raise VerificationError(Reason.MANIFEST_SHAPE)


def _are_leaves(indices: object, accepted: int) -> bool:
    """Tell whether these are ascending indices of statements in a block of so many."""
    return (
        isinstance(indices, list)
        and bool(indices)
        and _are_uints(*indices)
        and all(low < high for low, high in zip([0, *indices], [*indices, accepted + 1], strict=True))
    )


def encode_body(leaves: Sequence[bytes]) -> bytes:
    """Return the body: each leaf after its length as four bytes, big-endian."""
    return b"".join(part for leaf in leaves for part in (len(leaf).to_bytes(_FRAME_SIZE, "big"), leaf))


def decode_body(body: bytes) -> list[bytes]:
    """Return the leaves of a body: the manifest, then the statements.

    Raises:
        VerificationError: OVERSIZE, BLOCK_SHAPE.
    """
    if len(body) > BODY_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"a body of {len(body)} bytes")
    leaves: list[bytes] = []
    at, end = 0, len(body)
    while at < end and len(leaves) < LEAVES_MAX:
        start = at + _FRAME_SIZE
        at = start + int.from_bytes(body[at:start], "big")
        leaves.append(body[start:at])
    if at != end or not leaves:
        raise VerificationError(Reason.BLOCK_SHAPE, f"the framing breaks at leaf {len(leaves)}")
    return leaves


def seal(manifest: Manifest, statements: Sequence[bytes]) -> SealedBlock:
    """Seal statements into a block behind their manifest."""
    leaves = [encode_manifest(manifest), *statements]
    assert len(leaves) <= LEAVES_MAX, "more leaves than a point's ref can name"
    body = encode_body(leaves)
    assert len(body) <= BODY_SIZE_MAX, "a body larger than the bus carries"
    return SealedBlock(body, BlockTree(hash_leaves(leaves)))


def sign_block(
    signer: keys.Signer, origin: str, manifest: Manifest, root: bytes, manifest_leaf_hash: bytes
) -> bytes:
    """Return the signed block: the log's word that its shard has this root at this height.

    Deterministic: the same block gives the same bytes, so a repeat after a crash changes nothing.
    """
    protected = cbor.encode(
        {
            cose.LABEL_ALGORITHM: cose.ALGORITHM_ED25519,
            LABEL_VDS: VDS_RFC9162_SHA256,
            cose.LABEL_KEY_ID: keys.key_id(signer.public_key),
            cose.LABEL_CWT_CLAIMS: {
                cose.CLAIM_ISSUER: origin,
                cose.CLAIM_SUBJECT: _block_subject(manifest.shard, manifest.height),
            },
            LABEL_BLOCK: [manifest.shard, manifest.height, manifest_leaf_hash, manifest.accepted + 1],
        }
    )
    return _sign(signer, protected, root)


def parse_signed_block(raw: bytes) -> SignedBlock:
    """Parse a signed block; the signature is not verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, BLOCK_SHAPE.
    """
    sign1 = cose.parse_sign1(raw)
    if sign1.unprotected:
        raise VerificationError(Reason.COSE_UNPROTECTED, "a signed block's is empty")
    header = parse_block_header(sign1.protected)
    if sign1.payload is None or len(sign1.payload) != HASH_SIZE:
        raise VerificationError(Reason.BLOCK_SHAPE, "the payload is not a root")
    return SignedBlock(
        raw=raw,
        protected=sign1.protected,
        kid=header.kid,
        origin=header.origin,
        shard=header.shard,
        height=header.height,
        manifest_hash=header.manifest_hash,
        size=header.size,
        root=sign1.payload,
        signature=sign1.signature,
    )


def parse_block_header(protected: bytes) -> BlockHeader:
    """Parse the protected header of a signed block or of a receipt.

    Raises:
        VerificationError: CBOR_*, COSE_ALGORITHM, COSE_HEADER, BLOCK_SHAPE.
    """
    header = cose.decode_header(protected, _BLOCK_LABELS)
    kid, origin, subject = _parse_signer(header)
    vds = header[LABEL_VDS]
    if type(vds) is not int or vds != VDS_RFC9162_SHA256:
        raise VerificationError(Reason.COSE_HEADER, "the data structure is not RFC9162_SHA256")
    match header[LABEL_BLOCK]:
        case [shard, height, manifest_hash, size] if (
            _is_uint(shard) and _is_uint(height) and _is_hash(manifest_hash) and _is_uint(size)
        ):
            pass
        case _:
            raise VerificationError(Reason.COSE_HEADER, "not [shard, height, hash of the manifest, size]")
    if subject != _block_subject(shard, height) or not 0 < size <= LEAVES_MAX:
        raise VerificationError(Reason.BLOCK_SHAPE, f"subject {subject[:80]!r}, size {size}")
    return BlockHeader(kid, origin, shard, height, manifest_hash, size)


def verify_signed_block(block: SignedBlock, public_key: bytes) -> None:
    """Check the log's signature; whose log it is (`origin`) the caller compares.

    Raises:
        VerificationError: KEY_UNKNOWN, KEY_INVALID, SIGNATURE_INVALID.
    """
    verify_as_log(block.kid, block.protected, block.root, block.signature, public_key)


def sign_genesis(signer: keys.Signer, origin: str, shards: int, authorities_hash: bytes) -> bytes:
    """Return entry 0 of a new log. `authorities_hash` is the SHA-256 of the authorities file."""
    protected = cbor.encode(
        {
            cose.LABEL_ALGORITHM: cose.ALGORITHM_ED25519,
            cose.LABEL_CONTENT_TYPE: CONTENT_GENESIS,
            cose.LABEL_KEY_ID: keys.key_id(signer.public_key),
            cose.LABEL_CWT_CLAIMS: {cose.CLAIM_ISSUER: origin, cose.CLAIM_SUBJECT: _GENESIS_SUBJECT},
        }
    )
    return _sign(
        signer, protected, cbor.encode({1: origin, 2: shards, 3: FORMATS_VERSION, 4: authorities_hash})
    )


def parse_genesis(raw: bytes) -> Genesis:
    """Parse entry 0; the signature is not verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, GENESIS_SHAPE.
    """
    sign1 = cose.parse_sign1(raw)
    if sign1.unprotected:
        raise VerificationError(Reason.COSE_UNPROTECTED, "a genesis' is empty")
    header = cose.decode_header(sign1.protected, _GENESIS_LABELS)
    kid, origin, subject = _parse_signer(header)
    if header[cose.LABEL_CONTENT_TYPE] != CONTENT_GENESIS or subject != _GENESIS_SUBJECT:
        raise VerificationError(Reason.GENESIS_SHAPE, "another content type or subject")
    assert sign1.payload is not None, "parse_sign1 admits no detached payload here"
    match cbor.decode(sign1.payload):
        case {1: str() as name, 2: shards, 3: version, 4: authorities_hash, **rest} if (
            not rest
            and name == origin
            and _is_uint(shards)
            and shards >= 2
            and _is_uint(version)
            and version == FORMATS_VERSION
            and _is_hash(authorities_hash)
        ):
            return Genesis(
                raw=raw,
                protected=sign1.protected,
                kid=kid,
                origin=origin,
                shards=shards,
                version=version,
                authorities_hash=authorities_hash,
                payload=sign1.payload,
                signature=sign1.signature,
            )
    raise VerificationError(Reason.GENESIS_SHAPE)


def verify_genesis(genesis: Genesis, public_key: bytes) -> None:
    """Check the log's signature; whose log it is (`origin`) the caller compares.

    Raises:
        VerificationError: KEY_UNKNOWN, KEY_INVALID, SIGNATURE_INVALID.
    """
    verify_as_log(genesis.kid, genesis.protected, genesis.payload, genesis.signature, public_key)


def verify_as_log(kid: bytes, protected: bytes, payload: bytes, signature: bytes, public_key: bytes) -> None:
    """Check what the log signed: block, receipt or genesis.

    Raises:
        VerificationError: KEY_UNKNOWN where the key id is another key's, KEY_INVALID, SIGNATURE_INVALID.
    """
    if kid != keys.key_id(public_key):
        raise VerificationError(Reason.KEY_UNKNOWN, f"key id {kid.hex()} is not that of the log's key")
    keys.verify(public_key, cose.signing_input(protected, payload), signature)


def _sign(signer: keys.Signer, protected: bytes, payload: bytes) -> bytes:
    signature = signer.sign(cose.signing_input(protected, payload))
    return cose.encode_sign1(cose.Sign1(protected, {}, payload, signature))


def _parse_signer(header: Mapping[int, object]) -> tuple[bytes, str, str]:
    """Return key id, origin and subject of a header that the log signed."""
    match header[cose.LABEL_KEY_ID], header[cose.LABEL_CWT_CLAIMS]:
        case (
            bytes() as kid,
            {cose.CLAIM_ISSUER: str() as origin, cose.CLAIM_SUBJECT: str() as subject, **rest},
        ) if len(kid) == keys.KEY_ID_SIZE and is_name(origin) and not rest:
            return kid, origin, subject
    raise VerificationError(Reason.COSE_HEADER, "not a key id, and claims with origin and subject")


def _block_subject(shard: int, height: int) -> str:
    return f"shard/{shard}/{height}"


def _is_uint(value: object) -> TypeGuard[int]:
    """Tell whether this is an integer, and not a bool, that every language counts exactly."""
    return type(value) is int and 0 <= value <= COUNTER_MAX


def _are_uints(*values: object) -> bool:
    return all(map(_is_uint, values))


def _is_hash(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes) and len(value) == HASH_SIZE


def _is_refusal(reason: object, count: object) -> bool:
    return isinstance(reason, str) and _REASON.fullmatch(reason) is not None and _is_uint(count) and count > 0
