"""The registry's records, which its tree commits to: keys, and statements that are let in by their hash."""

from dataclasses import dataclass, replace
from typing import Self, TypeAlias

from pipeline.identity.record_tree import RecordPlace
from pipeline.wire.cbor import encode
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import Rotation, SequencePlace

State: TypeAlias = int  # A registry state by the number of its blocks.


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One enrolled key.

    Attributes:
        issuer: Whose it is.
        public_key: 32 bytes.
        introduced_by: Leaf hash of the enrolment or rotation that it came by.
        valid_from_s: POSIX seconds.
        starts: The first (epoch, sequence) that it may sign.
        ends: The first that it may no more, once it was rotated.
        revocation: Leaf hash of the revocation, else empty.
        kind: The enrolment's sensor kind or role; this and what follows is not in the tree.
        subject: The enrolment's.
        area: The enrolment's.
        since: The first state that has the key.
        ended_since: The first state that has its end.
        revoked_since: The first state that has its revocation.
    """

    issuer: str
    public_key: bytes
    introduced_by: bytes
    valid_from_s: int
    starts: SequencePlace = (0, 0)
    ends: SequencePlace | None = None
    revocation: bytes = b""
    kind: str
    subject: str
    area: str
    since: State = 0
    ended_since: State = 0
    revoked_since: State = 0

    @property
    def place(self) -> RecordPlace:
        """Return where the record stands in the sorted registry: (issuer, key id)."""
        return self.issuer, key_id(self.public_key)

    @property
    def is_plain(self) -> bool:
        """Tell whether the key was there from the beginning and is neither rotated nor revoked."""
        return not self.revocation and self.ends is None and self.starts == (0, 0)

    def leaf(self) -> bytes:
        """Return the bytes in the tree: CBOR, its fields in the order that docs/formats.md gives."""
        issuer, kid = self.place
        ends = [] if self.ends is None else list(self.ends)
        starts = list(self.starts)
        fields = [issuer, kid, self.public_key, self.introduced_by, self.valid_from_s, starts, ends]
        return encode([*fields, self.revocation])

    def check_admits(self, place: SequencePlace, state: State | None = None) -> None:
        """Check that the key may have signed the statement at this (epoch, sequence), in a state or the last.

        Raises:
            VerificationError: KEY_REVOKED, KEY_SPAN.
        """
        if self.revocation and (state is None or self.revoked_since <= state):
            raise VerificationError(Reason.KEY_REVOKED, self.issuer)
        has_ended = self.ends is not None and (state is None or self.ended_since <= state)
        if place < self.starts or (has_ended and self.ends is not None and place >= self.ends):
            raise VerificationError(Reason.KEY_SPAN, f"{self.issuer}, epoch {place[0]}, sequence {place[1]}")

    def at(self, state: State) -> "KeyRecord":
        """Return the record as it was in a state that has the key already."""
        revoked = bool(self.revocation) and self.revoked_since <= state
        ended = self.ends is not None and self.ended_since <= state
        return replace(
            self,
            ends=self.ends if ended else None,
            ended_since=self.ended_since if ended else 0,
            revocation=self.revocation if revoked else b"",
            revoked_since=self.revoked_since if revoked else 0,
        )

    @classmethod
    def enrolled(cls, enrolment: Enrolment, introduced_by: bytes) -> Self:
        """Return the record that an enrolment makes."""
        return cls(
            issuer=enrolment.issuer,
            public_key=enrolment.public_key,
            introduced_by=introduced_by,
            valid_from_s=enrolment.valid_from_s,
            kind=enrolment.kind,
            subject=enrolment.subject,
            area=enrolment.area,
        )

    def rotated(self, rotation: Rotation, introduced_by: bytes) -> "KeyRecord":
        """Return the record of the key that takes over from this one."""
        return replace(
            self,
            public_key=rotation.public_key,
            introduced_by=introduced_by,
            valid_from_s=rotation.valid_from_s,
            starts=rotation.starts,
            ends=None,
            revocation=b"",
        )


@dataclass(frozen=True, slots=True)
class AdmissionRecord:
    """One statement that is let in by its leaf hash, and the leaf hash of the admission that says so."""

    issuer: str
    admitted: bytes
    introduced_by: bytes
    since: State = 0

    @property
    def place(self) -> RecordPlace:
        """Return where the record stands in the sorted registry: (issuer, leaf hash admitted)."""
        return self.issuer, self.admitted

    def leaf(self) -> bytes:
        """Return the bytes in the tree: [issuer, leaf hash, admission's leaf hash]."""
        return encode([self.issuer, self.admitted, self.introduced_by])
