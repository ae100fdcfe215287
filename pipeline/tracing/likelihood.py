"""How well a source explains averaged readings: a lognormal error that keeps the mean, and what drifts.

A reading is y = M·exp(η − v/2) + b + ε, with M = q·a the modelled concentration, η the model's error (an
Ornstein-Uhlenbeck part, a white part; log sd) and ε noise. In z = asinh(y/c), which is ln y far above c and y
far below it, the error has a sd that hardly depends on M; linearised there, what errs is the state of a
Kalman filter, which integrates it out in one pass. There are three states, each fading in its own memory:

- readings in time: a part of η that a sensor keeps; the wandering part of η; the zero's drift b;
- one reading of each sensor, in order of ln distance from the source, so that readings at one distance share
  their errors: where the plume's axis is, by dM/dθ; the wandering part of η; the plume's width, by dM/dlnσy.

A wind direction that is wrong by chance moves M by dM/dθ: large at the edge of a plume, small on its axis.
Innovations count as Student's t, so that no single gust decides. The rate is integrated by quadrature on a
lattice of ln q.

Concentrations here are in units of c. Cells are worked on `LANES` at a time, so that the processor does
several at once; that is why inputs and states stand in one array each, and why division does not ask whether
it is by zero.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_intrinsic: Any = intrinsic  # Its type counts the typing context among a call's arguments.

# Columns of the parameters' vector.
LEADING, WANDERING, WHITE, TRAILING, NOISE, TAIL, CONSTANT, SHIFT = range(8)

LANES = 16
HOPELESS = 30.0  # e^-30 of the best: it counts nowhere.
# Rows of what a reading brings to the filter, for each lane.
COUPLING, LEAD, TRAIL, SWING, VALUE, HELD = range(6)  # HELD: three rows, one a state
_FEED = 9
# Rows of the filter's state: three means, their variances, their covariances 01, 02, 12, and ln p so far.
_MEAN, _VARIANCE, _COVARIANCE, _SUM = 0, 3, 6, 9
_STATES = 10


@_intrinsic
def _as_bits(typing_context, value):  # type: ignore[no-untyped-def]  # noqa: ARG001 numba's form
    """Return the bits of a float32 as int32."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), build


@_intrinsic
def _as_float(typing_context, bits):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the float32 of which these are the bits."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), build


@njit(cache=True, fastmath=True, error_model="numpy")
def logarithm(value):  # type: ignore[no-untyped-def]
    """Return the logarithm of a positive float32, within 3e-7.

    Exponent and mantissa are taken apart, so that the compiler can do many at once; the series is that of
    2·artanh((m − 1)/(m + 1)) for a mantissa in [1/√2, √2).
    """
    f32, i32 = np.float32, np.int32
    shifted = i32(_as_bits(value) - i32(0x3F3504F3))
    exponent = i32(shifted >> i32(23))
    m = _as_float(i32(i32(shifted & i32(0x007FFFFF)) + i32(0x3F3504F3)))
    r = (m - f32(1.0)) / (m + f32(1.0))
    r2 = r * r
    series = f32(1 / 9) * r2 + f32(1 / 7)
    series = series * r2 + f32(1 / 5)
    series = series * r2 + f32(1 / 3)
    series = series * r2 + f32(1.0)
    return f32(exponent) * f32(0.6931471805599453) + f32(2.0) * r * series


@njit(cache=True, fastmath=True, error_model="numpy")
def filter_lanes(rate, feed, first, p, st, out):  # type: ignore[no-untyped-def]
    """Fill `out` (LANES,) with ln p(z | rate): a Kalman filter over each sequence of readings.

    Args:
        rate: g/s; 0: no source.
        feed: (n, _FEED, LANES) float32, sequence after sequence: coupling, 1/(g/s) in units of c; what the
            first and the third state move the reading by, per g/s; the sd by chance of the wind's direction;
            asinh of the reading above its zero; correlation of each state with the reading before.
        first: (m + 1,) where each sequence starts.
        p: (8,) parameters; zero and noise in units of c.
        st: (_STATES, LANES) float32 room to work in.
        out: (LANES,) float64.
    """
    f32 = np.float32
    q, one, half = f32(rate), f32(1.0), f32(0.5)
    leading2, wandering2, white2 = f32(p[LEADING] ** 2), f32(p[WANDERING] ** 2), f32(p[WHITE] ** 2)
    trailing2, noise2, tail = f32(p[TRAILING] ** 2), f32(p[NOISE] ** 2), f32(p[TAIL])
    shift, constant = f32(p[SHIFT]), f32(p[CONSTANT])
    tail_1, per_tail = tail + one, one / tail
    st[_SUM] = f32(0.0)
    for sequence in range(first.size - 1):
        for n in range(LANES):
            st[0, n] = st[1, n] = st[2, n] = f32(0.0)
            st[3, n], st[4, n], st[5, n] = leading2, wandering2, trailing2
            st[6, n] = st[7, n] = st[8, n] = f32(0.0)
        for i in range(first[sequence], first[sequence + 1]):
            x = feed[i]
            for n in range(LANES):
                # Errors fade since the reading before, and their uncertainty comes back.
                f0, f1, f2 = x[HELD, n], x[HELD + 1, n], x[HELD + 2, n]
                m0, m1, m2 = st[0, n] * f0, st[1, n] * f1, st[2, n] * f2
                v0 = leading2 + (st[3, n] - leading2) * f0 * f0
                v1 = wandering2 + (st[4, n] - wandering2) * f1 * f1
                v2 = trailing2 + (st[5, n] - trailing2) * f2 * f2
                v01, v02, v12 = st[6, n] * f0 * f1, st[7, n] * f0 * f2, st[8, n] * f1 * f2
                modelled = q * x[COUPLING, n]
                root = math.sqrt(modelled * modelled + one)
                h = one / root
                w, sway = modelled * h, q * x[SWING, n] * h
                g0, g2 = q * x[LEAD, n] * h, (q * x[TRAIL, n] + constant) * h
                c0 = g0 * v0 + w * v01 + g2 * v02
                c1 = g0 * v01 + w * v1 + g2 * v12
                c2 = g0 * v02 + w * v12 + g2 * v2
                variance = g0 * c0 + w * c1 + g2 * c2 + white2 * w * w + noise2 * h * h + sway * sway
                off = x[VALUE, n] + shift * w * w - g0 * m0 - w * m1 - g2 * m2 - logarithm(modelled + root)
                thick = one + off * off * per_tail / variance
                weight = min(tail_1 / (tail * thick), one) / variance
                step = off * weight
                st[0, n], st[1, n], st[2, n] = m0 + c0 * step, m1 + c1 * step, m2 + c2 * step
                st[3, n] = v0 - c0 * c0 * weight
                st[4, n] = v1 - c1 * c1 * weight
                st[5, n] = v2 - c2 * c2 * weight
                st[6, n] = v01 - c0 * c1 * weight
                st[7, n] = v02 - c0 * c2 * weight
                st[8, n] = v12 - c1 * c2 * weight
                st[9, n] -= half * (tail_1 * logarithm(thick) + logarithm(variance))
    for n in range(LANES):
        out[n] = st[_SUM, n]


@njit(cache=True, error_model="numpy")
def arrange(lane, order, z, first, at, memory, feed):  # type: ignore[no-untyped-def]
    """Write one lane of z and of correlations, in an order; `at` and `memory` share a unit."""
    for sequence in range(first.size - 1):
        for i in range(first[sequence], first[sequence + 1]):
            feed[i, VALUE, lane] = z[order[i]]
            gap = abs(at[order[i]] - at[order[i - 1]]) if i > first[sequence] else 0.0
            for state in range(3):
                feed[i, HELD + state, lane] = math.exp(-gap / memory[state]) if i > first[sequence] else 0.0


@njit(cache=True, error_model="numpy")
def without_source(z, first, at, memory, p):  # type: ignore[no-untyped-def]
    """Return ln p(z) when there is no source; arguments as in `map_rates`."""
    feed = np.zeros((z.size, _FEED, LANES), np.float32)
    order = np.arange(z.size)
    for lane in range(LANES):
        arrange(lane, order, z, first, at, memory, feed)
    out, state = np.empty(LANES), np.empty((_STATES, LANES), np.float32)
    filter_lanes(0.0, feed, first, p, state, out)
    return out[0]


@njit(cache=True, error_model="numpy")
def map_rates(  # type: ignore[no-untyped-def]
    couplings, leads, trails, swings, z, y, first, at, apart, memory, p, rates, drop, seen, out
):  # fmt: skip
    """Fill `out` (cells, rates) with ln p(z | rate) near each cell's best rate; what is far away stays -inf.

    From a guess it goes on to both sides, until the likelihood of every cell of a group has dropped by
    `drop`; neighbours have similar rates.

    Args:
        couplings: (n, cells) float32, 1/(g/s) in units of c.
        leads: (n, cells) float32, what the first state moves the reading by, per g/s.
        trails: (n, cells) float32, the same of the third; empty: it moves all alike, by the parameter.
        swings: (n, cells) float32.
        z: (n,) float32.
        y: (n,) readings above zero, in units of c.
        first: (m + 1,).
        at: (n,) seconds, in which the errors are correlated.
        apart: (n, cells) ln distance; where it is not empty, errors are correlated in that instead, over all
            readings as one sequence: those at one distance share the error of how far plumes have spread.
        memory: (3,) over which the correlation of each state falls to 1/e.
        p: (8,).
        rates: (k,) the lattice, g/s.
        drop: How far to follow the rate's likelihood down.
        seen: (1,) the best so far anywhere; where the best is worse by `HOPELESS`, it is not followed down.
        out: (cells, rates) float64.
    """
    n, cells = couplings.shape
    feed = np.zeros((n, _FEED, LANES), np.float32)
    state = np.empty((_STATES, LANES), np.float32)
    order = np.arange(n)
    for lane in range(LANES):
        arrange(lane, order, z, first, at, memory, feed)
    start = -1
    for base in range(0, cells, LANES):
        count = min(LANES, cells - base)
        for lane in range(LANES):
            cell = base + min(lane, count - 1)
            if apart.shape[0] > 0:
                distance = apart[:, cell].copy()
                order = np.argsort(distance)
                arrange(lane, order, z, first, distance, memory, feed)
            for i in range(n):
                of = order[i]
                feed[i, COUPLING, lane], feed[i, SWING, lane] = couplings[of, cell], swings[of, cell]
                feed[i, LEAD, lane] = leads[of, cell]
                if trails.shape[0] > 0:
                    feed[i, TRAIL, lane] = trails[of, cell]
        if start < 0:
            made = max(float(feed[:, COUPLING, 0].sum()), 1e-12)
            start = min(np.searchsorted(rates, np.maximum(y, 0.0).sum() / made), rates.size - 1)
        out[base : base + count] = -np.inf
        start = climb(feed, first, p, rates, drop, seen, start, state, out[base : base + count])


@njit(cache=True, error_model="numpy")
def climb(feed, first, p, rates, drop, seen, start, state, out):  # type: ignore[no-untyped-def]
    """Fill `out` (lanes, rates) around the best rates, and return the middle lane's best."""
    found, best = np.empty(LANES), np.full(LANES, -np.inf)
    where = start
    for direction in (1, -1):
        k = start if direction == 1 else start - 1
        while 0 <= k < rates.size:
            filter_lanes(rates[k], feed, first, p, state, found)
            over = True
            for lane in range(out.shape[0]):
                out[lane, k] = found[lane]
                if found[lane] > best[lane]:
                    best[lane] = found[lane]
                    where = k if lane == out.shape[0] // 2 else where
                enough = 0.0 if best[lane] < seen[0] - HOPELESS else drop
                over = over and found[lane] < best[lane] - enough
            if over:
                break
            k += direction
    seen[0] = max(seen[0], best[: out.shape[0]].max())
    return where
