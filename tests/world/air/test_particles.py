"""Particles against theory: well mixed stays well mixed, Taylor's spread, nothing lost."""

from math import exp, sqrt
from typing import Any

import numpy as np
import pytest

from devices.world.air.particles import AGE, AGE_MAX_S, AHEAD, MINUTE_S, W, X, Y, Z, chance, fly
from devices.world.air.turbulence import LEVEL_M, SIGMA_H, TIME_H

COUNT = 120_000
BINS = 40


@pytest.mark.parametrize("kind", ["unstable", "neutral", "stable"])
def test_what_is_well_mixed_stays_so(
    kind: str, make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """Spread evenly from the ground to the mixing height, particles are so half an hour later.

    With N particles in a bin, chance alone moves it by 1/sqrt(N). Forty bins may be off by 1.5 times that
    (their root mean square; chance exceeds it once in 100,000), and no bin by five times.
    """
    layer = make_layer(kind)
    rng = np.random.default_rng(2)
    z_m = rng.uniform(0.0, layer.mixing_height_m, COUNT)
    swarm = make_swarm(np.full(COUNT, 3000.0), np.full(COUNT, 2000.0), z_m)
    watched, counted, rates = nobody
    flow, luck = make_flow(layer), chance(3)
    for _ in range(30):
        assert fly(swarm, COUNT, flow, luck, rates, watched, counted) == COUNT
    height = swarm.particles[:, Z]
    counts, _ = np.histogram(height, BINS, (0.0, layer.mixing_height_m))
    assert counts.sum() == COUNT
    off = counts / (COUNT / BINS) - 1.0
    assert np.sqrt(np.mean(off**2)) < 1.5 / sqrt(COUNT / BINS)
    assert np.abs(off).max() < 5.0 / sqrt(COUNT / BINS)


@pytest.mark.parametrize("kind", ["unstable", "neutral", "stable"])
def test_velocities_keep_their_law(
    kind: str, make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """After half an hour vertical velocities, over their standard deviation, have mean 0 and variance 1."""
    layer = make_layer(kind)
    z_m = np.random.default_rng(4).uniform(0.0, layer.mixing_height_m, COUNT)
    swarm = make_swarm(np.full(COUNT, 3000.0), np.full(COUNT, 2000.0), z_m)
    watched, counted, rates = nobody
    flow, luck = make_flow(layer), chance(5)
    for _ in range(30):
        fly(swarm, COUNT, flow, luck, rates, watched, counted)
    assert abs(swarm.particles[:, W].mean()) < 0.02
    assert swarm.particles[:, W].var() == pytest.approx(1.0, abs=0.03)


def test_spread_follows_taylor(make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any) -> None:
    """In homogeneous turbulence the variance is 2 s2 T2 (t/T - 1 + exp(-t/T)) (Taylor 1921), within 3 %."""
    flow = make_flow(make_layer("neutral"))
    flow.table[:] = flow.table[int(100.0 / LEVEL_M)]
    count = 40_000
    swarm = make_swarm(np.full(count, 3000.0), np.full(count, 2000.0), np.full(count, 250.0))
    watched, counted, rates = nobody
    luck = chance(6)
    sigma, time_s = float(flow.table[0, SIGMA_H]), float(flow.table[0, TIME_H])
    for minute in range(1, 11):
        fly(swarm, count, flow, luck, rates, watched, counted)
        t = minute * MINUTE_S + float(swarm.particles[:, AHEAD].mean())
        expected = 2.0 * (sigma * time_s) ** 2 * (t / time_s - 1.0 + exp(-t / time_s))
        for axis in (X, Y):
            assert swarm.particles[:, axis].astype(float).var() == pytest.approx(expected, rel=0.03)


def test_steps_do_not_lead_out_of_the_minute_by_more_than_one(
    make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """Age is time flown: after n minutes it is n minutes and at most one step."""
    flow = make_flow(make_layer("neutral"))
    swarm = make_swarm(np.full(100, 3000.0), np.full(100, 2000.0), np.linspace(0.0, 400.0, 100))
    watched, counted, rates = nobody
    luck = chance(7)
    for minute in (1, 2, 3):
        assert fly(swarm, 100, flow, luck, rates, watched, counted) == 100
        ahead_s = swarm.particles[:, AHEAD]
        assert np.all((ahead_s >= 0.0) & (ahead_s < 8.01))
        assert swarm.particles[:, AGE] == pytest.approx(minute * MINUTE_S + ahead_s, abs=0.01)


def test_a_particle_waits_for_its_release(
    make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """What is released in 90 s does not move in this minute and flies for half of the next."""
    flow = make_flow(make_layer("neutral"))
    swarm = make_swarm(np.full(1, 3000.0), np.full(1, 2000.0), np.full(1, 50.0))
    swarm.particles[:, AHEAD] = 90.0
    watched, counted, rates = nobody
    luck = chance(8)
    fly(swarm, 1, flow, luck, rates, watched, counted)
    assert list(swarm.particles[0, [X, Y, Z, AHEAD]]) == [3000.0, 2000.0, 50.0, 30.0]
    fly(swarm, 1, flow, luck, rates, watched, counted)
    assert 30.0 <= swarm.particles[0, AGE] < 38.1


def test_only_what_leaves_the_map_or_grows_old_is_lost(
    make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """Particles inside stay; those blown out and those too old go, and the others keep their order."""
    flow = make_flow(make_layer("neutral", (30.0, 0.0)))
    x_m = np.array([100.0, 6399.0, 200.0, 300.0])
    swarm = make_swarm(x_m, np.full(4, 2000.0), np.full(4, 50.0))
    swarm.particles[2, AGE] = AGE_MAX_S - 1.0
    swarm.sources[:] = 0
    swarm.slots[:] = 0
    swarm.particles[:, -1] = [1.0, 2.0, 3.0, 4.0]
    watched, counted, rates = nobody
    assert fly(swarm, 4, flow, chance(9), rates, watched, counted) == 2
    assert list(swarm.particles[:2, -1]) == [1.0, 4.0]


def test_above_the_mixing_height_stays_above(
    make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """Nothing crosses the mixing height, from either side."""
    layer = make_layer("stable")
    swarm = make_swarm(np.full(2000, 3000.0), np.full(2000, 2000.0), np.repeat([100.0, 250.0], 1000))
    watched, counted, rates = nobody
    flow, luck = make_flow(layer), chance(10)
    for _ in range(20):
        fly(swarm, 2000, flow, luck, rates, watched, counted)
    assert np.all(swarm.particles[:1000, Z] <= layer.mixing_height_m)
    assert np.all(swarm.particles[1000:, Z] >= layer.mixing_height_m)


def test_what_is_set_free_beyond_the_grid_never_comes_in(
    make_layer: Any, make_flow: Any, make_swarm: Any, nobody: Any
) -> None:
    """A plume that has risen past the grid's edge is gone, even where the wind would bring it back."""
    flow = make_flow(make_layer("neutral", (5.0, 0.0)))
    x_m = np.array([flow.x0_m - 1.0, flow.x0_m + 1.0, -1e6])
    swarm = make_swarm(x_m, np.full(3, 2000.0), np.full(3, 100.0))
    watched, counted, rates = nobody
    assert fly(swarm, 3, flow, chance(12), rates, watched, counted) == 1
    assert swarm.particles[0, X] > flow.x0_m + 100.0


def test_the_normal_values_are_normal() -> None:
    """4096 values stand for the normal law: mean 0, variance 1, kurtosis 3 within the lost tails."""
    values = chance(0).normal.astype(float)
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.var() == pytest.approx(1.0, abs=1e-6)
    assert np.mean(values**4) == pytest.approx(3.0, abs=0.05)
