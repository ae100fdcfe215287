"""The registry: every enrolled key, and the root that commits to all of them.

Shard 0 of the log holds the authorities' statements. Applying its blocks in order gives the registry's
states; a state is named `[blocks, root]`: how many registry blocks were applied, and the RFC 9162 tree over
the records sorted by (issuer, key id or leaf hash). Every other block names the state that it was checked
against, and what its statements may do is asked of that state.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Self, TypeAlias

from pipeline.identity.authorities import Authorities, Authority
from pipeline.identity.changes import check_change, check_scope, decode_change
from pipeline.identity.record_tree import RecordPlace, RecordTree
from pipeline.identity.records import AdmissionRecord, KeyRecord, State
from pipeline.log.merkle import EMPTY_ROOT, hash_leaf
from pipeline.wire.admission import Admission
from pipeline.wire.changes import Change
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import Rotation, check_rotation_signatures
from pipeline.wire.statement import Statement, parse_statement

ROOTS_KEPT = 1024

Record: TypeAlias = KeyRecord | AdmissionRecord


class Registry:
    """All enrolled keys, growing block by block of shard 0.

    `apply` acts at once; `close_block` gives the state that later blocks name. `blocks` and `root` are those
    of the last closed block, `roots[n]` is the root after n blocks more than `first`: 0, unless the registry
    came from a snapshot or has forgotten older roots.
    """

    __slots__ = ("_admissions", "_by_issuer", "_keys", "_public_keys", "_tree", "first", "roots")

    def __init__(self) -> None:
        self._keys: dict[RecordPlace, KeyRecord] = {}
        self._admissions: dict[RecordPlace, AdmissionRecord] = {}
        self._by_issuer: dict[str, list[bytes]] = {}
        self._public_keys: set[bytes] = set()
        self._tree = RecordTree()
        self.first: State = 0
        self.roots: list[bytes] = [EMPTY_ROOT]

    @classmethod
    def of(cls, blocks: State, keys: Iterable[KeyRecord], admissions: Iterable[AdmissionRecord]) -> Self:
        """Return the registry that has these records after so many blocks, oldest first."""
        registry = cls()
        registry._keys = {key.place: key for key in keys}
        registry._admissions = {record.place: record for record in admissions}
        registry._public_keys = {key.public_key for key in registry.keys}
        for issuer, kid in registry._keys:
            registry._by_issuer.setdefault(issuer, []).append(kid)
        records: dict[RecordPlace, Record] = {**registry._keys, **registry._admissions}
        for place in sorted(records):  # In their order each is put at the end, which moves none.
            registry._tree.put(place, hash_leaf(records[place].leaf()))
        registry.first, registry.roots = blocks, [registry._tree.root()]
        return registry

    def at(self, state: State) -> Self:
        """Return the registry as it was in an earlier state, or in this one."""
        assert state <= self.blocks, "a state to come"
        keys = (key.at(state) for key in self.keys if key.since <= state)
        return self.of(state, keys, (record for record in self.admissions if record.since <= state))

    def forget(self) -> None:
        """Drop the roots of states that hardly any block names any more."""
        self.first += max(0, len(self.roots) - ROOTS_KEPT)
        del self.roots[:-ROOTS_KEPT]

    @property
    def keys(self) -> Collection[KeyRecord]:
        """Return the records of all keys, oldest first."""
        return self._keys.values()

    @property
    def admissions(self) -> Collection[AdmissionRecord]:
        """Return the records of all admissions, oldest first."""
        return self._admissions.values()

    @property
    def blocks(self) -> State:
        """Return how many registry blocks have been applied."""
        return self.first + len(self.roots) - 1

    @property
    def root(self) -> bytes:
        """Return the root after the last closed block."""
        return self.roots[-1]

    def has_state(self, blocks: State, root: bytes) -> bool:
        """Tell whether the registry had this root after so many blocks, and has not forgotten it."""
        return self.first <= blocks <= self.blocks and self.roots[blocks - self.first] == root

    # What statements ask

    def find(self, issuer: str, kid: bytes) -> KeyRecord | None:
        """Return the key enrolled for this issuer under this key id."""
        return self._keys.get((issuer, kid))

    def keys_of(self, issuer: str) -> list[KeyRecord]:
        """Return the issuer's keys, oldest first."""
        return [self._keys[issuer, kid] for kid in self._by_issuer.get(issuer, ())]

    def admission(self, issuer: str, leaf_hash: bytes) -> AdmissionRecord | None:
        """Return the admission of this statement by its leaf hash."""
        return self._admissions.get((issuer, leaf_hash))

    def check_key(self, statement: Statement, arrival_ms: int, state: State | None = None) -> KeyRecord:
        """Return the key that may have signed a statement in this state, the latest unless another is given.

        The signature is not checked.

        Raises:
            VerificationError: KEY_UNKNOWN, KEY_NOT_YET_VALID; KEY_REVOKED and KEY_SPAN, unless an admission
                lets the statement in.
        """
        state = self.blocks if state is None else state
        record = self._keys.get((statement.issuer, statement.kid))
        if record is None or record.since > state:
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        if record.valid_from_s * 1000 > arrival_ms:
            raise VerificationError(Reason.KEY_NOT_YET_VALID, statement.issuer)
        if record.is_plain:
            return record
        try:
            record.check_admits((statement.epoch, statement.sequence), state)
        except VerificationError:
            admission = self.admission(statement.issuer, hash_leaf(statement.raw))
            if admission is None or admission.since > state:
                raise
        return record

    def path(self, record: Record) -> tuple[int, list[bytes]]:
        """Return the sides and hashes of the path from a record up to the current root.

        Bit n of the sides is 1 where hash n is the left one. Nobody signs how many records there are, so the
        record's index and the tree's size could be written in several ways; the sides only in one.
        """
        return self._tree.path(record.place)

    # What authorities change

    def check(self, change: Change, authority: Authority) -> None:
        """Check what an authority states against everything before it.

        Raises:
            VerificationError: AUTHORITY_SCOPE, KEY_KNOWN, KEY_UNKNOWN, KEY_REVOKED, KEY_ENDED, KEY_SPAN,
                ROTATION_SIGNATURE, POSSESSION_INVALID or ADMISSION_KNOWN.
        """
        match change:
            case Enrolment():
                self._check_new(change.issuer, change.public_key)
            case Rotation():
                old = self._check_key(change.issuer, change.old_kid, authority)
                if old.ends is not None:
                    raise VerificationError(Reason.KEY_ENDED, change.issuer)
                check_start(change, old)
                self._check_new(change.issuer, change.public_key)
                check_rotation_signatures(change, authority.issuer, old.public_key)
            case Revocation():
                self._check_key(change.issuer, change.kid, authority)
            case Admission():
                self._check_admission(change, authority)

    def apply(self, change: Change, leaf_hash: bytes) -> None:
        """Do what a checked statement of this leaf hash states."""
        since = self.blocks + 1
        match change:
            case Enrolment():
                self._put(replace(KeyRecord.enrolled(change, leaf_hash), since=since))
            case Rotation():
                old = self._keys[change.issuer, change.old_kid]
                self._put(replace(old, ends=change.starts, ended_since=since))
                self._put(replace(old.rotated(change, leaf_hash), since=since))
            case Revocation():
                old = self._keys[change.issuer, change.kid]
                self._put(replace(old, revocation=leaf_hash, revoked_since=since))
            case Admission():
                for admitted in change.leaf_hashes:
                    record = AdmissionRecord(change.issuer, admitted, leaf_hash, since)
                    self._admissions[record.place] = record
                    self._tree.put(record.place, hash_leaf(record.leaf()))

    def close_block(self) -> None:
        """End a registry block: what its statements did becomes part of the named state."""
        self.roots.append(self._tree.root())

    def apply_block(self, leaves: Sequence[bytes], skip: Collection[int], authorities: Authorities) -> None:
        """Apply a whole registry block, manifest first, checking every statement again.

        `skip` names the leaves that are equivocations: evidence against an authority, which must have signed
        it, and without effect.

        Raises:
            VerificationError: As `check_change` and `check`; the registry is then of no further use.
        """
        for index, raw in enumerate(leaves[1:], 1):
            authority, change = check_change(parse_statement(raw), authorities)
            if index not in skip:
                self.check(change, authority)
                self.apply(change, hash_leaf(raw))
        self.close_block()

    def load_block(self, leaves: Sequence[bytes], skip: Collection[int]) -> None:
        """Apply a registry block unchecked: for who builds a proof, which its verifier checks."""
        for index, raw in enumerate(leaves[1:], 1):
            if index not in skip:
                self.apply(decode_change(parse_statement(raw)), hash_leaf(raw))
        self.close_block()

    def _put(self, record: KeyRecord) -> None:
        place = record.place
        if place not in self._keys:
            self._by_issuer.setdefault(record.issuer, []).append(place[1])
            self._public_keys.add(record.public_key)
        self._keys[place] = record
        self._tree.put(place, hash_leaf(record.leaf()))

    def _check_new(self, issuer: str, public_key: bytes) -> None:
        if (issuer, key_id(public_key)) in self._keys or public_key in self._public_keys:
            raise VerificationError(Reason.KEY_KNOWN, issuer)

    def _check_key(self, issuer: str, kid: bytes, authority: Authority) -> KeyRecord:
        """Return a key that this authority may still rotate or revoke."""
        record = self._keys.get((issuer, kid))
        if record is None:
            raise VerificationError(Reason.KEY_UNKNOWN, issuer)
        check_scope(authority, record.kind, record.area)
        if record.revocation:
            raise VerificationError(Reason.KEY_REVOKED, issuer)
        return record

    def _check_admission(self, admission: Admission, authority: Authority) -> None:
        keys = self.keys_of(admission.issuer)
        if not keys:
            raise VerificationError(Reason.KEY_UNKNOWN, admission.issuer)
        for key in keys:  # A leaf hash does not say which of them signed.
            check_scope(authority, key.kind, key.area)
        for leaf_hash in admission.leaf_hashes:
            if (admission.issuer, leaf_hash) in self._admissions:
                raise VerificationError(Reason.ADMISSION_KNOWN, leaf_hash.hex())


def check_start(rotation: Rotation, old: KeyRecord) -> None:
    """Check that the old key keeps a sequence at least.

    Raises:
        VerificationError: KEY_SPAN.
    """
    if rotation.starts <= old.starts:
        raise VerificationError(Reason.KEY_SPAN, f"{rotation.issuer}: the new key starts before the old one")
