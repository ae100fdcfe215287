"""What is known of one quantity during a trip: its readings in order, and the gaps between them.

A gap is missing evidence, not a good value: two readings further apart than the profile allows, or between
which a statement of the same signer is missing. Time without a gap between two readings is taken to have run
from the one value to the other.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple, TypeAlias


class Reading(NamedTuple):
    """One value, and which statement it stands in: the signer's epoch and sequence, where it is signed.

    `logger` numbers the signers where one went on for another.
    """

    time_us: int
    value: Decimal
    epoch: int = 0
    sequence: int | None = None
    logger: int = 0


StatementPlace: TypeAlias = tuple[int, int, int]  # (logger, epoch, sequence)


class Missing(NamedTuple):
    """Sequences of one epoch, first to last, whose statements nobody has shown."""

    epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Trip:
    """What there is to judge: readings of each quantity, and when the trip began and ended, where known."""

    readings: dict[str, tuple[Reading, ...]]
    from_us: int | None = None
    to_us: int | None = None

    def span_us(self) -> tuple[int, int]:
        """Return begin and end; unless given, those of the first and last reading."""
        if self.from_us is not None and self.to_us is not None:
            return self.from_us, self.to_us
        times = [reading.time_us for readings in self.readings.values() for reading in readings]
        assert times, "a trip without any reading has its begin and its end given"
        return (
            min(times) if self.from_us is None else self.from_us,
            max(times) if self.to_us is None else self.to_us,
        )

    def sequences(self) -> list[StatementPlace]:
        """Return where all statements stand that are there, ascending."""
        return sorted(
            {
                (reading.logger, reading.epoch, reading.sequence)
                for readings in self.readings.values()
                for reading in readings
                if reading.sequence is not None
            }
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Time of which nothing is known, and the statements that would tell, as far as their numbers show."""

    from_us: int
    to_us: int
    missing: tuple[Missing, ...] = ()
    new_epoch: bool = False

    @property
    def length_us(self) -> int:
        """How long it is."""
        return self.to_us - self.from_us


@dataclass(frozen=True, slots=True)
class Series:
    """Readings ascending in time, [from, to] of the trip, and gaps by where they lie.

    `gaps[i]` is the gap before reading i; `gaps[len(readings)]` the one behind the last.
    """

    readings: tuple[Reading, ...]
    from_us: int
    to_us: int
    gaps: dict[int, Gap]

    def edge_us(self, index: int) -> int:
        """Return the time of a reading; of those before the first and behind the last, begin and end."""
        if index < 0:
            return self.from_us
        return self.readings[index].time_us if index < len(self.readings) else self.to_us


def series_of(
    readings: Iterable[Reading],
    span_us: tuple[int, int],
    sequences: Sequence[StatementPlace],
    interval_us: Callable[[Reading | None, Reading | None], int],
) -> Series:
    """Order the readings within the trip and find the gaps.

    Args:
        readings: Of one quantity, in any order.
        span_us: Begin and end of the trip; what was read outside is not of it.
        sequences: Of all statements that are there, of this quantity or not; ascending.
        interval_us: How far two neighbours may be apart; None stands for the trip's begin or end.
    """
    from_us, to_us = span_us
    inside = tuple(sorted((r for r in readings if from_us <= r.time_us <= to_us), key=reading_order))
    gaps: dict[int, Gap] = {}
    for index in range(len(inside) + 1):
        before = inside[index - 1] if index else None
        after = inside[index] if index < len(inside) else None
        gap = gap_between(before, after, span_us, sequences, interval_us)
        if gap:
            gaps[index] = gap
    return Series(inside, from_us, to_us, gaps)


def gap_between(
    before: Reading | None,
    after: Reading | None,
    span_us: tuple[int, int],
    sequences: Sequence[StatementPlace],
    interval_us: Callable[[Reading | None, Reading | None], int],
) -> Gap | None:
    """Return the gap between two neighbours, None where there is none; arguments as of `series_of`."""
    begin_us = before.time_us if before else span_us[0]
    end_us = after.time_us if after else span_us[1]
    missing, new_epoch = _unseen(before, after, sequences)
    if missing or new_epoch or end_us - begin_us > interval_us(before, after):
        return Gap(begin_us, end_us, missing, new_epoch)
    return None


def reading_order(reading: Reading) -> tuple[int, int, int, int, Decimal]:
    """Return what readings are ordered by."""
    sequence = -1 if reading.sequence is None else reading.sequence
    return reading.time_us, reading.logger, reading.epoch, sequence, reading.value


def _unseen(
    before: Reading | None, after: Reading | None, sequences: Sequence[StatementPlace]
) -> tuple[tuple[Missing, ...], bool]:
    """Return the sequences missing between two readings, and whether the signer lost its state there."""
    if before is None or after is None or before.sequence is None or after.sequence is None:
        return (), False
    if before.logger != after.logger:
        return (), False  # One went on for the other: only time tells whether anything is missing.
    if before.epoch != after.epoch:
        return (), True
    if after.sequence - before.sequence <= 1:
        return (), False
    first = bisect_left(sequences, (before.logger, before.epoch, before.sequence))
    last = bisect_right(sequences, (after.logger, after.epoch, after.sequence))
    there = [sequence for _, _, sequence in sequences[first:last]]
    pairs = pairwise(there)
    return tuple(Missing(before.epoch, a + 1, b - 1) for a, b in pairs if b - a > 1), False
