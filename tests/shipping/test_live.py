"""The stream's judgement is the batch's, whatever the order and the pieces that readings come in."""

import random
import time
from decimal import Decimal

import pytest

from pipeline.commands.shipment_files import builtin_profiles
from pipeline.shipping.live import LiveTrip
from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Reading, Trip
from pipeline.shipping.verdict import judge
from tests.shipping.test_judge import MINUTE_US

PROFILES = {profile.name: profile for profile in builtin_profiles()}


def random_readings(draw: random.Random, profile: Profile) -> list[tuple[str, Reading]]:
    """Readings of a trip of up to two days: values wander, statements are lost, epochs begin."""
    found: list[tuple[str, Reading]] = []
    at, epoch, sequence = draw.randint(0, 9), 1, 0
    middles = {limit.quantity: float(limit.value) for limit in profile.limit}
    values = {quantity: middles[quantity] + draw.uniform(-3, 3) for quantity in middles}
    step = draw.choice([1, 2, 4, 5, 15])
    for _ in range(draw.randint(1, 240)):
        at += step if draw.random() < 0.95 else draw.randint(1, 90)
        if draw.random() < 0.02:
            epoch, sequence = epoch + 1, 0
        elif draw.random() < 0.5:
            sequence += 1 if draw.random() < 0.95 else draw.randint(2, 4)
        values = {quantity: value + draw.uniform(-1.5, 1.5) for quantity, value in values.items()}
        for quantity, value in values.items():
            if draw.random() < 0.9:
                shown = Decimal(f"{value:.1f}")
                found.append((quantity, Reading(at * MINUTE_US, shown, epoch, sequence)))
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", PROFILES)
def test_the_stream_comes_to_what_the_batch_comes_to(name: str, seed: int) -> None:
    """After every piece, in order, or some of it late: verdict, findings, excursions, gaps, all of it."""
    draw, profile = random.Random(f"{name} {seed}"), PROFILES[name]
    readings = random_readings(draw, profile)
    if draw.random() < 0.5:  # Some of it is late.
        readings.sort(
            key=lambda item: item[1].time_us + (draw.random() < 0.1) * draw.randint(0, 60) * MINUTE_US
        )
    live, taken = LiveTrip(profile, draw.choice([0, 5 * MINUTE_US])), 0
    while taken < len(readings):
        piece = draw.randint(1, 60)
        live.take(readings[taken : taken + piece])
        taken += piece
        there: dict[str, list[Reading]] = {}
        for quantity, reading in readings[:taken]:
            there.setdefault(quantity, []).append(reading)
        kept = {quantity: tuple(listed) for quantity, listed in there.items()}
        for end_us in (live.to_us, live.to_us + draw.randint(0, 2000) * MINUTE_US):
            assert live.judgement(end_us) == judge(Trip(kept, live.from_us, end_us), profile)


def test_a_long_trip_costs_no_more_than_its_readings() -> None:
    """Twice as many readings, one by one, take about twice as long: under four times."""
    profile = PROFILES["eu-gdp-2-8"]

    def cost_s(count: int) -> float:
        live = LiveTrip(profile, 0)
        readings = [("temperature", Reading(n * MINUTE_US, Decimal(5), 1, n)) for n in range(count)]
        begin_s = time.process_time()
        for reading in readings:
            live.take([reading])
        return time.process_time() - begin_s

    assert min(cost_s(20_000) for _ in range(3)) < 4 * min(cost_s(10_000) for _ in range(3))
