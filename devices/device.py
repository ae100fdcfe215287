"""A device as firmware would be: it packs records, signs them, and knows where its chain stands.

Pure: a state machine without clock, file or network. Whoever drives it makes each signed statement durable,
together with the chain behind it, before the first byte leaves the device (`devices.outbox`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.log.merkle import hash_leaf
from pipeline.wire.changes import Change, encode_change
from pipeline.wire.keys import Signer
from pipeline.wire.rotation import SequencePlace
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_SENML, sign_statement

NO_STATEMENT = bytes(32)


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a signer stands: its epoch, its next sequence, the leaf hash of its preceding statement."""

    epoch: int
    sequence: int
    previous: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement as signed: its identity (issuer, epoch, sequence), leaf hash, bytes, number of records."""

    issuer: str
    epoch: int
    sequence: int
    leaf_hash: bytes
    raw: bytes
    records: int


def new_epoch(now_s: float, *, before: int = -1, receipted: bytes | None = None) -> Chain:
    """Return the chain of a signer that has no state, or has lost it.

    The epoch is the POSIX second of this moment, and larger than any epoch `before` even where the clock was
    set back. Sequence 0 links to the last leaf hash known to be `receipted`, else to nothing.
    """
    return Chain(max(int(now_s), before + 1, 0), 0, receipted or NO_STATEMENT)


class Device:
    """One signer: a key, a name, and its chain."""

    __slots__ = ("_next", "chain", "issuer", "signer", "subject")

    def __init__(self, signer: Signer, issuer: str, subject: str, chain: Chain) -> None:
        self.signer = signer
        self.issuer = issuer
        self.subject = subject
        self.chain = chain
        self._next: tuple[SequencePlace, Signer] | None = None

    def rotate(self, signer: Signer, starts: SequencePlace) -> None:
        """Take over this key from a place of the chain on; what is signed before keeps its signatures."""
        self._change_key()
        self._next = starts, signer
        self._change_key()

    def sign_records(self, records: Sequence[Record]) -> Signed:
        """Sign one pack of records (1 to 256) and move the chain on."""
        pack = encode_pack(self.issuer, records)
        return self._sign(self.subject, CONTENT_SENML, pack, len(records))

    def sign_change(self, change: Change) -> Signed:
        """Sign, as an authority, what it states about another signer's key."""
        return self._sign(change.issuer, *encode_change(change), 1)

    def _sign(self, subject: str, content_type: int | str, payload: bytes, records: int) -> Signed:
        self._change_key()
        at = self.chain
        raw = sign_statement(
            self.signer,
            issuer=self.issuer,
            subject=subject,
            content_type=content_type,
            epoch=at.epoch,
            sequence=at.sequence,
            previous=at.previous,
            payload=payload,
        )
        leaf_hash = hash_leaf(raw)
        self.chain = Chain(at.epoch, at.sequence + 1, leaf_hash)
        return Signed(self.issuer, at.epoch, at.sequence, leaf_hash, raw, records)

    def _change_key(self) -> None:
        """Change the key where the place of the next one has come."""
        if self._next is not None and (self.chain.epoch, self.chain.sequence) >= self._next[0]:
            self.signer, self._next = self._next[1], None
