"""`cityproof bench fleet`: trucks for days, judged by what their loggers read, and held against the truth.

Compressors break, loggers die, doors are left open. The truth is known to the world's process alone and read
here for scoring only. What is within the sensors' accuracy of a limit is neither to be found nor false.
"""

import csv
import json
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import exp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.shipping.alarms import Alarm, AlarmWatch, Phase
from pipeline.shipping.live import LiveTrip
from pipeline.shipping.profile import Profile, parse_profile
from pipeline.shipping.series import Reading, Trip
from pipeline.shipping.verdict import Judgement, Verdict, judge
from pipeline.wire.errors import UnavailableError

MINUTE_S = 60
RESPONSE_S = 90.0  # Of the loggers, by their data sheet: what is over before they felt it cannot be found.
TOLERANCE_S = 300  # Between what was true and what was felt and packed of it.
SILENT_S = 3600  # A logger is dead that says nothing for so long at the end.
ACCURACY = 1.5  # Times the enrolled half-width, which holds 95 % of loggers and not all.

PROFILE = """
name = "bench"
title = {{ en = "Bench", zh = "测试" }}
source = "The ranges of the simulated trucks; recording by EN 12830."
recording.trips = [
  {{ trip_below_s = 86_400, interval_s = 300 }},
  {{ trip_below_s = 604_801, interval_s = 900 }},
  {{ interval_s = 3600 }},
]
limit = [
  {{ quantity = "temperature", when = "<", value = {low}, severity = "critical", single_s = 0 }},
  {{ quantity = "temperature", when = ">", value = {high}, severity = "critical", single_s = 0 }},
]
"""


@dataclass(frozen=True, slots=True)
class Truck:
    """One truck: its limits, what was true minute by minute, what its logger read."""

    name: str
    low_cel: float
    high_cel: float
    accuracy_cel: float
    start_s: float
    air_cel: Sequence[float]
    readings: Sequence[Reading]

    @property
    def end_us(self) -> int:
        """When its trip ended."""
        return int((self.start_s + (len(self.air_cel) - 1) * MINUTE_S) * 1e6)

    @property
    def dead(self) -> bool:
        """Whether its logger said nothing any more at the end."""
        return not self.readings or self.end_us - self.readings[-1].time_us > SILENT_S * 1_000_000

    def profile(self) -> Profile:
        """Return its limits as a profile."""
        return parse_profile(PROFILE.format(low=self.low_cel, high=self.high_cel).encode(), "the bench")

    def beyond(self, margin_cel: float, values: Sequence[float]) -> list[tuple[float, float]]:
        """Return (begin, end) in seconds of every time beyond the limits by more than a margin."""
        found: list[tuple[float, float]] = []
        lasting: float | None = None
        for minute, value in enumerate(values):
            time_s = self.start_s + minute * MINUTE_S
            outside = value > self.high_cel + margin_cel or value < self.low_cel - margin_cel
            if outside and lasting is None:
                lasting = time_s
            elif not outside and lasting is not None:
                found.append((lasting, time_s - MINUTE_S))
                lasting = None
        if lasting is not None:
            found.append((lasting, self.start_s + (len(values) - 1) * MINUTE_S))
        return found

    def felt(self) -> list[float]:
        """Return what a sensor that lags behind the air feels, without any error of its own."""
        keep, felt, state = exp(-MINUTE_S / RESPONSE_S), [], self.air_cel[0]
        for value in self.air_cel:
            felt.append(state)
            state = value + (state - value) * keep
        return felt


@dataclass(slots=True)
class Score:
    """How the fleet was judged."""

    trucks: int = 0
    points: int = 0
    verdicts: Counter[str] = field(default_factory=Counter[str])
    excursions: int = 0
    found: int = 0
    unheard: int = 0
    false_breaches: int = 0
    dead: int = 0
    dead_undetermined: int = 0
    dead_breach: int = 0
    dead_in_limits: int = 0
    alarms: int = 0
    warned: int = 0
    leads_s: list[float] = field(default_factory=list[float])
    vain_warnings: int = 0
    open_alarms_of_dead: int = 0
    differing: int = 0
    judging_s: float = 0.0
    watching_s: float = 0.0


def run(trucks: int, hours: float, seed: int, *, as_json: bool) -> int:
    """Judge the fleet. Exit 0: all found, no false breach, no dead logger in limits; 1: not so."""
    score = Score()
    with TemporaryDirectory() as folder:
        for truck in sense(Path(folder), trucks, hours, seed):
            take(score, truck)
    rows = report(score, hours)
    if as_json:
        print(json.dumps(rows))
    else:
        for name, value in rows.items():
            print(f"{name:<42} {value}")
    whole = score.found == score.excursions and not score.false_breaches and not score.dead_in_limits
    return 0 if whole and not score.differing else 1


def sense(folder: Path, trucks: int, hours: float, seed: int) -> Iterator[Truck]:
    """Run the world and the loggers in processes of their own, and yield each truck.

    Raises:
        UnavailableError: They ended with an error.
    """
    truth_file, table = folder / "truth.json", folder / "readings.csv"
    arguments = ("--trucks", trucks, "--hours", hours, "--seed", seed, "--truth", truth_file)
    with table.open("wb") as out:
        command = [sys.executable, "-m", "devices.fleet_readings", *map(str, arguments)]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, check=False).returncode:
            raise UnavailableError("the simulated fleet", "it ended with an error")
    readings: dict[str, list[Reading]] = {}
    accuracies: dict[str, float] = {}
    with table.open(encoding="utf-8", newline="") as lines:
        for logger, accuracy_cel, time_s, sequence, value in csv.reader(lines):
            accuracies[logger] = float(accuracy_cel)
            reading = Reading(int(float(time_s) * 1e6), Decimal(value), 1, int(sequence))
            readings.setdefault(logger, []).append(reading)
    truth: dict[str, Any] = json.loads(truth_file.read_text(encoding="utf-8"))
    series = list(zip(*truth["air_cel"], strict=True))
    for number, (logger, limits) in enumerate(zip(truth["issuers"], truth["trucks"], strict=True)):
        low_cel, high_cel = limits["limits_cel"]
        yield Truck(
            logger, low_cel, high_cel, accuracies.get(logger, 0.0), truth["start_s"], series[number],
            readings.get(logger, []),
        )  # fmt: skip


def take(score: Score, truck: Truck) -> None:
    """Judge a truck, and score it."""
    profile = truck.profile()
    start_us = int(truck.start_s * 1e6)
    begin_s = time.perf_counter()
    judgement = judge(Trip({"temperature": tuple(truck.readings)}, start_us, truck.end_us), profile)
    score.judging_s += time.perf_counter() - begin_s
    score.trucks += 1
    score.points += len(truck.readings)
    score.verdicts[judgement.verdict] += 1
    _score_excursions(score, truck, judgement)
    if truck.dead:
        score.dead += 1
        score.dead_undetermined += judgement.verdict is Verdict.UNDETERMINED
        score.dead_breach += judgement.verdict is Verdict.BREACH
        score.dead_in_limits += judgement.verdict is Verdict.IN_LIMITS
    begin_s = time.perf_counter()
    live = LiveTrip(profile, start_us)
    watch = AlarmWatch(truck.name, (truck.name,), live)
    alarms = [alarm for reading in truck.readings for alarm in watch.take([("temperature", reading)], None)]
    score.watching_s += time.perf_counter() - begin_s
    score.differing += live.judgement(truck.end_us) != judgement
    _score_alarms(score, truck, alarms)


def _score_excursions(score: Score, truck: Truck, judgement: Judgement) -> None:
    """Score what was found beside what was true."""
    margin_cel = ACCURACY * truck.accuracy_cel
    heard_s = [reading.time_us / 1e6 for reading in truck.readings]
    claimed = [(one.first_us / 1e6, one.last_us / 1e6) for one in judgement.excursions]
    for begin_s, end_s in truck.beyond(margin_cel, truck.felt()):
        if bisect_right(heard_s, end_s) == bisect_left(heard_s, begin_s):
            score.unheard += 1  # The logger was dead: nobody can have found it, and the verdict says so.
            continue
        score.excursions += 1
        score.found += any(first <= end_s and begin_s <= last for first, last in claimed)
    nearly = truck.beyond(-margin_cel, truck.air_cel)
    for first, last in claimed:
        score.false_breaches += not any(
            begin_s - TOLERANCE_S <= last and first <= end_s + TOLERANCE_S for begin_s, end_s in nearly
        )


def _score_alarms(score: Score, truck: Truck, alarms: Sequence[Alarm]) -> None:
    """Score warnings: how long before its alarm each came, and which came in vain."""
    warnings: dict[str, Alarm] = {}
    lasting = 0
    for alarm in alarms:
        if alarm.phase is Phase.WARNING:
            score.vain_warnings += alarm.limit in warnings
            warnings[alarm.limit] = alarm
        elif alarm.phase is Phase.BEGUN:
            lasting += 1
            score.alarms += 1
            warning = warnings.pop(alarm.limit, None)
            if warning is not None:
                score.warned += 1
                score.leads_s.append((alarm.time_us - warning.time_us) / 1e6)
        else:
            lasting -= 1
    score.vain_warnings += len(warnings)
    score.open_alarms_of_dead += lasting if truck.dead else 0


def report(score: Score, hours: float) -> dict[str, Any]:
    """Return the figures by name."""
    leads = sorted(score.leads_s)
    return {
        "trucks": score.trucks,
        "hours": hours,
        "points": score.points,
        **{f"verdict {name.value}": score.verdicts[name] for name in Verdict},
        "excursions beyond the accuracy": score.excursions,
        "found": score.found,
        "excursions while the logger was dead": score.unheard,
        "false breaches": score.false_breaches,
        "dead loggers": score.dead,
        "dead loggers undetermined": score.dead_undetermined,
        "dead loggers with a breach before": score.dead_breach,
        "dead loggers in limits": score.dead_in_limits,
        "alarms left open by the dead": score.open_alarms_of_dead,
        "stream and batch differ": score.differing,
        "alarms": score.alarms,
        "alarms warned of before": score.warned,
        "warning lead p50, min": round(leads[len(leads) // 2] / 60, 1) if leads else None,
        "warning lead p10, min": round(leads[len(leads) // 10] / 60, 1) if leads else None,
        "warnings in vain, per truck and day": round(score.vain_warnings / score.trucks / (hours / 24), 2),
        "points judged per second": round(score.points / score.judging_s),
        "points watched per second": round(score.points / score.watching_s),
    }
