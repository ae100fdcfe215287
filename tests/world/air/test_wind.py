"""The mean wind: compass and velocity, fronts that veer it, calms that end it, days that have a course."""

from dataclasses import replace
from math import atan2, degrees, hypot
from typing import Any

import pytest

from devices.world.air.config import Wind
from devices.world.air.spells import Calendar
from devices.world.air.wind import CALM_RAMP_S, MeanWind, velocity

START_S = 1_772_496_000.0
STEADY = Wind(
    speed_m_s=(3.0, 3.0),
    speed_diurnal=0.0,
    speed_sd=0.0,
    from_deg=(200.0, 200.0),
    wander_sd_deg=0.0,
    fronts_per_day=(0.0, 0.0),
    calms_per_day=(0.0, 0.0),
)


def blow(config: Wind, seed: int, minutes: int) -> list[tuple[float, float]]:
    ranges = (config.front_veer_deg, config.front_speed, config.front_cooling_k)
    fronts = Calendar(seed, "front", config.fronts_per_day, config.front_s, *ranges)
    wind = MeanWind(config, fronts, 28800.0, seed, START_S)
    return [wind.advance(START_S + 60.0 * minute) for minute in range(minutes)]


def from_deg(wind_m_s: tuple[float, float]) -> float:
    return degrees(atan2(-wind_m_s[0], -wind_m_s[1])) % 360.0


@pytest.mark.parametrize(
    ("comes_from_deg", "goes_to"), [(0, (0, -1)), (90, (-1, 0)), (180, (0, 1)), (270, (1, 0)), (360, (0, -1))]
)
def test_wind_from_the_north_blows_south(comes_from_deg: Any, goes_to: Any) -> None:
    """Directions are where the wind comes from, clockwise from north; velocities are where it goes."""
    assert velocity(1.0, comes_from_deg) == pytest.approx(goes_to, abs=1e-12)


def test_a_steady_wind_stays() -> None:
    """With nothing to disturb it, speed and direction are those of the configuration."""
    for wind_m_s in blow(STEADY, 1, 1500):
        assert hypot(*wind_m_s) == pytest.approx(3.0)
        assert from_deg(wind_m_s) == pytest.approx(200.0)


def test_fronts_veer_for_good() -> None:
    """Every front turns the wind clockwise by its own angle, which stays; the stronger wind fades."""
    config = replace(STEADY, fronts_per_day=(1.0, 1.0), front_veer_deg=(50.0, 50.0), front_speed=(1.5, 1.5))
    winds = blow(config, 3, 5 * 1440)
    calendar = Calendar(3, "front", (1.0, 1.0), config.front_s, (50.0, 50.0), (1.5, 1.5), (0.0, 0.0))
    end_s = START_S + 60.0 * (len(winds) - 1)
    days = [START_S + 86400.0 * day for day in range(6)]
    fronts = {front for day_s in days for front in calendar.near(day_s)}
    whole = [front for front in fronts if front.start_s > START_S and front.end_s < end_s]
    assert len(whole) >= 2
    assert all(front.start_s > START_S or front.end_s < START_S for front in fronts)
    assert from_deg(winds[-1]) == pytest.approx((200.0 + 50.0 * len(whole)) % 360.0, abs=0.01)
    assert max(hypot(*wind) for wind in winds) > 4.0


def test_calms_end_the_wind() -> None:
    """In a calm the speed is the calm's, before and after it the ordinary one."""
    config = replace(STEADY, calms_per_day=(2.0, 2.0), calm_s=(3600.0, 3600.0), calm_speed_m_s=(0.4, 0.4))
    speeds = [hypot(*wind_m_s) for wind_m_s in blow(config, 5, 4 * 1440)]
    assert min(speeds) == pytest.approx(0.4)
    assert max(speeds) == pytest.approx(3.0)
    calm = sum(speed < 0.41 for speed in speeds)
    between = sum(0.41 <= speed < 2.99 for speed in speeds)
    assert calm >= (3600.0 - 2.0 * CALM_RAMP_S) / 60.0
    assert between <= 2.0 * calm * CALM_RAMP_S / (3600.0 - 2.0 * CALM_RAMP_S) + 2.0


def test_the_wandering_has_its_deviation_and_memory() -> None:
    """Over a month the direction has the deviation that is set, and forgets it within hours."""
    config = replace(STEADY, wander_sd_deg=10.0, wander_time_s=3600.0)
    angles = [from_deg(wind_m_s) - 200.0 for wind_m_s in blow(config, 6, 30 * 1440)]
    mean = sum(angles) / len(angles)
    variance = sum((angle - mean) ** 2 for angle in angles) / len(angles)
    lagged = sum((a - mean) * (b - mean) for a, b in zip(angles, angles[30:], strict=False))
    lagged /= len(angles) * variance
    assert variance**0.5 == pytest.approx(10.0, rel=0.15)
    assert lagged == pytest.approx(0.607, abs=0.08)


def test_the_same_seed_blows_the_same_wind() -> None:
    """Wind follows from the seed alone, and another seed blows another."""
    assert blow(Wind(), 7, 300) == blow(Wind(), 7, 300)
    assert blow(Wind(), 7, 300) != blow(Wind(), 8, 300)
