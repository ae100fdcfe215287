"""Reading the registry out of a log's files, to show who signed: for provers, whose verifiers check it."""

from collections.abc import Sequence

from pipeline.identity.archived import load_blocks, read_leaves, read_registry
from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Record, Registry
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.tiles import ReadFile
from pipeline.verify.signer import Path
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import decode_rotation
from pipeline.wire.statement import CONTENT_ROTATION, Statement, parse_statement

NEAR_BLOCKS = 64  # Read one by one: the snapshot holds all keys and may be much larger.


class RegistryReader:
    """The registry in the state that one block after another names; far ones are reached by the snapshot.

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
            VerificationError: A body or the snapshot is damaged; BLOCK_REGISTRY where the root is another.
        """
        state = manifest.registry_blocks
        if not 0 <= state - self._registry.blocks <= NEAR_BLOCKS:
            self._registry = read_registry(self._read, state)
        load_blocks(self._registry, self._read, state)
        if self._registry.root != manifest.registry_root:
            raise VerificationError(Reason.BLOCK_REGISTRY, f"state {state}, as the log's files have it")

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
        raw = self._statement(key)
        while (statement := parse_statement(raw)).content_type == CONTENT_ROTATION:
            rotations.append(raw)
            old = self._registry.find(key.issuer, decode_rotation(statement.payload).old_kid)
            assert old is not None, "a key that was rotated is known"
            raw = self._statement(old)
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
            return self._statement(record), self.path(record)
        return None

    def path(self, record: Record) -> Path:
        """Return the path from a record up to the root of the state."""
        sides, hashes = self._registry.path(record)
        return Path(sides, 1 << len(hashes), hashes)

    def _statement(self, record: Record) -> bytes:
        """Return the statement a record came by: its first state is that behind the statement's block."""
        if record.introduced_by not in self._stated:
            leaves = read_leaves(self._read, record.since - 1)
            self._stated.update((hash_leaf(raw), raw) for raw in leaves[1:])
        try:
            return self._stated[record.introduced_by]
        except KeyError:
            problem = f"no statement of {record.issuer} in registry block {record.since - 1}"
            raise VerificationError(Reason.BLOCK_REGISTRY, problem) from None
