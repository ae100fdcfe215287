"""Completeness: that a signer's statements over a time span are all there, by what the signer itself signed.

Every statement names the leaf hash of the one before it. So sequences that follow on from one another and
link are all that the signer signed there, and a statement on either side of the span shows that nothing is
missing at its ends. A gap is named by its sequences; the statement behind it fixes the hash of the last one
missing, so that it can be filled later, and only by the true ones. Nothing is claimed behind the last
statement that is there.

A signer's clock is taken to run forward with its sequences. Memory grows with gaps, not with statements.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from pipeline.log.merkle import HASH_SIZE
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

RUNS_MAX = 1024  # Of sequences without a gap, in one epoch: as many gaps as the log admits.
NAMED_MAX = 1024  # Places of one kind that are named; more are only counted.
REMEMBERED = 32  # Leaf hashes at an epoch's end, to which the next epoch may link.

_NOTHING = bytes(HASH_SIZE)


class Opening(StrEnum):
    """What shows that nothing is missing at the span's beginning."""

    BRACKETED = "bracketed"  # A statement before the span.
    BEGINS = "begins"  # The first of an epoch, which names none before it.
    OPEN = "open"  # Nothing.


class Closing(StrEnum):
    """What shows that nothing is missing at the span's end."""

    BRACKETED = "bracketed"  # A statement behind the span.
    OPEN = "open"  # Nothing: the claim ends with the last statement.


class Link(StrEnum):
    """How an epoch begins where an earlier one is there."""

    LINKED = "linked"  # Its sequence 0 names one of the last statements of the epoch before.
    RESET = "reset"  # It names none: the signer had lost everything.
    ELSEWHERE = "elsewhere"  # It names a statement that is not among these.
    MISSING = "missing"  # Its sequence 0 is not there.


@dataclass(frozen=True, slots=True)
class Span:
    """POSIX microseconds, the first inside, the second outside; None: without a bound."""

    first_us: int | None = None
    end_us: int | None = None

    def holds(self, time_us: int) -> bool:
        """Tell whether a time lies inside."""
        return (self.first_us is None or time_us >= self.first_us) and (
            self.end_us is None or time_us < self.end_us
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences of an epoch that are not there, and the leaf hash that the last of them must have."""

    epoch: int
    first: int
    last: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """A statement's place among its signer's."""

    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class EpochStart:
    """How an epoch follows on from the one before it.

    Attributes:
        epoch: Which begins.
        link: What its first statement says about the statements before.
        overlaps: Whether the one before was still measuring when this one had begun: one key, two lives.
    """

    epoch: int
    link: Link
    overlaps: bool


@dataclass(frozen=True, slots=True)
class Completeness:
    """What is shown about one signer's statements over a span.

    Attributes:
        issuer: The signer.
        statements: How many are there, those at the span's ends and equivocations with them.
        first: The first place that is there, None where there is none.
        last: The last one.
        proven_until_us: Nothing is claimed behind this time, that of the last record.
        opening: The span's beginning.
        closing: The span's end.
        gaps: What is missing in between.
        breaks: Statements whose `previous` is not the leaf hash of the one before them: one of the two was
            not signed in this order by an honest signer.
        equivocations: Places with more than one statement.
        epochs: Every epoch but the first that is there.
        unnamed: How many more breaks and equivocations there are than are named.
    """

    issuer: str
    statements: int
    first: Place | None
    last: Place | None
    proven_until_us: int | None
    opening: Opening
    closing: Closing
    gaps: tuple[Gap, ...]
    breaks: tuple[Place, ...]
    equivocations: tuple[Place, ...]
    epochs: tuple[EpochStart, ...]
    unnamed: int

    @property
    def unbroken(self) -> bool:
        """Tell whether from the first place to the last one nothing is missing and nothing contradicts."""
        return not (self.gaps or self.breaks or self.equivocations) and all(
            start.link is Link.LINKED and not start.overlaps for start in self.epochs
        )

    @property
    def complete(self) -> bool:
        """Tell whether all that the signer signed in the span is there."""
        brackets = self.opening is not Opening.OPEN and self.closing is Closing.BRACKETED
        return brackets and self.unbroken


@dataclass(slots=True)
class _Run:
    """Sequences without a gap: the first with what it names as its previous, the last with its leaf hash."""

    first: int
    last: int
    previous: bytes
    tip: bytes


@dataclass(slots=True)
class _Epoch:
    """One epoch's statements. `low` and `high` are the times (µs) of the first and the last sequence's."""

    runs: list[_Run] = field(default_factory=list[_Run])
    recent: deque[bytes] = field(default_factory=lambda: deque[bytes](maxlen=REMEMBERED))
    breaks: list[int] = field(default_factory=list[int])
    equivocations: list[int] = field(default_factory=list[int])
    unnamed: int = 0
    first_us: int = 0
    last_us: int = 0
    low_last_us: int = 0
    high_first_us: int = 0
    high_last_us: int = 0

    def add(self, sequence: int, previous: bytes, leaf_hash: bytes, first_us: int, last_us: int) -> None:
        runs = self.runs
        if not runs:
            runs.append(_Run(sequence, sequence, previous, leaf_hash))
            self.first_us, self.last_us = first_us, last_us
            self.low_last_us, self.high_first_us, self.high_last_us = last_us, first_us, last_us
        elif sequence == (run := runs[-1]).last + 1:  # The usual case.
            if previous != run.tip:
                self._name(self.breaks, sequence)
            run.last, run.tip = sequence, leaf_hash
            self.high_first_us, self.high_last_us = first_us, last_us
        elif not self._insert(sequence, previous, leaf_hash):
            self._name(self.equivocations, sequence)
            return
        elif sequence == runs[0].first:
            self.low_last_us = last_us
        elif sequence == runs[-1].last:
            self.high_first_us, self.high_last_us = first_us, last_us
        self.recent.append(leaf_hash)
        self.first_us = min(self.first_us, first_us)
        self.last_us = max(self.last_us, last_us)

    def add_equivocation(self, sequence: int) -> None:
        """Note a second statement at a place."""
        self._name(self.equivocations, sequence)

    def _insert(self, sequence: int, previous: bytes, leaf_hash: bytes) -> bool:
        """Put a statement out of order where it belongs; False where there is one already."""
        runs = self.runs
        at = bisect_right(runs, sequence, key=lambda run: run.first)
        before = runs[at - 1] if at else None
        behind = runs[at] if at < len(runs) else None
        if before and sequence <= before.last:
            return False
        run = _Run(sequence, sequence, previous, leaf_hash)
        if before and before.last + 1 == sequence:
            at -= 1
            self._join(before, run)
            run = runs.pop(at)
        if behind and sequence + 1 == behind.first:
            self._join(run, behind)
            runs.pop(at)
        if len(runs) >= RUNS_MAX:
            raise VerificationError(Reason.SEQUENCE_GAPS, f"{RUNS_MAX} gaps at sequence {sequence}")
        runs.insert(at, run)
        return True

    def _join(self, run: _Run, behind: _Run) -> None:
        """Extend a run by the one right behind it."""
        if behind.previous != run.tip:
            self._name(self.breaks, behind.first)
        run.last, run.tip = behind.last, behind.tip

    def _name(self, places: list[int], sequence: int) -> None:
        if len(places) < NAMED_MAX:
            places.append(sequence)
        else:
            self.unnamed += 1

    def gaps(self, epoch: int) -> Iterator[Gap]:
        """Yield what is missing between the runs."""
        for run, behind in pairwise(self.runs):
            yield Gap(epoch, run.last + 1, behind.first - 1, behind.previous)


class SignerStatements:
    """One signer's statements, in any order, and what they show."""

    __slots__ = ("_epochs", "_issuer", "statements")

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._epochs: dict[int, _Epoch] = {}
        self.statements = 0

    def add(
        self, epoch: int, sequence: int, previous: bytes, leaf_hash: bytes, first_us: int, last_us: int
    ) -> None:
        """Add a statement with the times of its earliest and latest record.

        Raises:
            VerificationError: SEQUENCE_GAPS, where there are too many gaps to remember.
        """
        self.statements += 1
        chain = self._epochs.get(epoch)
        if chain is None:
            chain = self._epochs[epoch] = _Epoch()
        chain.add(sequence, previous, leaf_hash, first_us, last_us)

    def add_equivocation(self, epoch: int, sequence: int) -> None:
        """Add a statement that stands under an identity which has another one already."""
        self.statements += 1
        self._epochs.setdefault(epoch, _Epoch()).add_equivocation(sequence)

    def over(self, span: Span) -> Completeness:
        """Return what is shown about the span."""
        numbers = sorted(self._epochs)
        epochs = [self._epochs[number] for number in numbers]
        held = [(number, chain) for number, chain in zip(numbers, epochs, strict=True) if chain.runs]
        (low, first), (high, last) = (held[0], held[-1]) if held else ((0, None), (0, None))
        gaps = [gap for number, chain in held for gap in chain.gaps(number)]
        gaps += [
            Gap(number, 0, chain.runs[0].first - 1, chain.runs[0].previous)
            for number, chain in held[1:]
            if chain.runs[0].first
        ]
        return Completeness(
            issuer=self._issuer,
            statements=self.statements,
            first=Place(low, first.runs[0].first) if first else None,
            last=Place(high, last.runs[-1].last) if last else None,
            proven_until_us=last.high_last_us if last else None,
            opening=_opening(first, span),
            closing=_closing(last, span),
            gaps=tuple(sorted(gaps, key=lambda gap: (gap.epoch, gap.first))),
            breaks=tuple(Place(n, s) for n, chain in zip(numbers, epochs, strict=True) for s in chain.breaks),
            equivocations=tuple(
                Place(n, s) for n, chain in zip(numbers, epochs, strict=True) for s in chain.equivocations
            ),
            epochs=tuple(_start_of(*pair) for pair in pairwise(held)),
            unnamed=sum(chain.unnamed for chain in epochs),
        )


def _opening(first: _Epoch | None, span: Span) -> Opening:
    if first is None:
        return Opening.OPEN
    if span.first_us is not None and first.low_last_us < span.first_us:
        return Opening.BRACKETED
    begins = first.runs[0].first == 0 and first.runs[0].previous == _NOTHING
    return Opening.BEGINS if begins else Opening.OPEN


def _closing(last: _Epoch | None, span: Span) -> Closing:
    bracketed = last is not None and span.end_us is not None and last.high_first_us >= span.end_us
    return Closing.BRACKETED if bracketed else Closing.OPEN


def _start_of(before: tuple[int, _Epoch], epoch: tuple[int, _Epoch]) -> EpochStart:
    number, chain = epoch
    first = chain.runs[0]
    if first.first:
        link = Link.MISSING
    elif first.previous == _NOTHING:
        link = Link.RESET
    else:
        link = Link.LINKED if first.previous in before[1].recent else Link.ELSEWHERE
    return EpochStart(number, link, overlaps=before[1].last_us > chain.first_us)
