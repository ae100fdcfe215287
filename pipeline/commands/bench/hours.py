"""The week at METEC with no hours given: which releases are found, when, and what else is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from pipeline.commands.bench.trials import Trial
from pipeline.tracing.detection import Detection, detect

# Gas that no list explains (measured: 285 min above 1 ppm, SE up to 70 ppm; 47 min, up to 7 ppm).
UNLISTED = (("2022-05-11T02:30:00", "2022-05-11T16:30:00"), ("2022-05-12T08:00:00", "2022-05-12T12:00:00"))
OVERLAP = 0.5

Hours = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Match:
    """One release, and the detection that fits it best."""

    name: str
    overlap: float  # Of both hours, in what either covers
    covered: float  # Part of the release that any detection covers
    onset_error_s: float
    end_error_s: float
    onset_held: bool  # The 90 % interval has the onset


@dataclass(frozen=True, slots=True)
class Week:
    """How detection went."""

    releases: tuple[Match, ...]
    further: tuple[
        tuple[str, str, float, bool], ...
    ]  # From, to, ln e-value, whether in a spell of unlisted gas
    false_alarms: int
    off_hours: float
    seconds: float  # Of the processor


def score_hours(trials: Sequence[Trial]) -> Week:
    """Detect releases in all that was read, and compare with the list."""
    seen, wind = trials[0].observations, trials[0].wind
    begin, end = float(seen.start_s.min()), float((seen.start_s + seen.interval_s).max())
    began = time.process_time()
    found = detect(seen, wind, replace(trials[0].settings, from_s=begin, to_s=end)).found
    seconds = time.process_time() - began
    listed = [(trial.settings.from_s, trial.settings.to_s) for trial in trials]
    unlisted = [(_seconds(first), _seconds(last)) for first, last in UNLISTED]
    further = [one for one in found if not any(_shared(_hours(one), hours) for hours in listed)]
    inside = [any(_shared(_hours(one), hours) for hours in unlisted) for one in further]
    return Week(
        tuple(_match(trial, found) for trial in trials),
        tuple(
            (_iso(one.onset.median), _iso(one.end.median), one.log_e, known)
            for one, known in zip(further, inside, strict=True)
        ),
        sum(not known for known in inside),
        (end - begin - _length([*listed, *unlisted])) / 3600.0,
        seconds,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat(timespec="minutes")


def _hours(one: Detection) -> Hours:
    return one.onset.median, one.end.median


def _shared(a: Hours, b: Hours) -> float:
    return max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)


def _length(spells: Sequence[Hours]) -> float:
    """Return how long the union of spells is."""
    total, reached = 0.0, -np.inf
    for first, last in sorted(spells):
        total += max(last - max(first, reached), 0.0)
        reached = max(reached, last)
    return total


def _match(trial: Trial, found: Sequence[Detection]) -> Match:
    hours = trial.settings.from_s, trial.settings.to_s

    def overlap(one: Detection) -> float:
        shared = _shared(_hours(one), hours)
        return shared / (_length([_hours(one), hours]) if shared else 1.0)

    best = max(found, key=overlap, default=None)
    if best is None or overlap(best) == 0.0:
        return Match(trial.name, 0.0, 0.0, np.nan, np.nan, onset_held=False)
    return Match(
        trial.name,
        overlap(best),
        sum(_shared(_hours(one), hours) for one in found) / (hours[1] - hours[0]),
        best.onset.median - hours[0],
        best.end.median - hours[1],
        best.onset.low <= hours[0] <= best.onset.high,
    )


def lines(week: Week) -> list[str]:
    """Return what people are told."""
    found = [one for one in week.releases if one.overlap >= OVERLAP]
    covered = sum(one.covered >= OVERLAP for one in week.releases)
    onset = np.median([abs(one.onset_error_s) for one in found]) / 60.0 if found else np.nan
    end = np.median([abs(one.end_error_s) for one in found]) / 60.0 if found else np.nan
    held = sum(one.onset_held for one in found)
    head = f"ADED 2022, no hours given: {len(found)} of {len(week.releases)} found"
    alarms = f"{week.false_alarms} false alarms in {week.off_hours:.1f} h"
    said = [
        f"{head} (half of what either covers is shared; {covered} if half of the release counts)",
        f"  onset within {onset:.1f} min, end within {end:.1f} min (medians), {held} in its 90 % interval",
        f"  {alarms} without releases or unlisted gas; {week.seconds:.1f} s; further detections:",
    ]
    return said + [
        f"    {first} to {last}, e^{log_e:.1f}{', unlisted gas' if known else ''}"
        for first, last, log_e, known in week.further
    ]
