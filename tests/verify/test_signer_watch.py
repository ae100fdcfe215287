"""Gaps and clocks by themselves: how old a gap is, and where the bounds lie."""

import pytest

from pipeline.verify.reports import Level, Report
from pipeline.verify.signer_watch import ClockWatch, GapWatch
from pipeline.wire.reasons import Reason

DEVICE = "urn:dev:ops:32473-air-1"


def gap(what: str) -> Report:
    """What is said of a gap."""
    return Report(Level.WARNING, Reason.SEQUENCE_MISSING, f"{DEVICE} epoch 1 {what}", "not there")


def test_a_gap_is_said_when_it_is_older_than_is_allowed() -> None:
    """By one millisecond."""
    watch = GapWatch(60)
    watch.note(DEVICE, 1, [(3, 5), (7, 7)], 1_000)
    assert list(watch.reports(61_000)) == []
    assert list(watch.reports(61_001)) == [gap("sequences 3 to 5"), gap("sequence 7")]


@pytest.mark.parametrize(
    ("missing", "old"),
    [
        ([(3, 4), (10, 12)], ["sequences 3 to 4", "sequences 10 to 12"]),
        ([(5, 5), (10, 12)], ["sequence 5", "sequences 10 to 12"]),
        ([(4, 4), (10, 10), (12, 12)], ["sequence 4", "sequence 10", "sequence 12"]),
        ([(1, 2), (3, 5), (10, 12)], ["sequences 3 to 5", "sequences 10 to 12"]),
        ([(3, 5), (10, 12), (14, 20)], ["sequences 3 to 5", "sequences 10 to 12"]),
        ([(3, 12)], []),
    ],
)
def test_a_part_of_a_gap_is_as_old_as_the_whole_was(missing: list[tuple[int, int]], old: list[str]) -> None:
    """Of the gap that it lies in, and of no other; what lies in none begins now."""
    watch = GapWatch(60)
    watch.note(DEVICE, 1, [(3, 5)], 0)
    watch.note(DEVICE, 1, [(3, 5), (10, 12)], 1_000)
    watch.note(DEVICE, 1, missing, 50_000)
    assert list(watch.reports(61_001)) == [gap(what) for what in old]
    of_the_first = [what for what in old if what.split()[1] in {"3", "4", "5"}]
    assert list(watch.reports(60_001)) == [gap(what) for what in of_the_first]


def test_what_is_missing_no_more_is_forgotten() -> None:
    """What is kept are gaps."""
    watch = GapWatch(60)
    watch.note(DEVICE, 1, [(3, 5)], 0)
    watch.note(DEVICE, 1, [], 1_000)
    watch.note(DEVICE, 2, [], 1_000)
    assert watch.rows() == []


@pytest.mark.parametrize(
    ("newest_s", "detail"),
    [
        (1_000, None),
        (1_000.25, None),
        (1_001, "0:00:01 ahead"),
        (1_090, "0:01:30 ahead"),
        (899.75, None),
        (899, "0:00:01 behind: a clock, or late"),
    ],
)
def test_a_clock_is_wrong_beyond_what_is_allowed(newest_s: float, detail: str | None) -> None:
    """Ahead of the last arrival, or behind the first, by more than a quarter of a second."""
    watch = ClockWatch(0.25)
    watch.note(DEVICE, newest_s, 900_000, 1_000_000)
    said = [] if detail is None else [Report(Level.WARNING, Reason.CLOCK_SKEW, DEVICE, detail)]
    assert list(watch.reports()) == said
    watch.note(DEVICE, 950, 900_000, 1_000_000)
    assert list(watch.reports()) == []
