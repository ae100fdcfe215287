"""Making a point proof from a log's published files and block bodies, with nothing cached.

What is made here is checked by whoever verifies it; reading tiles checks them against the checkpoint anyway.
"""

from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Record, Registry
from pipeline.log.archive import read_block
from pipeline.log.block import decode_body, parse_signed_block
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import hash_leaf, inclusion_path_at
from pipeline.log.policy import Policy
from pipeline.log.tiles import CHECKPOINT_PATH, ReadFile, TileReader, block_path
from pipeline.verify.point import KeyStatus, Path, PointProof, encode_proof
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import decode_rotation
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_ROTATION, Statement, parse_statement

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
        self._stated: dict[bytes, bytes] = {}  # Authorities' statements by leaf hash.

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
        self._load_registry(decode_manifest(leaves[0]))
        key = self._registry.find(statement.issuer, statement.kid)
        if key is None:
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        enrolment, rotations = self._history(key)
        proof = PointProof(
            statement=statement.raw,
            record=places[0],
            in_block=Path(leaf, tree.size, tree.path(leaf)),
            manifest=leaves[0],
            signed_block=signed_block,
            in_log=Path(entry, self.size, inclusion_path_at(entry, self.size, self._tiles.read_hash)),
            enrolment=enrolment,
            in_registry=self._path(key),
            checkpoint=self._note,
            rotations=rotations,
            status=KeyStatus(key.ends, key.revocation),
            admission=self._admission(statement, key),
        )
        return encode_proof(proof)

    def _body(self, shard: int, height: int) -> list[bytes]:
        path = block_path(shard, height)
        body = self._read(path)
        if body is None:
            raise UnavailableError("log files", f"{path} is missing")
        return decode_body(body)

    def _load_registry(self, manifest: Manifest) -> None:
        """Bring the registry to the state that a block names."""
        if self._registry.blocks > manifest.registry_blocks:
            self._registry, self._stated = Registry(), {}
        while self._registry.blocks < manifest.registry_blocks:
            leaves = self._body(REGISTRY_SHARD, self._registry.blocks)
            self._registry.load_block(leaves, decode_manifest(leaves[0]).equivocations)
            self._stated.update((hash_leaf(raw), raw) for raw in leaves[1:])

    def _history(self, key: KeyRecord) -> tuple[bytes, list[bytes]]:
        """Return the statement that enrolled a signer, and the rotations from there to this key."""
        rotations: list[bytes] = []
        raw = self._stated[key.introduced_by]
        while (statement := parse_statement(raw)).content_type == CONTENT_ROTATION:
            rotations.append(raw)
            old = self._registry.find(key.issuer, decode_rotation(statement.payload).old_kid)
            assert old is not None, "a key that was rotated is known"
            raw = self._stated[old.introduced_by]
        return raw, rotations[::-1]

    def _admission(self, statement: Statement, key: KeyRecord) -> tuple[bytes, Path] | None:
        """Return what lets a statement in that its key alone does not, with its record's path."""
        try:
            key.check_admits((statement.epoch, statement.sequence))
        except VerificationError:
            record = self._registry.admission(statement.issuer, hash_leaf(statement.raw))
            if record is None:
                raise
            return self._stated[record.introduced_by], self._path(record)
        return None

    def _path(self, record: Record) -> Path:
        sides, hashes = self._registry.path(record)
        return Path(sides, 1 << len(hashes), hashes)
