"""The river: water and mass are conserved, plumes travel and spread as the theory of dispersion says."""

import numpy as np
import pytest

from devices.world import district
from devices.world.channel import STEP_S, Channel, Reach
from devices.world.river import SUBSTANCES, River
from devices.world.scenarios import SpillPlan

START_S = 1_778_544_000.0  # 2026-05-12T00:00Z.
SPILL = SpillPlan(onset_s=(1800.0, 5400.0), duration_s=(600.0, 5400.0), mass_kg=(25.0, 250.0))


def reach(
    name: str, start: str, end: str, *, dead: float = 0.1, dispersion: float = 30.0, length: float = 2000.0
) -> Reach:
    return Reach(name, start, end, length, 20.0, 3e-4, dispersion, dead or 1.0, 1e-4 * (dead > 0.0))


def confluence() -> Channel:
    reaches = [reach("a", "north", "x"), reach("b", "west", "x"), reach("c", "x", "out")]
    return Channel(reaches, {"north": 4.0, "west": 8.0}, np.array([1.0, 2.0]))


def test_mass_is_conserved_through_a_confluence() -> None:
    """Mass inside + mass out = mass before + mass in, at every step, while flow and inflow change."""
    channel = confluence()
    start, came, left = channel.mass(), np.zeros(2), np.zeros(2)
    channel.add(channel.cell("a", 0.2), np.array([5e5, 0.0]))
    came += [5e5, 0.0]
    for step in range(3000):
        flow = np.array([4.0 + 2.0 * (step > 500), 8.0])
        inflow = np.array([[0.5, 1.0], [0.0, 3.0]])
        came += STEP_S * flow @ inflow
        left += channel.step(flow, inflow)
        np.testing.assert_allclose(channel.mass() + left, start + came, rtol=1e-9)
    assert left[0] > 5e5


def test_water_is_conserved() -> None:
    """Volume inside + volume out = volume before + volume in, through a flood wave."""
    channel = confluence()
    volume = (channel.area_m2 * channel.cell_m).sum()
    for step in range(1500):
        flow = np.array([4.0, 8.0 + 10.0 * (step < 600)])
        volume += STEP_S * (flow.sum() - channel.flow_m3_s()[channel.cell("c", 1.0)])
        channel.step(flow, np.ones((2, 2)))
        assert (channel.area_m2 * channel.cell_m).sum() == pytest.approx(volume, rel=1e-9)


def test_a_uniform_concentration_stays_uniform() -> None:
    """Where everything has one concentration, no flow, flood or confluence changes it anywhere."""
    channel = confluence()
    for step in range(800):
        flow = np.array([4.0 + 3.0 * np.sin(step / 50.0), 8.0 + 20.0 * (step > 300)])
        channel.step(flow, np.array([[1.0, 2.0], [1.0, 2.0]]))
        np.testing.assert_allclose(channel.concentration, [[1.0, 2.0]] * len(channel.cell_m), rtol=1e-9)


def test_nothing_becomes_negative() -> None:
    """A sharp spill into clean water stays between nothing and what it was."""
    channel = Channel([reach("a", "head", "out")], {"head": 5.0}, np.zeros(1))
    channel.add(10, np.array([1e5]))
    peak = channel.concentration.max()
    for _ in range(1000):
        channel.step(np.array([5.0]), np.zeros((1, 1)))
        assert channel.concentration.min() >= 0.0
        assert channel.concentration.max() <= peak


@pytest.mark.parametrize("dispersion", [20.0, 60.0])
def test_a_plume_travels_with_the_flow_and_spreads_as_asked(dispersion: float) -> None:
    """Without dead water, mean = u t and variance = 2 D t, which the numerical dispersion must not add to."""
    channel = Channel(
        [reach("a", "head", "out", dead=0.0, dispersion=dispersion, length=12_000.0)],
        {"head": 10.0},
        np.zeros(1),
    )
    speed = 10.0 / channel.area_m2[0]
    channel.add(20, np.array([1e5]))
    position = np.arange(len(channel.cell_m)) * channel.cell_m
    seconds = 900 * STEP_S
    for _ in range(900):
        channel.step(np.array([10.0]), np.zeros((1, 1)))
    share = channel.concentration[:, 0] / channel.concentration[:, 0].sum()
    mean = share @ position
    assert mean - position[20] == pytest.approx(speed * seconds, rel=0.01)
    assert share @ (position - mean) ** 2 == pytest.approx(2.0 * dispersion * seconds, rel=0.05)


def test_dead_water_makes_a_tail() -> None:
    """With dead water at the banks a plume leaves later and trails off longer."""
    leaving = []
    for dead in (0.0, 0.4):
        channel = Channel([reach("a", "head", "out", dead=dead)], {"head": 10.0}, np.zeros(1))
        channel.add(3, np.array([1e5]))
        out = [float(channel.step(np.array([10.0]), np.zeros((1, 1)))[0]) for _ in range(4000)]
        leaving.append(np.array(out))
    times = np.arange(4000) * STEP_S
    means = [out @ times / out.sum() for out in leaving]
    assert means[1] > means[0] * 1.1


def test_a_confluence_mixes_by_flow() -> None:
    """Below the junction stands the flow-weighted mean of what comes in."""
    channel = confluence()
    for _ in range(8000):
        channel.step(np.array([4.0, 8.0]), np.array([[9.0, 0.0], [0.0, 3.0]]))
    np.testing.assert_allclose(channel.concentration[channel.cell("c", 0.9)], [3.0, 2.0], rtol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_a_spill_passes_the_gauges_below_it_in_order(seed: int) -> None:
    """Every gauge below the spill sees its ammonia, later the further; those above and aside see none."""
    spilled, clean = River(seed, START_S, SPILL), River(seed, START_S, None)
    (spill,) = spilled.spills
    excess: dict[str, list[float]] = {name: [] for name in district.GAUGES}
    for minute in range(14 * 60):
        with_spill = dict(spilled.advance(START_S + 60.0 * minute, air_cel=15.0, rain_mm_h=0.0, sun=0.4))
        without = dict(clean.advance(START_S + 60.0 * minute, air_cel=15.0, rain_mm_h=0.0, sun=0.4))
        for name in district.GAUGES:
            excess[name].append(with_spill[name]["ammonia_nitrogen"] - without[name]["ammonia_nitrogen"])
    after = {name: end for name, _, end, _, _ in district.REACHES}
    below, at = [spill.reach], after[spill.reach]
    while found := [name for name, start, _, _, _ in district.REACHES if start == at]:
        below.append(found[0])
        at = after[found[0]]
    passed = [
        name
        for name, (where, share) in sorted(district.GAUGES.items(), key=lambda item: item[1][1])
        if where in below and (where != spill.reach or share > spill.share)
    ]
    passed.sort(key=lambda name: below.index(district.GAUGES[name][0]))
    peaks = [int(np.argmax(excess[name])) for name in passed]
    assert len(passed) >= 2
    assert peaks == sorted(peaks)
    assert 60.0 * peaks[0] >= spill.onset_s - START_S
    for name in district.GAUGES:
        assert (max(excess[name]) > 0.05) == (name in passed), name
        if name not in passed:
            assert max(map(abs, excess[name])) < 1e-9


def test_ordinary_water_is_ordinary() -> None:
    """Over a day without a spill every quantity at every gauge keeps to what such rivers have."""
    river = River(11, START_S, None)
    bounds = {
        "temperature": (5.0, 30.0),
        "dissolved_oxygen": (3.0, 13.0),
        "ammonia_nitrogen": (0.02, 2.5),
        "permanganate_index": (0.8, 10.0),
        "total_phosphorus": (0.01, 0.5),
        "total_nitrogen": (0.4, 8.0),
        "turbidity": (2.0, 150.0),
        "conductivity": (0.005, 0.12),
        "ph": (6.5, 9.0),
        "flow_river": (0.3, 80.0),
    }
    for minute in range(1440):
        rain = 8.0 if 400 < minute < 520 else 0.0
        values = dict(river.advance(START_S + 60.0 * minute, air_cel=20.0, rain_mm_h=rain, sun=0.5))
        for of_gauge in values.values():
            assert of_gauge.keys() == bounds.keys()
            for name, (low, high) in bounds.items():
                assert low <= of_gauge[name] <= high, (minute, name)
    assert set(SUBSTANCES) | {"ph", "flow_river"} == bounds.keys()
