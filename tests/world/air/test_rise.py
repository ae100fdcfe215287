"""Plume rise against the solution that is known, and against what rises more."""

from dataclasses import replace

import numpy as np
import pytest

from devices.world.air.boundary import Layer
from devices.world.air.config import AirConfig
from devices.world.air.places import Stack
from devices.world.air.rise import ACROSS, follow
from devices.world.air.turbulence import SIGMA_W, TIME_W, WIND_EAST, table

STACK = Stack(velocity_m_s=12.0, temperature_c=130.0, diameter_m=2.0)
NEUTRAL = Layer((0.0, 0.0), 0.4, -1e5, 0.0, 0.0, 1500.0)


def uniform(wind_m_s: float, sigma_w_m_s: float) -> np.ndarray:
    """A table with one wind and one turbulence at all heights."""
    rows = np.zeros_like(table(AirConfig(), NEUTRAL))
    rows[:, WIND_EAST], rows[:, SIGMA_W], rows[:, TIME_W] = wind_m_s, sigma_w_m_s, 1e6
    return rows


def test_two_thirds_law() -> None:
    """Far downwind in a steady wind, rise is (3 F / (2 b^2 U^3))^(1/3) x^(2/3), b the entrainment across.

    Bent-over, buoyancy-dominated, neutral (Hoult, Fay and Forney 1969); F is the buoyancy flux over pi.
    """
    wind_m_s = 5.0
    away_m, z_m, radius_m, after_s = follow(STACK, 50.0, 15.0, NEUTRAL, uniform(wind_m_s, 0.8))
    buoyancy = 9.81 * (1.0 - 288.15 / 403.15) * 12.0
    expected_m = (3.0 * buoyancy / (2.0 * ACROSS**2 * wind_m_s**3)) ** (1.0 / 3.0) * away_m ** (2.0 / 3.0)
    assert away_m > 300.0
    assert z_m - 50.0 == pytest.approx(expected_m, rel=0.15)
    assert radius_m == pytest.approx(ACROSS * (z_m - 50.0), rel=0.15)
    assert after_s == pytest.approx(away_m / wind_m_s, rel=0.1)


def test_what_rises_more() -> None:
    """Plumes rise higher in weaker wind, weaker turbulence and when hotter; cold jets hardly rise at all."""
    profile = uniform(4.0, 0.6)

    def rise_m(stack: Stack, rows: np.ndarray) -> float:
        return follow(stack, 50.0, 15.0, NEUTRAL, rows)[1] - 50.0

    ordinary = rise_m(STACK, profile)
    assert rise_m(STACK, uniform(8.0, 0.6)) < ordinary < rise_m(STACK, uniform(2.0, 0.6))
    assert rise_m(STACK, uniform(4.0, 1.2)) < ordinary
    assert rise_m(replace(STACK, temperature_c=300.0), profile) > ordinary
    assert 0.0 <= rise_m(replace(STACK, temperature_c=15.0), profile) < 0.7 * ordinary


def test_an_inversion_stops_it() -> None:
    """A plume that meets the mixing height is slowed by the stable air above it."""
    rows = uniform(3.0, 0.3)
    free = follow(STACK, 50.0, 15.0, NEUTRAL, rows)[1]
    capped = follow(STACK, 50.0, 15.0, replace(NEUTRAL, mixing_height_m=90.0), rows)[1]
    assert 90.0 < capped < 0.7 * free
