"""Making a point proof from a log's published files and block bodies, with nothing cached.

What is made here is checked by whoever verifies it; reading tiles checks them against the checkpoint anyway.
"""

from pipeline.identity.registry import KeyPlace, Registry
from pipeline.log.archive import read_block
from pipeline.log.block import decode_body, parse_signed_block
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import hash_leaf, inclusion_path_at
from pipeline.log.policy import Policy
from pipeline.log.tiles import CHECKPOINT_PATH, ReadFile, TileReader, block_path
from pipeline.verify.point import Path, PointProof, encode_proof
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import parse_statement

REGISTRY_SHARD = 0
LEAVES_PER_ENTRY = 2048


class Prover:
    """Makes proofs under the checkpoint that stood when it was opened.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What the checkpoint must satisfy.

    Raises:
        UnavailableError: No checkpoint is published yet.
        VerificationError: The checkpoint or a tile is wrong.
    """

    def __init__(self, read: ReadFile, policy: Policy) -> None:
        self._read = read
        note = read(CHECKPOINT_PATH)
        if note is None:
            raise UnavailableError("log files", "no checkpoint is published yet")
        self._note = note
        checkpoint = open_checkpoint(note, policy).checkpoint
        self._tiles = TileReader(read, checkpoint)
        self.size = checkpoint.size
        self._registry = Registry()
        self._enrolments: dict[bytes, bytes] = {}

    def prove(self, ref: int, quantity: str, at_us: int) -> bytes:
        """Return the `.proof` file of the record that a stored point refers to.

        Raises:
            UnavailableError: The entry is not under the checkpoint yet, or a file is missing.
            VerificationError: PROOF_RECORD where the statement has no such record; tile and block reasons.
        """
        entry, leaf = divmod(ref, LEAVES_PER_ENTRY)
        if entry >= self.size:
            raise UnavailableError(
                "log files", f"entry {entry} is not under a checkpoint yet; size {self.size}"
            )
        signed_block = self._tiles.read_entry(entry)
        leaves, tree = read_block(self._read, parse_signed_block(signed_block))
        if not 0 < leaf < len(leaves):
            raise VerificationError(Reason.INDEX_OUTSIDE, f"leaf {leaf} of {len(leaves)}")
        statement = parse_statement(leaves[leaf])
        records = decode_pack(statement.payload, statement.issuer)
        places = [i for i, r in enumerate(records) if r.quantity == quantity and time_us(r) == at_us]
        if not places:
            raise VerificationError(Reason.PROOF_RECORD, f"no {quantity} at {at_us} us in leaf {leaf}")
        enrolment, in_registry = self._key(decode_manifest(leaves[0]), (statement.issuer, statement.kid))
        proof = PointProof(
            statement=statement.raw,
            record=places[0],
            in_block=Path(leaf, tree.size, tree.path(leaf)),
            manifest=leaves[0],
            signed_block=signed_block,
            in_log=Path(entry, self.size, inclusion_path_at(entry, self.size, self._tiles.read_hash)),
            enrolment=enrolment,
            in_registry=in_registry,
            checkpoint=self._note,
        )
        return encode_proof(proof)

    def _body(self, shard: int, height: int) -> list[bytes]:
        path = block_path(shard, height)
        body = self._read(path)
        if body is None:
            raise UnavailableError("log files", f"{path} is missing")
        return decode_body(body)

    def _key(self, manifest: Manifest, place: KeyPlace) -> tuple[bytes, Path]:
        """Return the enrolment of a key, and its place in the registry state that the manifest names."""
        if self._registry.blocks > manifest.registry_blocks:
            self._registry, self._enrolments = Registry(), {}
        while self._registry.blocks < manifest.registry_blocks:
            leaves = self._body(REGISTRY_SHARD, self._registry.blocks)
            self._registry.load_block(leaves, decode_manifest(leaves[0]).equivocations)
            self._enrolments.update((hash_leaf(raw), raw) for raw in leaves[1:])
        record = self._registry.find(*place)
        if record is None:
            raise VerificationError(Reason.KEY_UNKNOWN, place[0])
        sides, hashes = self._registry.path(place)
        return self._enrolments[record.enrolment_hash], Path(sides, 1 << len(hashes), hashes)
