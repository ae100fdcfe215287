"""The registry: every enrolled key, and the root that commits to all of them.

Shard 0 of the log holds the authorities' statements. Applying its blocks in order gives the registry's
states; a state is named `[blocks, root]`: how many registry blocks were applied, and the RFC 9162 tree over
the records of all keys sorted by (issuer, key id). Every other block names the state that it was checked
against.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.identity.authorities import Authorities, Authority
from pipeline.log.merkle import EMPTY_ROOT, BlockTree, hash_leaf, root_of
from pipeline.wire.cbor import encode
from pipeline.wire.enrolment import Enrolment, decode_enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_ENROLMENT, Statement, parse_statement, verify_statement

KeyPlace = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One enrolled key, as the registry's tree commits to it."""

    issuer: str
    public_key: bytes
    enrolment_hash: bytes
    valid_from_s: int
    kind: str
    subject: str

    @property
    def place(self) -> KeyPlace:
        """Return where the record stands in the sorted registry: (issuer, key id)."""
        return self.issuer, key_id(self.public_key)

    def leaf(self) -> bytes:
        """Return the bytes in the tree: [issuer, key id, public key, enrolment's hash, valid from]."""
        return encode([*self.place, self.public_key, self.enrolment_hash, self.valid_from_s])


def record_of(enrolment: Enrolment, enrolment_hash: bytes) -> KeyRecord:
    """Return the record that an accepted enrolment puts into the registry."""
    return KeyRecord(
        enrolment.issuer,
        enrolment.public_key,
        enrolment_hash,
        enrolment.valid_from_s,
        enrolment.kind,
        enrolment.subject,
    )


def find_authority(statement: Statement, authorities: Authorities) -> Authority:
    """Return the authority whose key the statement names.

    Raises:
        VerificationError: AUTHORITY_UNKNOWN.
    """
    authority = authorities.by_key.get((statement.issuer, statement.kid))
    if authority is None:
        raise VerificationError(Reason.AUTHORITY_UNKNOWN, statement.issuer)
    return authority


def check_enrolment(statement: Statement, authorities: Authorities) -> Enrolment:
    """Check an authority's enrolment statement, its signature and its scope; nothing about earlier ones.

    Raises:
        VerificationError: AUTHORITY_UNKNOWN, SIGNATURE_INVALID, STATEMENT_CONTENT_TYPE, ENROLMENT_SHAPE,
            STATEMENT_SUBJECT, KEY_INVALID or AUTHORITY_SCOPE.
    """
    authority = find_authority(statement, authorities)
    verify_statement(statement, authority.public_key)
    if statement.content_type != CONTENT_ENROLMENT:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(statement.content_type))
    enrolment = decode_enrolment(statement.payload)
    if statement.subject != enrolment.issuer:
        raise VerificationError(Reason.STATEMENT_SUBJECT, "an enrolment is about the issuer it enrols")
    if not authority.may_enrol(enrolment.kind, enrolment.area):
        raise VerificationError(Reason.AUTHORITY_SCOPE, f"{enrolment.kind} in {enrolment.area}")
    return enrolment


class Registry:
    """All enrolled keys, growing block by block of shard 0.

    `enrol` acts at once; `close_block` gives the state that later blocks name. `blocks` and `root` are those
    of the last closed block, `roots[n]` the root after n blocks.
    """

    __slots__ = ("_by_place", "_leaves", "_places", "_public_keys", "roots")

    def __init__(self) -> None:
        self._by_place: dict[KeyPlace, KeyRecord] = {}
        self._public_keys: set[bytes] = set()
        self._places: list[KeyPlace] = []
        self._leaves: list[bytes] = []
        self.roots: list[bytes] = [EMPTY_ROOT]

    @property
    def blocks(self) -> int:
        """Return how many registry blocks have been applied."""
        return len(self.roots) - 1

    @property
    def root(self) -> bytes:
        """Return the root after the last closed block."""
        return self.roots[-1]

    def find(self, issuer: str, kid: bytes) -> KeyRecord | None:
        """Return the key enrolled for this issuer under this key id."""
        return self._by_place.get((issuer, kid))

    def check_new(self, enrolment: Enrolment) -> None:
        """Check that neither the public key nor the (issuer, key id) is enrolled yet.

        Raises:
            VerificationError: KEY_KNOWN.
        """
        place = enrolment.issuer, key_id(enrolment.public_key)
        if place in self._by_place or enrolment.public_key in self._public_keys:
            raise VerificationError(Reason.KEY_KNOWN, enrolment.issuer)

    def enrol(self, enrolment: Enrolment, enrolment_hash: bytes) -> KeyRecord:
        """Add a checked enrolment.

        Raises:
            VerificationError: KEY_KNOWN.
        """
        self.check_new(enrolment)
        record = record_of(enrolment, enrolment_hash)
        at = bisect_left(self._places, record.place)
        insort(self._places, record.place)
        self._leaves.insert(at, hash_leaf(record.leaf()))
        self._by_place[record.place] = record
        self._public_keys.add(record.public_key)
        return record

    def close_block(self) -> None:
        """End a registry block: its enrolments become part of the named state."""
        self.roots.append(root_of(self._leaves))

    def apply_block(self, leaves: Sequence[bytes], skip: Collection[int], authorities: Authorities) -> None:
        """Apply a whole registry block, manifest first, checking every statement again.

        `skip` names the leaves that are equivocations: evidence against an authority, which must have signed
        it, and without effect.

        Raises:
            VerificationError: As `check_enrolment` and `enrol`; the registry is then of no further use.
        """
        for index, raw in enumerate(leaves[1:], 1):
            enrolment = check_enrolment(parse_statement(raw), authorities)
            if index not in skip:
                self.enrol(enrolment, hash_leaf(raw))
        self.close_block()

    def load_block(self, leaves: Sequence[bytes], skip: Collection[int]) -> None:
        """Apply a registry block unchecked: for who builds a proof, which its verifier checks."""
        for index, raw in enumerate(leaves[1:], 1):
            if index not in skip:
                self.enrol(decode_enrolment(parse_statement(raw).payload), hash_leaf(raw))
        self.close_block()

    def path(self, place: KeyPlace) -> tuple[int, list[bytes]]:
        """Return the sides and hashes of the path from a key's record up to the current root.

        Bit n of the sides is 1 where hash n is the left one. Nobody signs how many keys there are, so the
        record's index and the tree's size could be written in several ways; the sides only in one.

        Raises:
            VerificationError: KEY_UNKNOWN.
        """
        if place not in self._by_place:
            raise VerificationError(Reason.KEY_UNKNOWN, place[0])
        node = bisect_left(self._places, place)
        sides, hashes = 0, list[bytes]()
        for level in BlockTree(self._leaves).levels[:-1]:
            sibling = node ^ 1
            if sibling < len(level):  # At the right edge a node may have none.
                sides |= (node & 1) << len(hashes)
                hashes.append(level[sibling])
            node >>= 1
        return sides, hashes
