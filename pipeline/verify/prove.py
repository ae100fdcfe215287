"""Making a point proof from a log's published files and block bodies, with nothing cached.

What is made here is checked by whoever verifies it; reading tiles checks them against the checkpoint anyway.
"""

from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.genesis import parse_genesis
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import inclusion_path_at
from pipeline.log.policy import Policy
from pipeline.log.tiles import ReadFile
from pipeline.verify.opened_log import open_published
from pipeline.verify.point import PointProof, encode_proof
from pipeline.verify.registry_reader import RegistryReader
from pipeline.verify.signer import KeyStatus, Path
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, parse_statement, shard_of

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
        self._note, self.opened, self._tiles = open_published(read, policy)
        self.size = self.opened.checkpoint.size
        self._registry = RegistryReader(read)

    def find(self, device: str, quantity: str, at_us: int) -> int | None:
        """Return the ref of a device's record at exactly this time: of several the latest in the log.

        The log is read from its end, and of the blocks those of the device's shard: a store finds it sooner.

        Raises:
            UnavailableError: A file is missing.
            VerificationError: Tile and block reasons.
        """
        shard = shard_of(device, parse_genesis(self._tiles.read_entry(0)).shards)
        for entry in range(self.size - 1, 0, -1):
            block = parse_signed_block(self._tiles.read_entry(entry))
            if block.shard != shard:
                continue
            leaves, _ = read_block(self._read, block)
            skip = decode_manifest(leaves[0]).equivocations
            for leaf in range(len(leaves) - 1, 0, -1):
                if leaf not in skip and _has_record(leaves[leaf], device, quantity, at_us):
                    return entry * LEAVES_PER_ENTRY + leaf
        return None

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
        self._registry.go_to(decode_manifest(leaves[0]))
        key = self._registry.find(statement)
        enrolment, rotations = self._registry.history(key)
        proof = PointProof(
            statement=statement.raw,
            record=places[0],
            in_block=Path(leaf, tree.size, tree.path(leaf)),
            manifest=leaves[0],
            signed_block=signed_block,
            in_log=Path(entry, self.size, inclusion_path_at(entry, self.size, self._tiles.read_hash)),
            enrolment=enrolment,
            in_registry=self._registry.path(key),
            checkpoint=self._note,
            rotations=rotations,
            status=KeyStatus(key.ends, key.revocation),
            admission=self._registry.admission(statement, key),
        )
        return encode_proof(proof)


def _has_record(raw: bytes, device: str, quantity: str, at_us: int) -> bool:
    if device.encode() not in raw:  # Far cheaper than taking it apart.
        return False
    statement = parse_statement(raw)
    if statement.issuer != device or statement.content_type != CONTENT_SENML:
        return False
    records = decode_pack(statement.payload, device)
    return any(record.quantity == quantity and time_us(record) == at_us for record in records)
