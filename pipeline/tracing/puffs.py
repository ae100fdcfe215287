"""The coupling of every place with every averaged reading, by puffs tracked back from the sensors.

A reading is the air that passed the sensor. Tracked back along the wind, that air is a chain of Gaussian
puffs that grow with the distance travelled; what a source somewhere adds to the reading is the chain's
density there, kept on rings and spokes around the sensor.

How wide a plume is: Briggs' rural curves, and RLINE where u* and L were measured. Sources: Briggs (1973),
ATDL 79, as in Hanna, Briggs, Hosker (1982), Handbook on Atmospheric Diffusion, table 4.5; Snyder, Venkatram
et al. (2013), Atmospheric Environment 77, doi:10.1016/j.atmosenv.2013.05.074 (RLINE's vertical spread);
Irwin (1983), Journal of Climate and Applied Meteorology 22(1), after Draxler (1976), Atmospheric Environment
10(2): the horizontal spread where turbulence was measured.

One file on purpose: numba's cache on disk sees a change of the file that a function stands in, and of no
other; compiled functions that call each other across files would go on running old code.
"""

import math

import numpy as np
from numba import njit

# A row of weather: the columns of the matrix `weather` that the compiled functions read.
SPEED, CLASS, USTAR, OBUKHOV, SIGMA_V, ROUGHNESS, REFERENCE_HEIGHT, SCALE = range(8)
MEASURED = -1.0  # In column CLASS: u* and L are measured, RLINE applies. Else 0..5 for A..F.
COLUMNS = 8

_VON_KARMAN = 0.4
_IRWIN_S = 1000.0  # Travel over which air begins to forget how it swayed
_SPEED_ITERATIONS = 4  # Of Ue, the speed at the plume's mean height; changes below 1 % after three.


@njit(cache=True, error_model="numpy")
def briggs_rural(distance_m: float, stability: int) -> tuple[float, float]:
    """Return (σy, σz) in metres at a distance, for classes 0 (A) to 5 (F)."""
    x = distance_m
    side = (0.22, 0.16, 0.11, 0.08, 0.06, 0.04)[stability] * x / math.sqrt(1.0 + 1e-4 * x)
    if stability == 0:
        up = 0.20 * x
    elif stability == 1:
        up = 0.12 * x
    elif stability == 2:
        up = 0.08 * x / math.sqrt(1.0 + 2e-4 * x)
    elif stability == 3:
        up = 0.06 * x / math.sqrt(1.0 + 1.5e-3 * x)
    elif stability == 4:
        up = 0.03 * x / (1.0 + 3e-4 * x)
    else:
        up = 0.016 * x / (1.0 + 3e-4 * x)
    return side, up


@njit(cache=True, error_model="numpy")
def log_profile(height_m: float, roughness_m: float, obukhov_m: float) -> float:
    """Return κU/u* at a height: the diabatic logarithmic profile (Businger, Dyer), within |z/L| <= 1."""
    z = max(height_m, 2.0 * roughness_m)
    zeta = min(max(z / obukhov_m, -1.0), 1.0)
    if zeta >= 0.0:
        psi = -5.0 * zeta
    else:
        x = (1.0 - 16.0 * zeta) ** 0.25
        psi = (
            2.0 * math.log(0.5 * (1.0 + x))
            + math.log(0.5 * (1.0 + x * x))
            - 2.0 * math.atan(x)
            + 0.5 * math.pi
        )
    return max(math.log(z / roughness_m) - psi, 0.5)


@njit(cache=True, error_model="numpy")
def rline(
    distance_m: float,
    ustar_m_s: float,
    obukhov_m: float,
    sigma_v_m_s: float,
    speed_m_s: float,
    roughness_m: float,
    reference_m: float,
) -> tuple[float, float, float]:
    """Return (σy, σz, Ue): spreads in metres, and the speed in m/s at the plume's mean height √(2/π)σz."""
    stretch = abs(obukhov_m)
    at_reference = log_profile(reference_m, roughness_m, obukhov_m)
    effective = speed_m_s
    up = 0.0
    for _ in range(_SPEED_ITERATIONS):
        run = ustar_m_s / effective * distance_m
        if obukhov_m > 0.0:
            up = 0.57 * run / (1.0 + 3.0 * ustar_m_s / effective * (distance_m / stretch) ** (2.0 / 3.0))
        else:
            up = 0.57 * run * (1.0 + 1.5 * run / stretch)
        mean_height = math.sqrt(2.0 / math.pi) * up
        effective = max(speed_m_s * log_profile(mean_height, roughness_m, obukhov_m) / at_reference, 0.1)
    seconds = distance_m / effective
    side = sigma_v_m_s * seconds / (1.0 + 0.9 * math.sqrt(seconds / _IRWIN_S))
    return side, up, effective


@njit(cache=True, error_model="numpy")
def spread(distance_m, row):  # type: ignore[no-untyped-def]
    """Return (σy, σz, speed) at a distance in the weather of one row; σy times the row's scale."""
    if row[CLASS] == MEASURED:
        side, up, speed = rline(
            distance_m,
            row[USTAR],
            row[OBUKHOV],
            row[SIGMA_V],
            row[SPEED],
            row[ROUGHNESS],
            row[REFERENCE_HEIGHT],
        )
    else:
        side, up = briggs_rural(distance_m, int(row[CLASS]))
        speed = row[SPEED]
        side = math.hypot(side, row[SIGMA_V] / speed * distance_m)
    return side * row[SCALE], up, speed


STEP = 1.5  # Of a puff's spread: Gaussians in a row, so close, sum to a constant within 3e-4.
REACH = 3.5  # Spreads beyond which a puff is nothing: 2e-3 of its peak.
LOWEST_SPREAD_M = 0.3
NEAREST_M = 1.0  # Of the rings: a source closer to a sensor counts as this close.
RING_LN = 0.1  # From ring to ring, in ln distance.
BEARING_DEG = 2.0  # From spoke to spoke.


@njit(cache=True, error_model="numpy")
def vertical(source_m: float, receptor_m: float, spread_m: float) -> float:
    """Return the density in height, 1/m, over ground that reflects everything."""
    below = (source_m - receptor_m) / spread_m
    above = (source_m + receptor_m) / spread_m
    return (math.exp(-0.5 * below * below) + math.exp(-0.5 * above * above)) / (
        math.sqrt(2.0 * math.pi) * spread_m
    )


@njit(cache=True, error_model="numpy")
def mean_vertical(heights_m, receptor_m, spread_m):  # type: ignore[no-untyped-def]
    """Return the density in height, 1/m, averaged over heights of the source."""
    total = 0.0
    for height in heights_m:
        total += vertical(height, receptor_m, spread_m)
    return total / heights_m.size


@njit(cache=True, error_model="numpy")
def meander_share(sigma_v_m_s: float, speed_m_s: float) -> float:
    """Return the part of a plume that low wind spreads over all directions (AERMOD, RLINE)."""
    side = 2.0 * sigma_v_m_s * sigma_v_m_s
    return side / (side + speed_m_s * speed_m_s)


@njit(cache=True, error_model="numpy")
def track(arrival_s, wind_start_s, east, north, weather, far_m, step, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the puffs of the air that arrives at a time, and return how many there are.

    Args:
        arrival_s: When the air arrives.
        wind_start_s: (n,) ascending starts of the wind's rows; the first row also holds before it.
        east: (n,) unit vector of where the wind blows towards.
        north: (n,) the same, to the north.
        weather: (n, COLUMNS).
        far_m: Where to stop.
        step: From puff to puff, in spreads.
        out: (m, 5) receives east, north (m from the sensor), σ_h² (m²), σ_z (m), time spent (s).
    """
    row = max(np.searchsorted(wind_start_s, arrival_s, side="right") - 1, 0)
    time_s, gone_m, x, y, count = arrival_s, 0.0, 0.0, 0.0, 0
    while gone_m < far_m and count < out.shape[0]:
        side, _, speed = spread(max(gone_m, NEAREST_M), weather[row])
        length = step * max(side, LOWEST_SPREAD_M)
        seconds = length / speed
        last = row > 0 and time_s - seconds < wind_start_s[row]
        if last:
            seconds = time_s - wind_start_s[row]
            length = seconds * speed
        if length > 0.0:
            side, up, _ = spread(gone_m + 0.5 * length, weather[row])
            out[count, 0] = x - 0.5 * length * east[row]
            out[count, 1] = y - 0.5 * length * north[row]
            out[count, 2] = max(side, LOWEST_SPREAD_M) ** 2
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


@njit(cache=True, fastmath=True, error_model="numpy")
def add_puff(field, puff, part, rings_m, ring_ln, spoke):  # type: ignore[no-untyped-def]
    """Add a puff to a polar field (rings, spokes) around the sensor that it arrives at."""
    variance = puff[2]
    away = math.hypot(puff[0], puff[1])
    bearing = math.atan2(puff[0], puff[1])
    reach = REACH * math.sqrt(variance)
    scale = part / (2.0 * math.pi * variance)
    spokes = field.shape[1]
    nearest = max(away - reach, rings_m[0])
    first = math.floor(math.log(nearest / rings_m[0]) / ring_ln)
    for ring in range(first, rings_m.size):
        r = rings_m[ring]
        if r > away + reach:
            break
        apart = (r - away) * (r - away) / variance
        if apart > REACH * REACH:
            continue
        sharp = max(r * away / variance, 1e-9)
        open_ = 0.5 * (REACH * REACH - apart) / sharp
        half = math.pi if open_ >= 2.0 else math.acos(1.0 - open_)
        low = math.ceil((bearing - half) / spoke)
        high = min(math.floor((bearing + half) / spoke), low + spokes - 1)
        if low > high:
            continue
        level = scale * math.exp(-0.5 * apart)
        # The cosine of evenly spaced angles by its recurrence: one exponential a spoke is dear enough.
        turn = 2.0 * math.cos(spoke)
        before, now = math.cos((low - 1) * spoke - bearing), math.cos(low * spoke - bearing)
        for k in range(low, high + 1):
            field[ring, k % spokes] += level * math.exp(sharp * (now - 1.0))
            before, now = now, turn * now - before


@njit(cache=True, fastmath=True, error_model="numpy")
def couple(  # type: ignore[no-untyped-def]
    arrivals_s, first_reading, reading_sensor, reading_target, reading_weight,
    heights_m, wind_start_s, east, north, weather, source_heights_m,
    rings_m, spokes, step, targets,
):  # fmt: skip
    """Return (targets, rings, spokes) couplings in s/m³: g/m³ in each averaged reading per g/s from there.

    `rings_m` grow by a constant factor; spoke k bears 2πk/spokes clockwise from north, seen from the
    target's sensor. Where all wind turns by an angle, tracks turn about their sensors as rigid bodies: so
    one field serves every error of direction, every grid and every sensor at one height.

    Args:
        arrivals_s: (t,) ascending arrival times.
        first_reading: (t + 1,) where each arrival's readings start in the next three.
        reading_sensor: (r,) sensor of each reading.
        reading_target: (r,) averaged reading that it is part of.
        reading_weight: (r,) its weight there.
        heights_m: (s,) of the sensors, above ground.
        wind_start_s: (n,) ascending.
        east: (n,) unit vector the wind blows towards.
        north: (n,) the same.
        weather: (n, COLUMNS).
        source_heights_m: (h,) averaged over.
        rings_m: (k,) ascending.
        spokes: How many.
        step: From puff to puff, in spreads.
        targets: How many averaged readings there are.
    """
    result = np.zeros((targets, rings_m.size, spokes), np.float32)
    level, of_height = np.unique(heights_m), np.searchsorted(np.unique(heights_m), heights_m)
    fields = np.zeros((level.size, rings_m.size, spokes), np.float32)
    chain = np.empty((4000, 5))
    ring_ln, spoke = math.log(rings_m[1] / rings_m[0]), 2.0 * math.pi / spokes
    for arrival in range(arrivals_s.size):
        count = track(arrivals_s[arrival], wind_start_s, east, north, weather, rings_m[-1], step, chain)
        row = weather[max(np.searchsorted(wind_start_s, arrivals_s[arrival], side="right") - 1, 0)]
        share = meander_share(row[SIGMA_V], row[SPEED])
        stray = share / math.sqrt(row[SPEED] ** 2 + 2.0 * row[SIGMA_V] ** 2)
        here = slice(first_reading[arrival], first_reading[arrival + 1])
        fields[:] = 0.0
        for n in range(level.size):
            if not np.any(of_height[reading_sensor[here]] == n):
                continue
            for puff in range(count):
                density = mean_vertical(source_heights_m, level[n], chain[puff, 3])
                part = (1.0 - share) * chain[puff, 4] * density
                add_puff(fields[n], chain[puff], part, rings_m, ring_ln, spoke)
            for ring in range(rings_m.size):
                _, up, _ = spread(rings_m[ring], row)
                density = mean_vertical(source_heights_m, level[n], max(up, LOWEST_SPREAD_M))
                fields[n, ring] += np.float32(stray * density / (2.0 * math.pi * rings_m[ring]))
        for reading in range(here.start, here.stop):
            target, n = reading_target[reading], of_height[reading_sensor[reading]]
            weight = np.float32(reading_weight[reading])
            for ring in range(rings_m.size):
                for k in range(spokes):
                    result[target, ring, k] += weight * fields[n, ring, k]
    return result


@njit(cache=True, fastmath=True, error_model="numpy")
def polar(points_m, x_m, y_m, rings_m):  # type: ignore[no-untyped-def]
    """Return (ring, part of the way to the next, bearing) of places seen from points, (points, cells) each.

    Args:
        points_m: (p, 3).
        x_m: (cells,) east.
        y_m: (cells,) north.
        rings_m: (rings,).
    """
    ring = np.empty((points_m.shape[0], x_m.size), np.int32)
    out, bearing = np.empty(ring.shape, np.float32), np.empty(ring.shape, np.float32)
    per_ln = 1.0 / math.log(rings_m[1] / rings_m[0])
    for point in range(points_m.shape[0]):
        for c in range(x_m.size):
            dx, dy = x_m[c] - points_m[point, 0], y_m[c] - points_m[point, 1]
            k = max(math.log(max(math.hypot(dx, dy), 1e-9) / rings_m[0]) * per_ln, 0.0)
            ring[point, c] = min(int(k), rings_m.size - 2)
            out[point, c] = min(k - ring[point, c], 1.0)
            bearing[point, c] = math.atan2(dx, dy)
    return ring, out, bearing


@njit(cache=True, fastmath=True, error_model="numpy")
def interpolate(field, point, ring, out, bearing, turned, result):  # type: ignore[no-untyped-def]
    """Fill `result` (rows, cells) with couplings at places, with all wind turned clockwise.

    Args:
        field: (rows, rings, spokes) as `couple` returns it.
        point: (rows,) of each row, index into the next three.
        ring: (points, cells) as `polar` returns it.
        out: The same.
        bearing: The same.
        turned: Radians.
        result: (rows, cells) float32.
    """
    spokes, one = field.shape[2], np.float32(1.0)
    per_radian, whole = np.float32(spokes / (2.0 * math.pi)), np.float32(spokes)
    spoke, on = np.empty(ring.shape[1], np.int32), np.empty(ring.shape[1], np.float32)
    for row in range(point.size):
        if row == 0 or point[row] != point[row - 1]:
            seen = bearing[point[row]]
            for c in range(spoke.size):
                m = (seen[c] - np.float32(turned)) * per_radian
                m -= np.floor(m / whole) * whole
                spoke[c] = min(np.int32(m), np.int32(spokes - 1))
                on[c] = m - spoke[c]
        rings, outward = ring[point[row]], out[point[row]]
        for c in range(spoke.size):
            k, m = rings[c], spoke[c]
            after = m + 1 if m + 1 < spokes else 0
            near = field[row, k, m] * (one - on[c]) + field[row, k, after] * on[c]
            far = field[row, k + 1, m] * (one - on[c]) + field[row, k + 1, after] * on[c]
            result[row, c] = near * (one - outward[c]) + far * outward[c]


@njit(cache=True)
def look_up(field, sensor, sensors_m, x_m, y_m, rings_m, turned, result):  # type: ignore[no-untyped-def]
    """Fill `result` (targets, cells) with couplings at places, with all wind turned clockwise.

    Args:
        field: (targets, rings, spokes) as `couple` returns it.
        sensor: (targets,) sensor of each target.
        sensors_m: (s, 3).
        x_m: (cells,) east.
        y_m: (cells,) north.
        rings_m: (rings,).
        turned: Radians.
        result: (targets, cells) float32.
    """
    ring, out, bearing = polar(sensors_m, x_m, y_m, rings_m)
    interpolate(field, sensor, ring, out, bearing, turned, result)
