"""Trucks: their boxes obey hysteresis and heat, their days their streets, their faults the truth."""

from itertools import pairwise
from math import dist

import numpy as np
import pytest

from devices.world import district
from devices.world.routes import DAY_S, Routes, plan_day, street_path
from devices.world.scenarios import FleetPlan
from devices.world.trucks import BAND_K, CHILLED_CEL, Trucks

START_S = 1_784_070_000.0  # 2026-07-14T23:00Z, 07:00 in the district.
NIGHT_S = START_S - 5 * 3600.0


def run(
    trucks: Trucks, start_s: float, minutes: int, *, ambient_cel: float = 30.0
) -> list[dict[str, dict[str, float]]]:
    return [
        dict(trucks.advance(start_s + 60.0 * m, ambient_cel=ambient_cel, ambient_humidity=70.0, sun=0.5))
        for m in range(minutes)
    ]


def test_the_compressor_switches_at_its_two_edges_only() -> None:
    """It starts above set point + band, stops below set point - band, and does neither in between."""
    trucks = Trucks(1, NIGHT_S, FleetPlan())
    closed = np.zeros(12, dtype=bool)
    starts, stops = 0, 0
    for step in range(6 * 60 * 5):
        before, air = trucks._boxes.cooling.copy(), trucks._boxes.air_cel.copy()
        trucks._step(NIGHT_S + 10.0 * step, closed, 30.0, 70.0)
        above, below = air - trucks.set_point_cel > BAND_K, air - trucks.set_point_cel < -BAND_K
        started, stopped = ~before & trucks._boxes.cooling, before & ~trucks._boxes.cooling
        assert (started == (~before & above)).all()
        assert (stopped == (before & below)).all()
        starts, stops = starts + int(started.sum()), stops + int(stopped.sum())
    assert starts > 24
    assert stops > 24


def test_a_closed_sound_box_stays_within_its_band() -> None:
    """At night in the depot the air keeps to its set point, give or take band and overshoot."""
    trucks = Trucks(2, NIGHT_S, FleetPlan())
    for values in run(trucks, NIGHT_S, 200):
        for name, of_truck in values.items():
            point = trucks.set_point_cel[int(name[-3:]) - 1]
            assert abs(of_truck["temperature"] - point) < BAND_K + 1.0
    assert trucks.excursions == []


def test_heat_is_conserved_without_walls_or_cooling() -> None:
    """With an ambient at the box's own temperature, air and cargo only exchange what they have."""
    trucks = Trucks(3, NIGHT_S, FleetPlan(trucks=1))
    trucks._power_w[:] = 0.0
    trucks._wall_w_k[:] = 0.0
    trucks._boxes.air_cel[:], trucks._boxes.cargo_cel[:] = 10.0, 0.0
    heat = 3.6e5 * 10.0
    for step in range(2400):
        trucks._step(NIGHT_S + 10.0 * step, np.array([False]), 30.0, 70.0)
        now = 3.6e5 * trucks._boxes.air_cel[0] + 1.6e6 * trucks._boxes.cargo_cel[0]
        assert now == pytest.approx(heat, rel=1e-9)
    assert trucks._boxes.air_cel[0] == pytest.approx(trucks._boxes.cargo_cel[0], abs=0.1)


def test_an_open_door_warms_the_box() -> None:
    """Ten minutes of open doors on a hot day raise the air by more than a degree against closed ones."""
    warmed = []
    for door in (False, True):
        trucks = Trucks(4, NIGHT_S, FleetPlan(trucks=1))
        trucks._power_w[:] = 0.0
        for step in range(60):
            trucks._step(NIGHT_S + 10.0 * step, np.array([door]), 32.0, 70.0)
        warmed.append(float(trucks._boxes.air_cel[0]))
    assert warmed[1] > warmed[0] + 1.0


def test_a_failing_compressor_breaks_the_limit_and_only_there() -> None:
    """Within four hours a failing truck leaves its range for good; the sound ones do so in spikes only."""
    plan = FleetPlan(failing_compressors=2, onset_s=(1800.0, 3600.0))
    trucks = Trucks(5, START_S, plan)
    run(trucks, START_S, 300, ambient_cel=31.0)
    failing = {found.truck for found in trucks.breakdowns}
    assert len(failing) == 2
    lasting = {e.truck for e in trucks.excursions if e.end_s is None or e.end_s - e.start_s > 3600.0}
    assert lasting == failing
    for excursion in trucks.excursions:
        if excursion.truck in failing and excursion.end_s is None:
            onset_s = next(f.onset_s for f in trucks.breakdowns if f.truck == excursion.truck)
            assert excursion.start_s > onset_s


def test_a_dead_logger_says_nothing_more() -> None:
    """Its battery runs out and from then on the station is absent; the others stay."""
    trucks = Trucks(6, START_S, FleetPlan(dying_loggers=1, onset_s=(600.0, 1200.0)))
    (found,) = trucks.breakdowns
    name = f"truck-{found.truck + 1:03d}"
    series = run(trucks, START_S, 240)
    end = int((found.onset_s + found.duration_s - START_S) / 60.0)
    assert all(name in values for values in series[:end])
    assert not any(name in values for values in series[end:])
    assert all(len(values) == 11 for values in series[end:])
    levels = [values[name]["battery"] for values in series[:end]]
    assert levels == sorted(levels, reverse=True)


def test_a_door_left_open_is_open_as_long_as_the_truth_says() -> None:
    """From onset to end the door is open at every minute, and the box leaves its range."""
    trucks = Trucks(8, START_S, FleetPlan(doors_left_open=1, onset_s=(600.0, 1200.0)))
    (found,) = trucks.breakdowns
    name = f"truck-{found.truck + 1:03d}"
    series = run(trucks, START_S, 180)
    first, last = (int((t - START_S) / 60.0) for t in (found.onset_s, found.onset_s + found.duration_s))
    assert all(values[name]["door"] == 1.0 for values in series[first:last])
    assert all(values[name]["light"] > 100.0 for values in series[first:last])
    assert any(e.truck == found.truck for e in trucks.excursions)


def test_excursions_are_what_the_boxes_did() -> None:
    """Counted again from the values themselves, every stretch out of range is in the truth, with its peak."""
    trucks = Trucks(5, START_S, FleetPlan(failing_compressors=3, doors_left_open=2, onset_s=(600.0, 1200.0)))
    series = run(trucks, START_S, 240, ambient_cel=33.0)
    for truck in range(12):
        low, high = (2.0, 8.0) if trucks.set_point_cel[truck] == CHILLED_CEL else (-30.0, -15.0)
        air = np.array([values[f"truck-{truck + 1:03d}"]["temperature"] for values in series])
        out = (air < low) | (air > high)
        edges = np.diff(np.concatenate([[0], out.astype(int), [0]]))
        stretches = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
        told = [e for e in trucks.excursions if e.truck == truck]
        assert [(e.start_s - START_S) / 60.0 for e in told] == [first for first, _ in stretches]
        for excursion, (first, last) in zip(told, stretches, strict=True):
            ended = None if last == len(air) else START_S + 60.0 * last
            assert excursion.end_s == ended
            assert excursion.peak_cel in (air[first:last].max(), air[first:last].min())


@pytest.mark.parametrize("seed", range(20))
def test_a_day_is_whole(seed: int) -> None:
    """Legs follow each other without a gap from midnight to midnight, from the depot back to it."""
    day = 20_000 + seed
    legs = plan_day(seed, seed % 5, day)
    midnight_s = day * DAY_S - 8 * 3600.0
    assert legs[0].start_s == midnight_s
    assert legs[-1].end_s == midnight_s + DAY_S
    for leg, following in pairwise(legs):
        assert leg.start_s < leg.end_s == following.start_s
        assert leg.place(leg.end_s) == pytest.approx(following.place(following.start_s))
        assert all(leg.start_s <= a < b <= leg.end_s for a, b in leg.openings)
        assert not (leg.openings and leg.driving)
    assert legs[0].path == legs[-1].path == (district.DEPOT,)


def test_trucks_stay_on_the_streets_and_under_the_speed_limit() -> None:
    """At every minute of a day each truck is on a street, and no faster than 60 km/h."""
    routes = Routes(1, 3)
    midnight_s = 20_000 * DAY_S - 8 * 3600.0
    last = None
    for minute in range(1440):
        x_m, y_m = routes.leg(midnight_s + 60.0 * minute).place(midnight_s + 60.0 * minute)
        on_east = min(abs(y_m - street) for street in district.ROADS_EAST_M)
        on_north = min(abs(x_m - street) for street in district.ROADS_NORTH_M)
        assert min(on_east, on_north) < 1e-6
        if last is not None:
            assert dist(last, (x_m, y_m)) <= 16.7 * 60.0
        last = (x_m, y_m)


def test_a_street_path_turns_at_crossings_only() -> None:
    """Two points on one street join straight, two on different ones by a crossing street between."""
    assert street_path((100.0, 700.0), (4000.0, 700.0))[0] == (100.0, 700.0)
    path = street_path((100.0, 700.0), (4000.0, 3300.0))
    assert path == ((100.0, 700.0), (2300.0, 700.0), (2300.0, 3300.0), (4000.0, 3300.0))


def test_a_fleet_of_two_hundred_is_as_quick_as_it_must_be() -> None:
    """Two hundred trucks work, each with a station of its own name."""
    trucks = Trucks(1, START_S, FleetPlan(trucks=200))
    assert len(run(trucks, START_S, 3)[-1]) == 200
