"""Our judge against the slow one, on random trips with random gaps."""

import random
from collections import Counter
from decimal import Decimal

import pytest

from pipeline.shipping.budget import budget_used
from pipeline.shipping.excursions import find_excursions
from pipeline.shipping.freeze_thaw import count_cycles
from pipeline.shipping.profile import Band, FreezeThaw, Interval, Limit, Profile, Recording, Severity, Words
from pipeline.shipping.series import Reading, Series, Trip, series_of
from pipeline.shipping.verdict import judge
from tests.shipping import reference

MINUTE_US = 60_000_000
TRIPS_A_SEED = 500  # Twenty seeds: 10,000 trips.
EDGES = {">": (8.0, lambda v: v > 8), ">=": (8.0, lambda v: v >= 8), "<": (2.0, lambda v: v < 2)}


def random_trip(draw: random.Random) -> tuple[list[reference.Reading], int, int, int]:
    """Return readings, begin, end and interval: values wander, statements get lost, loggers die."""
    interval = draw.choice([1, 2, 5])
    length = draw.randint(1, 45)
    begin = draw.choice([0, 0, draw.randint(-8, 0)])
    value, minute, readings = draw.choice([5.0, 8.0, 1.0, 9.0]), 0, []
    losing = draw.choice([0.0, 0.02, 0.2])
    for sequence in range(length):
        readings.append((minute, value, sequence))
        minute += draw.choice([interval, interval, interval, interval + draw.choice([0, 0, 1, 9]), 1])
        value = min(max(value + draw.choice([-3.0, -1.0, 0.0, 0.0, 1.0, 3.0]), -3.0), 14.0)
    kept = [reading for reading in readings if draw.random() >= losing] or readings[:1]
    if draw.random() < 0.2:
        dies = draw.randrange(len(kept))
        kept = kept[:dies] + kept[dies + draw.randint(1, 9) :] or kept[:1]
    end = draw.choice([kept[-1][0], kept[-1][0] + draw.randint(0, 12)])
    return kept, min(begin, kept[0][0]), end, interval


def ours(readings: list[reference.Reading]) -> tuple[Reading, ...]:
    return tuple(Reading(m * MINUTE_US, Decimal(str(v)), 0, sequence) for m, v, sequence in readings)


def profile_of(limit: Limit, interval: int) -> Profile:
    return Profile(
        name="test",
        title=Words(en="test", zh="测试"),
        source="a test",
        recording=Recording(trips=(Interval(interval_s=interval * 60),)),
        limit=(limit,),
        digest="0" * 64,
    )


def series(readings: list[reference.Reading], begin: int, end: int, interval: int) -> Series:
    given = ours(readings)
    sequences = [(reading.logger, reading.epoch, reading.sequence or 0) for reading in given]
    span_us = (begin * MINUTE_US, end * MINUTE_US)
    return series_of(given, span_us, sequences, lambda _before, _after: interval * MINUTE_US)


@pytest.mark.parametrize("seed", range(20))
def test_the_judge_agrees_with_the_definition(seed: int) -> None:
    """Durations and verdicts of 500 trips a seed; undetermined exactly where bounds straddle the limit."""
    draw, verdicts = random.Random(seed), Counter[str]()
    for _ in range(TRIPS_A_SEED):
        readings, begin, end, interval = random_trip(draw)
        when = draw.choice(list(EDGES))
        edge, outside = EDGES[when]
        gaps = reference.unknown(readings, begin, end, interval)
        painted = reference.paint(readings, begin, end, gaps, outside)
        expected = reference.bounds(painted, begin)
        kind = draw.choice(["single", "cumulative"])
        limit_min = draw.choice([0, 1, 3, 8, 20, max(expected[kind]), min(expected[kind])])

        limit = Limit.model_validate(
            {
                "quantity": "temperature",
                "when": when,
                "value": str(edge),
                "severity": Severity.MAJOR,
                f"{kind}_s": limit_min * 60,
            }
        )
        trip = Trip({"temperature": ours(readings)}, begin * MINUTE_US, end * MINUTE_US)
        judgement = judge(trip, profile_of(limit, interval))
        found = find_excursions(series(readings, begin, end, interval), limit)

        assert [us / MINUTE_US for us in found.single_us] == list(expected["single"])
        assert [us / MINUTE_US for us in found.cumulative_us] == list(expected["cumulative"])
        assert judgement.verdict == reference.verdict(painted, *expected[kind], limit_min)
        verdicts[judgement.verdict] += 1
    assert min(verdicts[name] for name in ("in_limits", "breach", "undetermined")) > TRIPS_A_SEED // 20


@pytest.mark.parametrize("seed", range(4))
def test_budgets_and_cycles_agree_with_the_definition(seed: int) -> None:
    """Bands add up exactly; cycles are counted with hysteresis, and a gap hides as many as fit."""
    draw = random.Random(1000 + seed)
    bands = [Band(from_cel=Decimal(8), budget_s=3600), Band(from_cel=Decimal(11), budget_s=600)]
    rule = FreezeThaw(frozen_cel=Decimal(0), thawed_cel=Decimal(3), cycles_max=0, shortest_s=240)
    for _ in range(TRIPS_A_SEED):
        readings, begin, end, interval = random_trip(draw)
        known = series(readings, begin, end, interval)
        gaps = reference.unknown(readings, begin, end, interval)
        hidden = sum(gap.length_us // MINUTE_US // 4 for gap in known.gaps.values())
        thawed = reference.cycles(readings, 0.0, 3.0)

        assert sum(gap.length_us for gap in known.gaps.values()) == sum(gaps) * MINUTE_US
        assert budget_used(known, bands) == reference.budget(readings, begin, end, gaps, [(8, 60), (11, 10)])
        assert count_cycles(known, rule) == (thawed, thawed + hidden)
