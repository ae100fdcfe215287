"""Traffic: no vehicle is lost or made, signals give way to one direction at a time, queues obey demand."""

import numpy as np
import pytest

from devices.world import emissions
from devices.world.traffic import CYCLE_S, LANES, SATURATION_LANE_S, STEP_S, Traffic, demand_curve

MONDAY_6_LOCAL_S = 1_773_007_200.0  # 2026-03-08T22:00Z.


def test_arrivals_are_departures_and_queue() -> None:
    """At every minute of a morning: vehicles entered = vehicles that left + vehicles inside."""
    traffic = Traffic(3, MONDAY_6_LOCAL_S, 1.35)
    for minute in range(180):
        traffic.advance(MONDAY_6_LOCAL_S + 60.0 * minute)
        assert traffic.entered == traffic.left + traffic.vehicles_inside()
        assert (traffic._queue >= 0).all()
        assert (traffic._coming >= 0).all()
    assert traffic.left > 10_000


def test_one_direction_at_a_time_has_green() -> None:
    """North-south and east-west never have green together, nor through and left of one side."""
    traffic = Traffic(3, MONDAY_6_LOCAL_S, 1.0)
    some = np.zeros(traffic._queue.shape, dtype=bool)
    for step in range(int(3 * CYCLE_S / STEP_S)):
        green = traffic._signals(MONDAY_6_LOCAL_S + step * STEP_S)
        some |= green
        assert (green.any(axis=1).sum(axis=1) <= 1).all()  # One lane group at most,
        assert not (green[:, (0, 2)].any(axis=(1, 2)) & green[:, (1, 3)].any(axis=(1, 2))).any()  # one axis.
    assert some.all()


def test_nobody_passes_faster_than_saturation_allows() -> None:
    """In an hour of far too much demand, an approach serves no more than saturation flow times green."""
    traffic = Traffic(5, MONDAY_6_LOCAL_S, 2.0)
    passed, green_s = 0.0, 0.0
    for minute in range(60):
        rows, _, _ = traffic.advance(MONDAY_6_LOCAL_S + 7200.0 + 60.0 * minute)
        values = dict(rows)["j06-w"]
        passed += values["vehicles"]
        green_s += values["green_time"]
    left_green_s = 60 * 60.0 / CYCLE_S * 10.0
    assert passed <= SATURATION_LANE_S * (LANES[0] * green_s + LANES[1] * left_green_s) * 1.05


def test_more_demand_than_green_makes_a_queue() -> None:
    """A third more vehicles make longer queues and slower streets in the peak."""
    queues = []
    for demand in (1.0, 1.35):
        traffic = Traffic(4, MONDAY_6_LOCAL_S, demand)
        total = 0.0
        for minute in range(150):
            rows, _, _ = traffic.advance(MONDAY_6_LOCAL_S + 60.0 * minute)
            total += sum(values["queue"] for _, values in rows)
        queues.append(total)
    assert queues[1] > 1.5 * queues[0]


def test_driven_kilometres_are_those_of_the_vehicles() -> None:
    """What streets count as driven fits the vehicles: more than one kilometre each, fewer than nine."""
    traffic = Traffic(6, MONDAY_6_LOCAL_S, 1.0)
    began = traffic.entered
    driven = sum(float(traffic.advance(MONDAY_6_LOCAL_S + 60.0 * m)[1].sum()) for m in range(120))
    vehicles = traffic.entered - began
    assert 1.0 < driven / vehicles < 9.0


def test_a_silent_minute_has_no_speed() -> None:
    """Where nobody passed there is no speed, and where somebody did it is between a crawl and free flow."""
    traffic = Traffic(7, MONDAY_6_LOCAL_S - 4 * 3600.0, 1.0)
    seen = {"with": 0, "without": 0}
    for minute in range(30):
        rows, _, _ = traffic.advance(MONDAY_6_LOCAL_S - 4 * 3600.0 + 60.0 * minute)
        for _, values in rows:
            assert ("speed" in values) == (values["vehicles"] > 0)
            seen["with" if "speed" in values else "without"] += 1
            assert 4.0 <= values.get("speed", 10.0) <= 13.0
    assert min(seen.values()) > 50


@pytest.mark.parametrize(
    ("hour", "low", "high"), [(0.0, 0.0, 0.3), (8.0, 0.85, 1.1), (13.0, 0.4, 0.7), (18.0, 0.85, 1.1)]
)
def test_the_day_has_two_peaks(hour: float, low: float, high: float) -> None:
    """Demand on a Tuesday in local time."""
    tuesday_s = 1_772_496_000.0 - 8 * 3600.0  # 2026-03-03, 00:00 in the district.
    assert low <= demand_curve(tuesday_s + 3600.0 * hour) <= high


def test_weekends_have_none() -> None:
    """On a Saturday at eight the streets are emptier than on a Tuesday."""
    tuesday_s = 1_772_496_000.0
    assert demand_curve(tuesday_s + 4 * 86_400.0) < 0.5 * demand_curve(tuesday_s)


def test_emissions_are_linear_in_what_is_driven_and_stood() -> None:
    """Twice the kilometres and minutes are twice the grams; a kilometre emits what the table says."""
    one = emissions.street_rates(0.0, np.array([2.0, 0.0]), np.array([0.0, 3.0]))
    two = emissions.street_rates(0.0, np.array([4.0, 0.0]), np.array([0.0, 6.0]))
    for a, b in zip(one, two, strict=True):
        assert {s: pytest.approx(2.0 * rate) for s, rate in a.items()} == b
    heavy = emissions.heavy_share(0.0)
    light_g, heavy_g = emissions.DRIVING_G_KM["no"]
    assert one[0]["no"] == pytest.approx(2.0 * ((1.0 - heavy) * light_g + heavy * heavy_g) / 60.0)
