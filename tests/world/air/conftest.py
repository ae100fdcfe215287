"""Quiet air to test in: no wind, no gusts, nothing in the way, unless a test says otherwise."""

from collections.abc import Callable

import numpy as np
import pytest

from devices.world.air import grid
from devices.world.air.boundary import Layer
from devices.world.air.config import AirConfig
from devices.world.air.counting import Count, Watch, watch
from devices.world.air.flow import Flow
from devices.world.air.obstacles import LAYERS
from devices.world.air.particles import COLUMNS, WEIGHT, Swarm, U, W, X, Y, Z
from devices.world.air.places import EMITTED, Receptor
from devices.world.air.turbulence import table

LAYERS_OF_AIR = {  # Friction velocity, Obukhov length, convective velocity, mixing height.
    "unstable": (0.30, -40.0, 1.6, 1000.0),
    "neutral": (0.45, -1e5, 0.0, 500.0),
    "stable": (0.20, 60.0, 0.0, 180.0),
}


@pytest.fixture
def make_layer() -> Callable[..., Layer]:
    def make(kind: str, wind_m_s: tuple[float, float] = (0.0, 0.0)) -> Layer:
        friction_m_s, obukhov_m, convective_m_s, height_m = LAYERS_OF_AIR[kind]
        return Layer(wind_m_s, friction_m_s, obukhov_m, convective_m_s, 0.0, height_m)

    return make


@pytest.fixture
def make_flow() -> Callable[..., Flow]:
    def make(layer: Layer, config: AirConfig | None = None) -> Flow:
        config = config or AirConfig()
        cells = grid.over(config.width_m, config.height_m)
        return Flow(
            cells.x0_m,
            cells.y0_m,
            table(config, layer),
            layer.mixing_height_m,
            0.0,
            np.zeros((cells.columns, cells.rows, 4), np.float32),
            np.zeros((cells.columns, cells.rows, LAYERS, 3), np.float32),
        )

    return make


@pytest.fixture
def nobody() -> tuple[Watch, Count, np.ndarray]:
    """A watch without receptors, sums for one source, and its rates."""
    watched = watch([], grid.over(6000.0, 4000.0))
    return watched, Count(np.zeros((0, 1, 7)), np.zeros((0, 1))), np.ones((1, 1, len(EMITTED)), np.float32)


@pytest.fixture
def make_swarm() -> Callable[..., Swarm]:
    def make(x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray, seed: int = 1) -> Swarm:
        count = len(x_m)
        particles = np.zeros((count, COLUMNS), np.float32)
        particles[:, X], particles[:, Y], particles[:, Z], particles[:, WEIGHT] = x_m, y_m, z_m, 60.0 / count
        particles[:, U : W + 1] = np.random.default_rng(seed).standard_normal((count, 3))
        return Swarm(particles, np.zeros(count, np.int32), np.zeros(count, np.int32))

    return make


@pytest.fixture
def make_watch() -> Callable[..., tuple[Watch, Count]]:
    def make(*receptors: Receptor) -> tuple[Watch, Count]:
        sums = np.zeros((len(receptors), 1, len(EMITTED)))
        return watch(receptors, grid.over(6000.0, 4000.0)), Count(sums, np.zeros((len(receptors), 1)))

    return make
