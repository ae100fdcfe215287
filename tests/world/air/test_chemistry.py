"""NO, NO2 and ozone: atoms are conserved, the end is the photostationary state, the way is the equation's."""

from typing import Any

import numpy as np
import pytest

from devices.world.air.chemistry import MOLAR_G, photolysis, ppm, rate_constant, react, washed_out_per_s

NO, NO2, O3 = (np.array([120.0]), np.array([40.0]), np.array([60.0]))


def moles(values: tuple[np.ndarray, ...]) -> list[float]:
    return [float(v[0]) / MOLAR_G[name] for name, v in zip(("no", "no2", "o3"), values, strict=True)]


@pytest.mark.parametrize("split_per_s", [0.0, 1e-4, 8e-3])
@pytest.mark.parametrize("age_s", [0.0, 5.0, 60.0, 1e4, np.inf])
def test_nitrogen_and_oxygen_are_conserved(split_per_s: Any, age_s: Any) -> None:
    """NO + NO2 and NO2 + O3 stay what they were, in moles."""
    before = moles((NO, NO2, O3))
    after = moles(react(NO, NO2, O3, np.array([age_s]), 20.0, split_per_s))
    assert after[0] + after[1] == pytest.approx(before[0] + before[1])
    assert after[1] + after[2] == pytest.approx(before[1] + before[2])
    assert min(after) >= 0.0


def test_the_end_is_photostationary() -> None:
    """After long enough k [NO][O3] = J [NO2] (Leighton)."""
    no, no2, o3 = moles(react(NO, NO2, O3, np.array([np.inf]), 20.0, 6e-3))
    assert rate_constant(20.0) * no * o3 == pytest.approx(6e-3 * no2, rel=1e-6)


def test_at_night_a_plume_takes_all_ozone() -> None:
    """Without light, the rarer of NO and O3 is used up."""
    no, _, o3 = react(NO, NO2, O3, np.array([np.inf]), 5.0, 0.0)
    assert o3[0] == pytest.approx(0.0, abs=1e-6)
    assert no[0] > 0.0


@pytest.mark.parametrize("split_per_s", [0.0, 5e-3])
def test_the_way_is_the_rate_equation(split_per_s: Any) -> None:
    """A hundred thousand small steps of dNO/dt = J NO2 - k NO O3 arrive at the same place."""
    a, b, c = moles((NO, NO2, O3))
    k = rate_constant(15.0)
    step_s = 90.0 / 100_000
    for _ in range(100_000):
        reacted = step_s * (k * a * c - split_per_s * b)
        a, b, c = a - reacted, b + reacted, c - reacted
    assert moles(react(NO, NO2, O3, np.array([90.0]), 15.0, split_per_s)) == pytest.approx(
        [a, b, c], rel=1e-4
    )


def test_the_constants_are_of_the_published_size() -> None:
    """k is 1.7e-14 cm3/s a molecule; noon splits NO2 8e-3 times a second; 656 ug/m3 CH4 are 1 ppm."""
    assert rate_constant(25.0) / 6.022e23 * 1e12 == pytest.approx(1.73e-14, rel=0.02)
    assert 6e-3 < photolysis(0.85, 0.0) < 1e-2
    assert photolysis(-0.2, 0.0) == 0.0
    assert ppm("ch4", 655.8, 25.0, 1013.25) == pytest.approx(1.0, rel=1e-3)


def test_rain_washes_particles_first() -> None:
    """Rain takes coarse particles, then SO2, then fine particles; no rain takes nothing."""
    heavy, none = washed_out_per_s(10.0), washed_out_per_s(0.0)
    assert heavy["pm10"] > heavy["so2"] > heavy["pm2_5"] > 0.0
    assert set(none.values()) == {0.0}
