"""The coupling of every grid cell with every averaged reading, by puffs tracked back from the sensors.

A reading is the air that passed the sensor. Tracked back along the wind, that air is a chain of Gaussian
puffs that grow with the distance travelled; what a source in a cell adds to the reading is the chain's
density there. One pass along the chain serves all cells: a puff's weights in x and in y multiply.
"""

import math

import numpy as np
from numba import njit

from pipeline.tracing.dispersion import SIGMA_V, SPEED, spread

STEP = 0.8  # Of a puff's spread: Gaussians in a row, so close, sum to a constant within 1e-8.
REACH = 4.0  # Spreads beyond which a puff is nothing: 3e-4 of its peak.
LOWEST_SPREAD_M = 0.3


@njit(cache=True)
def vertical(source_m: float, receptor_m: float, spread_m: float) -> float:
    """Return the density in height, 1/m, over ground that reflects everything."""
    below = (source_m - receptor_m) / spread_m
    above = (source_m + receptor_m) / spread_m
    return (math.exp(-0.5 * below * below) + math.exp(-0.5 * above * above)) / (
        math.sqrt(2.0 * math.pi) * spread_m
    )


@njit(cache=True)
def meander_share(sigma_v_m_s: float, speed_m_s: float) -> float:
    """Return the part of a plume that low wind spreads over all directions (AERMOD, RLINE)."""
    side = 2.0 * sigma_v_m_s * sigma_v_m_s
    return side / (side + speed_m_s * speed_m_s)


@njit(cache=True)
def track(arrival_s, wind_start_s, east, north, weather, far_m, cell_m, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the puffs of the air that arrives at a time, and return how many there are.

    Args:
        arrival_s: When the air arrives.
        wind_start_s: (n,) ascending starts of the wind's rows; the first row also holds before it.
        east: (n,) unit vector of where the wind blows towards.
        north: (n,) the same, to the north.
        weather: (n, COLUMNS) as `dispersion` reads it.
        far_m: Where to stop.
        cell_m: The grid's step: a puff is averaged over a cell, so σ² grows by cell²/12.
        out: (m, 5) receives east, north (m from the sensor), σ_h² (m²), σ_z (m), time spent (s).
    """
    row = max(np.searchsorted(wind_start_s, arrival_s, side="right") - 1, 0)
    time_s, gone_m, x, y, count = arrival_s, 0.0, 0.0, 0.0, 0
    cell_variance = cell_m * cell_m / 12.0
    while gone_m < far_m and count < out.shape[0]:
        side, _, speed = spread(max(gone_m, 1.0), weather[row])
        length = STEP * math.sqrt(max(side, LOWEST_SPREAD_M) ** 2 + cell_variance)
        seconds = length / speed
        last = row > 0 and time_s - seconds < wind_start_s[row]
        if last:
            seconds = time_s - wind_start_s[row]
            length = seconds * speed
        if length > 0.0:
            side, up, _ = spread(gone_m + 0.5 * length, weather[row])
            out[count, 0] = x - 0.5 * length * east[row]
            out[count, 1] = y - 0.5 * length * north[row]
            out[count, 2] = max(side, LOWEST_SPREAD_M) ** 2 + cell_variance
            out[count, 3] = max(up, LOWEST_SPREAD_M)
            out[count, 4] = seconds
            count += 1
        x -= length * east[row]
        y -= length * north[row]
        gone_m += length
        time_s -= seconds
        if last:
            row -= 1
    return count


@njit(cache=True)
def mean_vertical(heights_m, receptor_m, spread_m):  # type: ignore[no-untyped-def]
    """Return the density in height, 1/m, averaged over heights of the source."""
    total = 0.0
    for height in heights_m:
        total += vertical(height, receptor_m, spread_m)
    return total / heights_m.size


@njit(cache=True)
def within(centre: float, reach: float, first: float, step: float, count: int) -> tuple[int, int]:
    """Return the range of equally spaced places that lie within reach of a centre."""
    return (
        max(math.ceil((centre - reach - first) / step), 0),
        min(math.floor((centre + reach - first) / step) + 1, count),
    )


@njit(cache=True, fastmath=True)
def add_puff(field, puff, part, sensor, heights_m, x_m, y_m, in_x):  # type: ignore[no-untyped-def]
    """Add a puff to a field (ny, nx); `in_x` (nx,) is room to work in."""
    px, py, variance = sensor[0] + puff[0], sensor[1] + puff[1], puff[2]
    reach, cell = REACH * math.sqrt(variance), x_m[1] - x_m[0]
    left, right = within(px, reach, x_m[0], cell, x_m.size)
    low, high = within(py, reach, y_m[0], cell, y_m.size)
    if left >= right or low >= high:
        return
    scale = part * puff[4] * mean_vertical(heights_m, sensor[2], puff[3]) / (2.0 * math.pi * variance)
    for i in range(left, right):
        in_x[i] = math.exp(-0.5 * (x_m[i] - px) ** 2 / variance)
    for k in range(low, high):
        in_y = scale * math.exp(-0.5 * (y_m[k] - py) ** 2 / variance)
        for i in range(left, right):
            field[k, i] += in_y * in_x[i]


@njit(cache=True)
def add_meander(field, stray_s_m, sensor, row, heights_m, x_m, y_m):  # type: ignore[no-untyped-def]
    """Add what low wind spreads over all directions; `stray_s_m` is its share over the speed, s/m."""
    cell = x_m[1] - x_m[0]
    for k in range(y_m.size):
        for i in range(x_m.size):
            r = max(math.hypot(x_m[i] - sensor[0], y_m[k] - sensor[1]), 0.5 * cell)
            _, up, _ = spread(r, row)
            density = mean_vertical(heights_m, sensor[2], max(up, LOWEST_SPREAD_M))
            field[k, i] += stray_s_m * density / (2.0 * math.pi * r)


@njit(cache=True, fastmath=True)
def couple(  # type: ignore[no-untyped-def]
    arrivals_s, first_reading, reading_sensor, reading_target, reading_weight,
    sensors_m, wind_start_s, east, north, weather, heights_m,
    x_m, y_m, targets,
):  # fmt: skip
    """Return (targets, ny, nx) couplings in s/m³: g/m³ in each averaged reading per g/s from each cell.

    Args:
        arrivals_s: (t,) ascending arrival times.
        first_reading: (t + 1,) where each arrival's readings start in the next three.
        reading_sensor: (r,) sensor of each reading.
        reading_target: (r,) averaged reading that it is part of.
        reading_weight: (r,) its weight there.
        sensors_m: (s, 3) positions.
        wind_start_s: (n,) ascending.
        east: (n,) unit vector the wind blows towards.
        north: (n,) the same.
        weather: (n, COLUMNS).
        heights_m: (h,) source heights, averaged over.
        x_m: (nx,) ascending cell centres, equally spaced.
        y_m: (ny,) the same.
        targets: How many averaged readings there are.
    """
    nx, ny = x_m.size, y_m.size
    result = np.zeros((targets, ny, nx), np.float32)
    stray = np.zeros(targets)
    stray_row = np.zeros(targets, np.int64)
    far = 0.0
    for sensor in sensors_m:
        east_m = max(abs(sensor[0] - x_m[0]), abs(sensor[0] - x_m[-1]))
        north_m = max(abs(sensor[1] - y_m[0]), abs(sensor[1] - y_m[-1]))
        far = max(far, math.hypot(east_m, north_m))
    chain = np.empty((2000, 5))
    in_x = np.empty(nx, np.float32)
    for arrival in range(arrivals_s.size):
        count = track(
            arrivals_s[arrival], wind_start_s, east, north, weather, 1.2 * far, x_m[1] - x_m[0], chain
        )
        row = max(np.searchsorted(wind_start_s, arrivals_s[arrival], side="right") - 1, 0)
        speed, sigma_v = weather[row, SPEED], weather[row, SIGMA_V]
        share = meander_share(sigma_v, speed)
        for reading in range(first_reading[arrival], first_reading[arrival + 1]):
            sensor, target = sensors_m[reading_sensor[reading]], reading_target[reading]
            weight = reading_weight[reading]
            stray[target] += weight * share / math.sqrt(speed * speed + 2.0 * sigma_v * sigma_v)
            stray_row[target] = row
            part = weight * (1.0 - share)
            for puff in range(count):
                add_puff(result[target], chain[puff], part, sensor, heights_m, x_m, y_m, in_x)
    target_sensor = np.zeros(targets, np.int64)
    for reading in range(reading_target.size):
        target_sensor[reading_target[reading]] = reading_sensor[reading]
    for target in range(targets):
        if stray[target] > 0.0:
            row, sensor = weather[stray_row[target]], sensors_m[target_sensor[target]]
            add_meander(result[target], stray[target], sensor, row, heights_m, x_m, y_m)
    return result
