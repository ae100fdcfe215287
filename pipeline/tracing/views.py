"""What analysts look at beside an answer: footprints, blind areas, polar plots, conditional probabilities.

Sources: Carslaw, Beevers (2013), Environmental Modelling & Software 40 (polar plots, as in openair);
Kim, Hopke, Edgerton (2003), J. Air & Waste Manage. Assoc. 53 (conditional probability function).
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.tracing import puffs
from pipeline.tracing.air import WEATHERS, weather_rows
from pipeline.tracing.grid import Grid
from pipeline.tracing.problem import Floats, Observations, Settings, Wind
from pipeline.tracing.receivers import receive
from pipeline.tracing.zero import subtract_known

CALM_M_S = 0.5  # Directions of slower wind say little.
LEAST_IN_SECTOR = 5
NOTICED_SD = 3.0  # A reading is noticed above so many sds of clean air ...
NOTICED_BY = 2  # ... at so many sensors, or at all where there are fewer.
RING_LN, SPOKES = 0.12, 180
AVERAGE_S = 600.0
CELLS = 1600


@dataclass(frozen=True, slots=True)
class Field:
    """Values over a grid."""

    grid: Grid
    values: Floats  # (ny, nx)


@dataclass(frozen=True, slots=True)
class Polar:
    """Values over wind speed and direction, nan where the wind hardly ever was."""

    speed_m_s: Floats  # (k,) edges
    from_deg: Floats  # (d,) edges
    values: Floats  # (k - 1, d - 1)


@dataclass(frozen=True, slots=True)
class Sectors:
    """The part of a sector's readings that are high, nan where there are hardly any."""

    from_deg: Floats  # (d,) middles
    share: Floats  # (d,)
    threshold_g_m3: float


def footprint(
    observations: Observations, wind: Wind, settings: Settings, sensor: int, start_s: float, interval_s: float
) -> Field:
    """Return where the air of a reading was: what 1 g/s from each cell would have added to it, g/m³."""
    couplings, grid = _couplings(observations, wind, settings, [sensor], start_s, interval_s)
    return Field(grid, couplings[0].reshape(grid.ny, grid.nx))


def blind_area(observations: Observations, wind: Wind, settings: Settings) -> Field:
    """Return the smallest rate that would have been noticed, g/s, from each cell, with that time's gaps."""
    above, _, spread = subtract_known(observations, settings.background_g_m3)
    sensors = len(observations.names)
    needed = np.full(sensors, NOTICED_SD * spread)
    for j in range(sensors):
        below = above[(observations.sensor == j) & (above < 0.0)]
        if below.size:
            needed[j] = NOTICED_SD * max(math.sqrt(float(np.mean(below**2))), 0.1 * spread)
    if observations.limit_g_m3 is not None:
        limits = np.nan_to_num(observations.limit_g_m3)
        needed = np.maximum(
            needed, [limits[observations.sensor == j].max(initial=0.0) for j in range(sensors)]
        )
    grid = Grid.over(settings.bounds_m, CELLS)
    best = np.full((sensors, grid.nx * grid.ny), 0.0)
    for first in np.arange(settings.from_s, settings.to_s, AVERAGE_S):
        inside = (observations.start_s >= first) & (observations.start_s < first + AVERAGE_S)
        read = np.unique(observations.sensor[inside])
        if read.size:
            couplings, _ = _couplings(observations, wind, settings, list(read), float(first), AVERAGE_S)
            best[read] = np.maximum(best[read], couplings / needed[read][:, None])
    best.sort(axis=0)
    noticed = best[-min(NOTICED_BY, sensors)]
    with np.errstate(divide="ignore"):
        return Field(grid, (1.0 / noticed).reshape(grid.ny, grid.nx))


def _couplings(
    observations: Observations,
    wind: Wind,
    settings: Settings,
    sensors: list[int],
    start_s: float,
    interval_s: float,
) -> tuple[Floats, Grid]:
    """Return (sensors, cells) s/m³ of averages over an interval, the mean of three skies."""
    grid = Grid.over(settings.bounds_m, CELLS)
    x, y = (part.ravel() for part in np.meshgrid(grid.x_m, grid.y_m))
    pieces = max(round(interval_s / 120.0), 1)
    arrivals = start_s + (np.arange(pieces) + 0.5) * interval_s / pieces
    receivers = receive(
        observations.sensors_m, observations.ends_m, np.array(sensors),
        np.arange(pieces + 1) * len(sensors), np.tile(np.arange(len(sensors)), pieces),
        np.full(pieces * len(sensors), 1.0 / pieces),
    )  # fmt: skip
    west, south, east, north = settings.bounds_m
    px, py = receivers.points_m[:, 0], receivers.points_m[:, 1]
    far = float(np.hypot(np.maximum(px - west, east - px), np.maximum(py - south, north - py)).max())
    rings = np.exp(RING_LN * np.arange(math.ceil(math.log(max(far, 10.0)) / RING_LN) + 1))
    towards = np.radians(wind.from_deg + 180.0)
    low, high = settings.source_height_m
    heights = low + (np.arange(2) + 0.5) / 2.0 * (high - low)
    total = np.zeros((len(sensors), x.size))
    for weather in WEATHERS:
        field = puffs.couple(
            arrivals, receivers.first_reading, receivers.reading_point, receivers.reading_row,
            receivers.reading_weight, receivers.points_m[:, 2].copy(), wind.start_s, np.sin(towards),
            np.cos(towards), weather_rows(wind, settings, weather), heights, rings, SPOKES,
            settings.puff_step, receivers.rows,
        )  # fmt: skip
        rows = np.empty((receivers.rows, x.size), np.float32)
        puffs.look_up(field, receivers.point, receivers.points_m, x, y, rings, 0.0, rows)
        total += receivers.total(rows) / len(WEATHERS)
    return total, grid


def _at_readings(observations: Observations, wind: Wind, sensor: int) -> tuple[Floats, Floats, Floats]:
    """Return (value, wind speed, wind direction) of a sensor's readings; calms left out."""
    mine = observations.sensor == sensor
    row = np.maximum(np.searchsorted(wind.start_s, observations.start_s[mine], side="right") - 1, 0)
    moving = wind.speed_m_s[row] >= CALM_M_S
    return (
        observations.value_g_m3[mine][moving],
        wind.speed_m_s[row][moving],
        wind.from_deg[row][moving] % 360.0,
    )


def polar_plot(
    observations: Observations, wind: Wind, sensor: int, *, speeds: int = 8, sectors: int = 36
) -> Polar:
    """Return a sensor's mean reading by wind speed and direction, g/m³, smoothed over neighbours."""
    value, speed, direction = _at_readings(observations, wind, sensor)
    edges = np.linspace(0.0, max(float(np.quantile(speed, 0.99)) if speed.size else 1.0, 1.0), speeds + 1)
    ring = np.minimum(np.searchsorted(edges, speed, side="right") - 1, speeds - 1)
    sector = (direction / 360.0 * sectors).astype(np.int64) % sectors
    key = ring * sectors + sector
    ones = np.ones(key.size)
    count = np.bincount(key, ones, minlength=speeds * sectors).reshape(speeds, sectors)
    total = np.bincount(key, value, minlength=speeds * sectors).reshape(speeds, sectors)
    weights = {(0, 0): 4.0, (0, 1): 2.0, (0, -1): 2.0, (1, 0): 2.0, (-1, 0): 2.0}
    near, sums = (
        _neighbours(np.asarray(count, np.float64), weights),
        _neighbours(np.asarray(total, np.float64), weights),
    )
    mean = np.where(near >= 2.0 * LEAST_IN_SECTOR, sums / np.maximum(near, 1.0), math.nan)
    return Polar(edges, np.linspace(0.0, 360.0, sectors + 1), mean)


def _neighbours(table: Floats, weights: dict[tuple[int, int], float]) -> Floats:
    """Return weighted sums over neighbours; direction goes round, speed does not."""
    result = np.zeros_like(table)
    padded = np.pad(table, ((1, 1), (0, 0)))
    for (up, on), weight in weights.items():
        result += weight * np.roll(padded, (up, on), axis=(0, 1))[1:-1]
    return result


def conditional_probability(
    observations: Observations, wind: Wind, sensor: int, *, quantile: float = 0.9, sectors: int = 36
) -> Sectors:
    """Return CPF: of each sector's readings, which part lies above the sensor's quantile."""
    value, _, direction = _at_readings(observations, wind, sensor)
    threshold = float(np.quantile(value, quantile)) if value.size else math.nan
    sector = (direction / 360.0 * sectors).astype(np.int64) % sectors
    count = np.bincount(sector, minlength=sectors)
    high = np.bincount(sector, value > threshold, minlength=sectors)
    share = np.where(count >= LEAST_IN_SECTOR, high / np.maximum(count, 1), math.nan)
    return Sectors(np.asarray((np.arange(sectors) + 0.5) * 360.0 / sectors), share, threshold)
