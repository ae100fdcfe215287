"""The particles: a three-dimensional Lagrangian stochastic model.

Velocities beyond the resolved motion follow a Langevin equation in components divided by their standard
deviations; there the well-mixed condition in turbulence that changes with height is one drift term, the
gradient of sigma_w (Wilson, Legg and Thomson 1983, Boundary-Layer Meteorology 27; Thomson 1987, Journal of
Fluid Mechanics 180). Ground and mixing height reflect; what is above the mixing height stays above until
that grows past it.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devices.world.air.compiled import compiled, inlined
from devices.world.air.counting import Count, Watch, count
from devices.world.air.flow import Flow, inside, motion
from devices.world.air.grid import CELL_M
from devices.world.air.turbulence import (
    GAIN_H,
    GAIN_W,
    LEVEL_M,
    LONGER,
    LOST_H,
    LOST_W,
    SIGMA_H,
    SIGMA_W,
    STEP,
    TIME_H,
    TIME_W,
    TOP_M,
)

MINUTE_S = 60.0
AGE_MAX_S = 7200.0  # Older particles have lost themselves in what the region brings in.

# Columns of a particle. Velocities are over their standard deviations; variances are its cloud's, m2; `AHEAD`
# is how far into the next minute its place holds, or its release lies, s; `WEIGHT` for how many seconds of
# its source's emission it stands.
X, Y, Z, U, V, W, VARIANCE_H, VARIANCE_V, AGE, AHEAD, WEIGHT = range(11)
COLUMNS = 11

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]


class Swarm(NamedTuple):
    """Particles in flight, up to a capacity. `slots` holds the minute of their release, as a row of rates."""

    particles: Floats  # (capacity, 11)
    sources: Indices
    slots: Indices


class Chance(NamedTuple):
    """A generator (SplitMix64) and the values it draws: equally likely, standing for the normal law."""

    state: npt.NDArray[np.uint64]  # (1,)
    normal: Floats  # (4096,)


def chance(seed: int) -> Chance:
    """Return the generator of a seed."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 4096) for i in range(4096)])
    return Chance(np.array([seed], np.uint64), np.asarray(values / values.std(), dtype=np.float32))


@compiled
def fly(
    swarm: Swarm, flying: int, flow: Flow, luck: Chance, rates: Floats, watched: Watch, counted: Count
) -> int:
    """Let the first `flying` particles fly for a minute and count them; return how many are left.

    Those that leave the grid or grow too old are taken out, the others keep their order. `rates` is
    (slots, sources, `EMITTED`): g/s at the time of release, less what rain has washed out since.
    """
    left = 0
    for i in range(flying):
        particle = swarm.particles[i]
        of_source = rates[swarm.slots[i], swarm.sources[i]]
        if fly_one(particle, flow, luck, of_source, swarm.sources[i], watched, counted):
            if left != i:
                swarm.particles[left] = particle
                swarm.sources[left], swarm.slots[left] = swarm.sources[i], swarm.slots[i]
            left += 1
    return left


@inlined
def fly_one(
    particle: Floats, flow: Flow, luck: Chance, rates: Floats, source: int, watched: Watch, counted: Count
) -> bool:
    """Let one particle fly to the minute's end and count it on its way; return whether it stays.

    Its last step may lead into the next minute: steps are never cut. A stack's plume may have risen beyond
    the grid before its particles are set free: they never were inside.
    """
    x, y, z = float(particle[X]), float(particle[Y]), float(particle[Z])
    u, v, w = float(particle[U]), float(particle[V]), float(particle[W])
    variance_h, variance_v = float(particle[VARIANCE_H]), float(particle[VARIANCE_V])
    age_s, ahead_s = float(particle[AGE]), float(particle[AHEAD])
    table, rows = flow.table, flow.gusts.shape[1]
    if not inside(flow, x, y):
        return False
    beneath = z < flow.mixing_height_m + 1e-3  # What float32 has rounded up belongs below.
    while ahead_s < MINUTE_S:
        level = int(z / LEVEL_M)
        part = z / LEVEL_M - level
        slope = (table[level + 1, SIGMA_W] - table[level, SIGMA_W]) / LEVEL_M
        sigma_h, sigma_w = table[level, SIGMA_H], table[level, SIGMA_W] + part * LEVEL_M * slope
        step_s = float(table[level, STEP])
        first, second, third = draw_three(luck)
        u += table[level, GAIN_H] * first - table[level, LOST_H] * u
        v += table[level, GAIN_H] * second - table[level, LOST_H] * v
        w += table[level, GAIN_W] * third - table[level, LOST_W] * w + slope * step_s

        east, north, up = motion(flow, x, y, z)
        x += (east + u * sigma_h) * step_s
        y += (north + v * sigma_h) * step_s
        # The last term makes up for steps that are longer where the next one begins.
        z += (up + w * sigma_w + 0.5 * sigma_w**2 * table[level, LONGER]) * step_s
        if z < 0.0:
            z, w = -z, -w
        if beneath != (z < flow.mixing_height_m):
            z, w = max(2.0 * flow.mixing_height_m - z, 0.0), -w
        z = min(z, TOP_M)
        age_s += step_s
        ahead_s += step_s
        # Taylor's theorem: the spread of a cloud grows as its velocities are remembered.
        variance_h += 2.0 * sigma_h**2 * step_s * min(age_s, table[level, TIME_H])
        variance_v += 2.0 * sigma_w**2 * step_s * min(age_s, table[level, TIME_W])
        if not inside(flow, x, y):
            return False
        cell = int((x - flow.x0_m) / CELL_M) * rows + int((y - flow.y0_m) / CELL_M)
        weight_s = particle[WEIGHT] * step_s / MINUTE_S
        count(counted, watched, cell, (x, y, z), (variance_h, variance_v), weight_s, age_s, source, rates)
    particle[X], particle[Y], particle[Z] = x, y, z
    particle[U], particle[V], particle[W] = u, v, w
    particle[VARIANCE_H], particle[VARIANCE_V] = variance_h, variance_v
    particle[AGE], particle[AHEAD] = age_s, ahead_s - MINUTE_S
    return age_s < AGE_MAX_S


@inlined
def draw_three(luck: Chance) -> tuple[float, float, float]:
    """Return three independent normal values, each from 12 bits of one number (Steele et al. 2014)."""
    luck.state[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = luck.state[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    low, middle, high = bits, bits >> np.uint64(12), bits >> np.uint64(24)
    mask, normal = np.uint64(4095), luck.normal
    return float(normal[low & mask]), float(normal[middle & mask]), float(normal[high & mask])
