"""Which statements of each signer a shard's blocks hold, in bounded memory.

Per signer and epoch: the next sequence, the ranges still missing below it, and the leaf hashes of the last
256 sequences. That decides for every arriving statement whether it is new, a duplicate, an equivocation or
too old to tell. A shard's memory derives from its blocks alone; a snapshot of it only saves reading them
all again.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pipeline.log.merkle import HASH_SIZE
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

REMEMBERED = 256
EPOCHS_MAX = 4
RANGES_MAX = 1024


class Place(Enum):
    """What a statement is to the sequences before it."""

    NEW = auto()
    DUPLICATE = auto()
    EQUIVOCATION = auto()


@dataclass(slots=True)
class EpochSequences:
    """The sequences of one epoch. `missing` holds disjoint ascending [first, last] pairs below `next`."""

    next: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    hashes: bytearray = field(default_factory=bytearray)
    others: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def place(self, sequence: int, leaf_hash: bytes) -> Place:
        """Record a statement, and say what it is.

        Raises:
            VerificationError: SEQUENCE_OLD, EQUIVOCATION (a third statement at one place) or SEQUENCE_GAPS.
        """
        if sequence >= self.next:
            if sequence > self.next:
                self._check_room(sequence)
                self.missing.append((self.next, sequence - 1))
            self.next = sequence + 1
            self._remember(sequence, leaf_hash)
            return Place.NEW
        gap = self._gap_at(sequence)
        if gap is None:
            return self._place_repeat(sequence, leaf_hash)
        self._fill(gap, sequence)
        if sequence >= self.next - REMEMBERED:
            self._remember(sequence, leaf_hash)
        return Place.NEW

    def find(self, sequence: int) -> bytes | None:
        """Return the leaf hash remembered for a sequence; None when it is missing or too old."""
        if self._gap_at(sequence) is not None or not self.next - REMEMBERED <= sequence < self.next:
            return None
        slot = sequence % REMEMBERED * HASH_SIZE
        return bytes(self.hashes[slot : slot + HASH_SIZE])

    def _place_repeat(self, sequence: int, leaf_hash: bytes) -> Place:
        if sequence < self.next - REMEMBERED:
            raise VerificationError(Reason.SEQUENCE_OLD, f"sequence {sequence}, next is {self.next}")
        slot = sequence % REMEMBERED * HASH_SIZE
        other = self.others.get(sequence)
        if leaf_hash in (self.hashes[slot : slot + HASH_SIZE], other):
            return Place.DUPLICATE
        if other is not None:
            raise VerificationError(Reason.EQUIVOCATION, f"sequence {sequence} has two statements already")
        self.others[sequence] = leaf_hash
        return Place.EQUIVOCATION

    def _remember(self, sequence: int, leaf_hash: bytes) -> None:
        slot = sequence % REMEMBERED * HASH_SIZE
        if slot >= len(self.hashes):
            self.hashes.extend(bytes(slot + HASH_SIZE - len(self.hashes)))
        self.hashes[slot : slot + HASH_SIZE] = leaf_hash
        if self.others:
            self.others = {s: h for s, h in self.others.items() if s >= self.next - REMEMBERED}

    def _gap_at(self, sequence: int) -> int | None:
        """Return which of the missing ranges holds a sequence, if one does."""
        at = bisect_right(self.missing, (sequence, self.next)) - 1
        return at if at >= 0 and self.missing[at][1] >= sequence else None

    def _fill(self, at: int, sequence: int) -> None:
        """Take a sequence out of a missing range."""
        first, last = self.missing[at]
        if first < sequence < last:
            self._check_room(sequence)  # From the middle of a gap, which becomes two.
        self.missing[at : at + 1] = [
            (low, high) for low, high in ((first, sequence - 1), (sequence + 1, last)) if low <= high
        ]

    def _check_room(self, sequence: int) -> None:
        if len(self.missing) >= RANGES_MAX:
            raise VerificationError(Reason.SEQUENCE_GAPS, f"{RANGES_MAX} gaps at sequence {sequence}")


class SignerSequences:
    """All signers of one shard: at most four epochs each, the newest ones."""

    __slots__ = ("_floors", "_signers")

    def __init__(self) -> None:
        self._signers: dict[str, dict[int, EpochSequences]] = {}
        self._floors: dict[str, int] = {}

    def place(self, issuer: str, epoch: int, sequence: int, leaf_hash: bytes) -> Place:
        """Record a statement by its identity, and say what it is to those before it.

        Raises:
            VerificationError: SEQUENCE_OLD, also for an epoch older than the four remembered; EQUIVOCATION;
                SEQUENCE_GAPS.
        """
        epochs = self._signers.get(issuer)
        sequences = epochs.get(epoch) if epochs else None
        if sequences is None:
            return self._begin(issuer, epoch, sequence, leaf_hash)
        return sequences.place(sequence, leaf_hash)

    def _begin(self, issuer: str, epoch: int, sequence: int, leaf_hash: bytes) -> Place:
        """Record the first statement of an epoch; the oldest of five is forgotten."""
        if epoch < self._floors.get(issuer, 0):
            raise VerificationError(Reason.SEQUENCE_OLD, f"epoch {epoch} is long past")
        sequences = EpochSequences()
        place = sequences.place(sequence, leaf_hash)
        epochs = self._signers.setdefault(issuer, {})
        epochs[epoch] = sequences
        if len(epochs) > EPOCHS_MAX:
            oldest = min(epochs)
            del epochs[oldest]
            self._floors[issuer] = oldest + 1
        return place

    def find(self, issuer: str, epoch: int, sequence: int) -> bytes | None:
        """Return the leaf hash remembered under an identity, if it is."""
        sequences = self.epochs(issuer).get(epoch)
        return sequences.find(sequence) if sequences else None

    def epochs(self, issuer: str) -> dict[int, EpochSequences]:
        """Return the remembered epochs of a signer; empty for one never seen."""
        return self._signers.get(issuer, {})

    def to_bytes(self) -> bytes:
        """Encode everything as one CBOR item; equal memories give equal bytes."""
        return encode(
            [
                [
                    issuer,
                    self._floors.get(issuer, 0),
                    [
                        [
                            epoch,
                            s.next,
                            [list(r) for r in s.missing],
                            bytes(s.hashes),
                            [[q, h] for q, h in sorted(s.others.items())],
                        ]
                        for epoch, s in sorted(epochs.items())
                    ],
                ]
                for issuer, epochs in sorted(self._signers.items())
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "SignerSequences":
        """Decode what `to_bytes` gave; the caller has checked its hash."""
        self = cls()
        rows: Any = decode(data, size_max=len(data))
        for issuer, floor, epochs in rows:
            if floor:
                self._floors[issuer] = floor
            self._signers[issuer] = {
                epoch: EpochSequences(
                    following, [(a, b) for a, b in missing], bytearray(hashes), dict(others)
                )
                for epoch, following, missing, hashes, others in epochs
            }
        return self
