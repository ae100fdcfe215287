"""The model that the world is compared with: values by hand, and what any plume conserves."""

from dataclasses import replace
from math import exp, pi, sqrt

import numpy as np
import pytest

from devices.world.air.places import SourceSpec, Stack
from tests.world.air.briggs import Hour, coupling, rise_m, sigmas, stability

NEUTRAL = Hour(4.0, 0.0, 4.0, 0.0, 1e4, 288.15)
POINT = SourceSpec("point", "small", 0.0, 0.0, 20.0)
CHIMNEY = SourceSpec("chimney", "stack", 0.0, 0.0, 50.0, stack=Stack(10.0, 130.0, 2.0))


@pytest.mark.parametrize(
    ("name", "y_m", "z_m"),
    [
        ("A", 270.45, 339.41),
        ("B", 270.45, 339.41),
        ("C", 185.93, 200.0),
        ("D", 135.22, 122.79),
        ("E", 92.97, 50.60),
        ("F", 92.97, 50.60),
    ],
)
def test_a_kilometre_downwind(name: str, y_m: float, z_m: float) -> None:
    """Briggs's urban curves at 1000 m, by hand: 0.32 x 1000 / sqrt(1.4) = 270.45, and so on."""
    y, z = sigmas(np.array([1000.0]), name)
    assert (y[0], z[0]) == (pytest.approx(y_m, abs=0.01), pytest.approx(z_m, abs=0.01))


def test_classes_follow_golder() -> None:
    """Over 0.6 m of roughness: L of -10 m is very unstable, of 25 m very stable, of a kilometre neutral."""
    lengths_m = {"A": -10.0, "B": -25.0, "C": -120.0, "D": 1000.0, "E": 100.0, "F": 25.0}
    assert {name: stability(1.0 / length_m) for name, length_m in lengths_m.items()} == {
        n: n for n in "ABCDEF"
    }


def test_on_the_axis_of_a_plume() -> None:
    """By hand: exp(-(20 / sigma_z)^2 / 2) / (pi U sigma_y sigma_z), wind of 4 m/s times 2 to the 0.25."""
    y_m, z_m, wind_m_s = 160.0 / sqrt(1.4), 140.0 / sqrt(1.3), 4.0 * 2.0**0.25
    expected = exp(-0.5 * (20.0 / z_m) ** 2) / (pi * wind_m_s * y_m * z_m)
    places = [(1000.0, 0.0, 0.0), (1000.0, y_m, 0.0), (-1000.0, 0.0, 0.0)]
    assert coupling(POINT, places, NEUTRAL) == pytest.approx([expected, expected * exp(-0.5), 0.0], rel=1e-6)


@pytest.mark.parametrize("height_m", [1e4, 150.0])
def test_what_is_emitted_goes_through_every_section(height_m: float) -> None:
    """Concentration times wind, over a section 2 km downwind from the ground up, is the emission."""
    hour = replace(NEUTRAL, mixing_height_m=height_m)
    y, z = np.meshgrid(np.arange(-1000.0, 1000.0, 10.0), np.arange(2.5, min(height_m, 1500.0), 5.0))
    places = np.stack([np.full(y.size, 2000.0), y.ravel(), z.ravel()], axis=1)
    through = coupling(POINT, places, hour).sum() * 10.0 * 5.0 * 4.0 * 2.0**0.25
    assert through == pytest.approx(1.0, rel=0.01)


def test_a_long_line_across_the_wind() -> None:
    """It is as the infinite line: sqrt(2 / pi) / (U sigma_z) for each unit and metre, near the ground."""
    line = SourceSpec("line", "corridor", 0.0, -2000.0, 0.5, end_m=(0.0, 2000.0))
    z_m = sqrt((14.0 / sqrt(1.03)) ** 2 + (3.4 / 2.15) ** 2)
    expected = sqrt(2.0 / pi) / (4.0 * z_m) * exp(-0.5 * (1.7 / z_m) ** 2) / 4000.0
    assert coupling(line, [(100.0, 0.0, 0.0)], NEUTRAL) == pytest.approx([expected], rel=0.01)


def test_final_rise() -> None:
    """By hand: a flux of 27.98 m4/s3 rises 21.425 F^0.75 / U, or 2.6 (F / (U s))^(1/3) in stable air."""
    flux = 9.81 * 10.0 * (1.0 - 288.15 / 403.15)
    assert flux == pytest.approx(27.983, abs=0.001)
    assert rise_m(CHIMNEY, NEUTRAL, "D") == pytest.approx(21.425 * 12.167 / (4.0 * 5.0**0.25), rel=1e-3)
    assert rise_m(CHIMNEY, NEUTRAL, "E") == pytest.approx(
        2.6 * (27.983 / (4.0 * 5.0**0.3 * 6.809e-4)) ** (1 / 3), rel=1e-3
    )
    assert rise_m(POINT, NEUTRAL, "D") == 0.0
    capped = replace(NEUTRAL, mixing_height_m=60.0)
    assert coupling(CHIMNEY, [(1000.0, 0.0, 0.0)], capped) == pytest.approx([0.0])
