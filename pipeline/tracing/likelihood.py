"""How well a source explains averaged readings: a lognormal error that keeps the mean, and drifting zeros.

A reading is y = M·exp(η − v/2) + b + ε, with M = q·a the modelled concentration, η the model's error (a part
that a sensor keeps, an Ornstein-Uhlenbeck part, a white part; log sd), b the zero's drift and ε noise. In
z = asinh(y/c), which is ln y far above c and y far below it, the error has a sd that hardly depends on M;
linearised there, sensor part, Ornstein-Uhlenbeck part and zero are the three states of a Kalman filter, which
integrates them out in one pass. A wind direction that is wrong by chance moves M by dM/dθ: large at the edge
of a plume, small on its axis. Innovations count as Student's t, so that no single gust decides. The rate is
integrated by quadrature on a lattice of ln q.

Concentrations here are in units of c. Cells are worked on `LANES` at a time, so that the processor does
several at once; that is why the filter's states stand in one flat array.
"""

import math

import numpy as np
from numba import njit

# Columns of the parameters' vector.
KEPT, WANDERING, WHITE, ZERO, NOISE, TAIL = range(6)

LANES = 16
_STATES = 16  # Rows of the flat array of states and intermediate results.


@njit(cache=True, fastmath=True)
def logarithms(values, bits):  # type: ignore[no-untyped-def]
    """Replace positive float32 by their logarithms, within 3e-7; `bits` is the same memory as int32.

    Exponent and mantissa are taken apart, so that the compiler can do many at once; the series is that of
    2·artanh((m − 1)/(m + 1)) for a mantissa in [1/√2, √2).
    """
    i32 = np.int32
    for n in range(values.size):
        shifted = np.int32(bits[n] - i32(0x3F3504F3))
        exponent = np.int32(shifted >> i32(23))
        bits[n] = np.int32(np.int32(shifted & i32(0x007FFFFF)) + i32(0x3F3504F3))
        m = values[n]
        r = (m - np.float32(1.0)) / (m + np.float32(1.0))
        r2 = r * r
        series = np.float32(1 / 9) * r2 + np.float32(1 / 7)
        series = series * r2 + np.float32(1 / 5)
        series = series * r2 + np.float32(1 / 3)
        series = series * r2 + np.float32(1.0)
        values[n] = np.float32(exponent) * np.float32(0.6931471805599453) + np.float32(2.0) * r * series


@njit(cache=True, fastmath=True)
def predict(st, held, base, half_way, wandering2, zero2):  # type: ignore[no-untyped-def]
    """Carry the states on to the next reading: errors fade, their uncertainty comes back."""
    for n in range(LANES):
        f1, f2 = held[base + n], held[half_way + base + n]
        st[n + 16] *= f1
        st[n + 32] *= f2
        st[n + 64] = wandering2 + (st[n + 64] - wandering2) * f1 * f1
        st[n + 80] = zero2 + (st[n + 80] - zero2) * f2 * f2
        st[n + 96] *= f1
        st[n + 112] *= f2
        st[n + 128] *= f1 * f2


@njit(cache=True, fastmath=True)
def filter_lanes(rate, a, swing, z, held, first, p, st, logs, bits, out):  # type: ignore[no-untyped-def]
    """Fill `out` (LANES,) with ln p(z | rate): a Kalman filter over each sequence of readings.

    Args:
        rate: g/s; 0: no source.
        a: (n · LANES,) float32 couplings, 1/(g/s) in units of c.
        swing: (n · LANES,) float32 their sd by chance of the wind's direction.
        z: (n · LANES,) float32 asinh of the readings above their zero, sequence after sequence.
        held: (2 · n · LANES,) float32 correlation with the reading before: of the wandering error, the zero.
        first: (m + 1,) where each sequence starts.
        p: (6,) parameters; zero and noise in units of c.
        st: (_STATES · LANES,) float32 room to work in.
        logs: (2 · LANES,) float32 the same.
        bits: `logs` as int32.
        out: (LANES,) float64.
    """
    f32 = np.float32
    q, one, half = f32(rate), f32(1.0), f32(0.5)
    kept2, wandering2, white2 = f32(p[KEPT] ** 2), f32(p[WANDERING] ** 2), f32(p[WHITE] ** 2)
    zero2, noise2, tail = f32(p[ZERO] ** 2), f32(p[NOISE] ** 2), f32(p[TAIL])
    shift = half * (kept2 + wandering2 + white2)
    tail_1, per_tail = tail + one, one / tail
    half_way = z.size
    out[:] = 0.0
    for sequence in range(first.size - 1):
        for n in range(LANES):
            st[n] = st[n + 16] = st[n + 32] = f32(0.0)  # Means of sensor part, wandering part, zero
            st[n + 48], st[n + 64], st[n + 80] = kept2, wandering2, zero2  # Their variances
            st[n + 96] = st[n + 112] = st[n + 128] = f32(0.0)  # Covariances 01, 02, 12
        for i in range(first[sequence], first[sequence + 1]):
            base = i * LANES
            if i > first[sequence]:
                predict(st, held, base, half_way, wandering2, zero2)
            for n in range(LANES):
                modelled = q * a[base + n]
                root = math.sqrt(modelled * modelled + one)
                h = one / root
                w = modelled * h
                sway = q * swing[base + n] * h
                c0 = w * (st[n + 48] + st[n + 96]) + h * st[n + 112]
                c1 = w * (st[n + 96] + st[n + 64]) + h * st[n + 128]
                c2 = w * (st[n + 112] + st[n + 128]) + h * st[n + 80]
                st[n + 144], st[n + 160], st[n + 176] = c0, c1, c2
                st[n + 192] = w * (c0 + c1) + h * c2 + white2 * w * w + noise2 * h * h + sway * sway
                st[n + 208] = z[base + n] + shift * w * w - w * (st[n] + st[n + 16]) - h * st[n + 32]
                logs[n] = modelled + root
            logarithms(logs[:LANES], bits[:LANES])
            for n in range(LANES):
                variance = st[n + 192]
                off = st[n + 208] - logs[n]
                thick = one + off * off * per_tail / variance
                weight = min(tail_1 / (tail * thick), one) / variance
                c0, c1, c2 = st[n + 144], st[n + 160], st[n + 176]
                st[n] += c0 * off * weight
                st[n + 16] += c1 * off * weight
                st[n + 32] += c2 * off * weight
                st[n + 48] -= c0 * c0 * weight
                st[n + 64] -= c1 * c1 * weight
                st[n + 80] -= c2 * c2 * weight
                st[n + 96] -= c0 * c1 * weight
                st[n + 112] -= c0 * c2 * weight
                st[n + 128] -= c1 * c2 * weight
                logs[n] = thick
                logs[n + 16] = variance
            logarithms(logs, bits)
            for n in range(LANES):
                out[n] -= half * (tail_1 * logs[n] + logs[n + 16])


@njit(cache=True)
def arrange(lane, order, z, first, at, memory, z_lanes, held):  # type: ignore[no-untyped-def]
    """Write one lane of z and of correlations, in an order; `at` and `memory` share a unit."""
    half_way = z.size * LANES
    for sequence in range(first.size - 1):
        for i in range(first[sequence], first[sequence + 1]):
            n = i * LANES + lane
            z_lanes[n] = z[order[i]]
            gap = abs(at[order[i]] - at[order[i - 1]]) if i > first[sequence] else 0.0
            held[n], held[half_way + n] = math.exp(-gap / memory[0]), math.exp(-gap / memory[1])


@njit(cache=True)
def without_source(z, first, at, memory, p):  # type: ignore[no-untyped-def]
    """Return ln p(z) when there is no source; arguments as in `map_rates`."""
    room = np.empty(z.size * LANES, np.float32)
    held = np.empty(2 * z.size * LANES, np.float32)
    order = np.arange(z.size)
    for lane in range(LANES):
        arrange(lane, order, z, first, at, memory, room, held)
    nothing = np.zeros(z.size * LANES, np.float32)
    logs = np.empty(2 * LANES, np.float32)
    out = np.empty(LANES)
    state = np.empty(_STATES * LANES, np.float32)
    filter_lanes(0.0, nothing, nothing, room, held, first, p, state, logs, logs.view(np.int32), out)
    return out[0]


@njit(cache=True)
def map_rates(  # type: ignore[no-untyped-def]
    couplings, swings, z, y, first, at, apart, memory, p, rates, drop, out
):  # fmt: skip
    """Fill `out` (cells, rates) with ln p(z | rate) near each cell's best rate; what is far away stays -inf.

    From a guess it goes on to both sides, until the likelihood of every cell of a group has dropped by
    `drop`; neighbours have similar rates.

    Args:
        couplings: (n, cells) float32, 1/(g/s) in units of c.
        swings: (n, cells) float32.
        z: (n,) float32.
        y: (n,) readings above zero, in units of c.
        first: (m + 1,).
        at: (n,) seconds, in which the errors are correlated.
        apart: (n, cells) ln distance; where it is not empty, errors are correlated in that instead, over all
            readings as one sequence: those at one distance share the error of how far plumes have spread.
        memory: (2,) over which the correlation of the wandering error and of the zero falls to 1/e.
        p: (6,).
        rates: (k,) the lattice, g/s.
        drop: How far to follow the rate's likelihood down.
        out: (cells, rates) float64.
    """
    n, cells = couplings.shape
    a, swing = np.zeros(n * LANES, np.float32), np.zeros(n * LANES, np.float32)
    state = np.empty(_STATES * LANES, np.float32)
    z_lanes, held = np.empty(n * LANES, np.float32), np.empty(2 * n * LANES, np.float32)
    order = np.arange(n)
    for lane in range(LANES):
        arrange(lane, order, z, first, at, memory, z_lanes, held)
    start = -1
    for base in range(0, cells, LANES):
        count = min(LANES, cells - base)
        for lane in range(LANES):
            cell = base + min(lane, count - 1)
            if apart.shape[0] > 0:
                distance = apart[:, cell].copy()
                order = np.argsort(distance)
                arrange(lane, order, z, first, distance, memory, z_lanes, held)
            for i in range(n):
                a[i * LANES + lane], swing[i * LANES + lane] = (
                    couplings[order[i], cell],
                    swings[order[i], cell],
                )
        if start < 0:
            made = max(float(a[::LANES].sum()), 1e-12)
            start = min(np.searchsorted(rates, np.maximum(y, 0.0).sum() / made), rates.size - 1)
        out[base : base + count] = -np.inf
        start = climb(a, swing, z_lanes, held, first, p, rates, drop, start, state, out[base : base + count])


@njit(cache=True)
def climb(a, swing, z, held, first, p, rates, drop, start, state, out):  # type: ignore[no-untyped-def]
    """Fill `out` (lanes, rates) around the best rates, and return the middle lane's best."""
    logs = np.empty(2 * LANES, np.float32)
    bits, found, best = logs.view(np.int32), np.empty(LANES), np.full(LANES, -np.inf)
    where = start
    for direction in (1, -1):
        k = start if direction == 1 else start - 1
        while 0 <= k < rates.size:
            filter_lanes(rates[k], a, swing, z, held, first, p, state, logs, bits, found)
            over = True
            for lane in range(out.shape[0]):
                out[lane, k] = found[lane]
                if found[lane] > best[lane]:
                    best[lane] = found[lane]
                    where = k if lane == out.shape[0] // 2 else where
                over = over and found[lane] < best[lane] - drop
            if over:
                break
            k += direction
    return where
