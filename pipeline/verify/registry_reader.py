"""Reading the registry out of a log's files, to show who signed: for provers, whose verifiers check it."""

from collections.abc import Sequence

from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Record, Registry
from pipeline.log.block import decode_body
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.tiles import ReadFile, block_path
from pipeline.verify.signer import Path
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import decode_rotation
from pipeline.wire.statement import CONTENT_ROTATION, Statement, parse_statement

REGISTRY_SHARD = 0


class RegistryReader:
    """The registry in the state that one block after another names; going back reads it all again.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
    """

    def __init__(self, read: ReadFile) -> None:
        self._read = read
        self._registry = Registry()
        self._stated: dict[bytes, bytes] = {}  # Authorities' statements by leaf hash.

    def go_to(self, manifest: Manifest) -> None:
        """Bring the registry to the state that a block names.

        Raises:
            MissingError: A body of shard 0 is missing.
            VerificationError: One is damaged.
        """
        if self._registry.blocks > manifest.registry_blocks:
            self._registry, self._stated = Registry(), {}
        while self._registry.blocks < manifest.registry_blocks:
            path = block_path(REGISTRY_SHARD, self._registry.blocks)
            body = self._read(path)
            if body is None:
                raise MissingError(path)
            leaves = decode_body(body)
            self._registry.load_block(leaves, decode_manifest(leaves[0]).equivocations)
            self._stated.update((hash_leaf(raw), raw) for raw in leaves[1:])

    def find(self, statement: Statement) -> KeyRecord:
        """Return the key that a statement names.

        Raises:
            VerificationError: KEY_UNKNOWN.
        """
        key = self._registry.find(statement.issuer, statement.kid)
        if key is None:
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        return key

    def history(self, key: KeyRecord) -> tuple[bytes, Sequence[bytes]]:
        """Return the statement that enrolled a signer, and the rotations from there to this key."""
        rotations: list[bytes] = []
        raw = self._stated[key.introduced_by]
        while (statement := parse_statement(raw)).content_type == CONTENT_ROTATION:
            rotations.append(raw)
            old = self._registry.find(key.issuer, decode_rotation(statement.payload).old_kid)
            assert old is not None, "a key that was rotated is known"
            raw = self._stated[old.introduced_by]
        return raw, rotations[::-1]

    def admission(self, statement: Statement, key: KeyRecord) -> tuple[bytes, Path] | None:
        """Return what lets a statement in that its key alone does not, with its record's path.

        Raises:
            VerificationError: KEY_REVOKED, KEY_SPAN, where nothing does.
        """
        try:
            key.check_admits((statement.epoch, statement.sequence))
        except VerificationError:
            record = self._registry.admission(statement.issuer, hash_leaf(statement.raw))
            if record is None:
                raise
            return self._stated[record.introduced_by], self.path(record)
        return None

    def path(self, record: Record) -> Path:
        """Return the path from a record up to the root of the state."""
        sides, hashes = self._registry.path(record)
        return Path(sides, 1 << len(hashes), hashes)
