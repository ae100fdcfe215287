"""How well a source explains averaged readings: a lognormal error that keeps the mean, and drifting zeros.

A reading is y = M·exp(η − v/2) + b + ε, with M = q·a the modelled concentration, η the model's error (a part
that a sensor keeps, an Ornstein-Uhlenbeck part, a white part; log sd), b the zero's drift and ε noise. In
z = asinh(y/c), which is ln y far above c and y far below it, the error has a sd that hardly depends on M;
linearised there, sensor part, Ornstein-Uhlenbeck part and zero are the three states of a Kalman filter, which
integrates them out in one pass. A wind direction that is wrong by chance moves M by dM/dθ: large at the edge
of a plume, small on its axis. Innovations count as Student's t, so that no single gust decides. The rate is
integrated by quadrature on a lattice of ln q.
"""

import math

import numpy as np
from numba import njit

# Columns of the parameters' vector.
KEPT, WANDERING, WHITE, ZERO, NOISE, FLOOR, MEMORY, ZERO_MEMORY = range(8)

TAIL = 4.0  # Degrees of freedom of the errors' Student-t: a gust that misses a sensor is no proof.


@njit(cache=True, fastmath=True)
def log_likelihood(rate, a, swing, z, order, first, at, p):  # type: ignore[no-untyped-def]
    """Return ln p(z | rate): a Kalman filter over each sequence of readings.

    Args:
        rate: g/s; 0: no source.
        a: (n,) couplings, s/m³.
        swing: (n,) their sd by chance of the wind's direction, s/m³.
        z: (n,) asinh of the readings above their zero over the floor.
        order: (n,) readings, sequence after sequence, each ascending in `at`.
        first: (m + 1,) where each sequence starts in `order`.
        at: (n,) the coordinate in which the errors are correlated: s, or ln distance.
        p: (8,) parameters.
    """
    floor2 = p[FLOOR] * p[FLOOR]
    kept2, wandering2, white2, zero2 = p[KEPT] ** 2, p[WANDERING] ** 2, p[WHITE] ** 2, p[ZERO] ** 2
    shift = 0.5 * (kept2 + wandering2 + white2)
    total, product = 0.0, 1.0
    gap_before, f1, f2 = -1.0, 0.0, 0.0
    for sequence in range(first.size - 1):
        m0 = m1 = m2 = p01 = p02 = p12 = before = 0.0
        p00, p11, p22 = kept2, wandering2, zero2
        for step in range(first[sequence], first[sequence + 1]):
            i = order[step]
            if step > first[sequence]:
                gap = at[i] - before
                if gap != gap_before:
                    f1, f2, gap_before = math.exp(-gap / p[MEMORY]), math.exp(-gap / p[ZERO_MEMORY]), gap
                m1 *= f1
                m2 *= f2
                p01 *= f1
                p02 *= f2
                p12 *= f1 * f2
                p11 = wandering2 + (p11 - wandering2) * f1 * f1
                p22 = zero2 + (p22 - zero2) * f2 * f2
            before = at[i]
            modelled = rate * a[i]
            h = 1.0 / math.sqrt(modelled * modelled + floor2)
            w = modelled * h
            sway = rate * swing[i] * h
            noise = white2 * w * w + (p[NOISE] * h) ** 2 + sway * sway
            c0 = w * (p00 + p01) + h * p02
            c1 = w * (p01 + p11) + h * p12
            c2 = w * (p02 + p12) + h * p22
            variance = w * (c0 + c1) + h * c2 + noise
            off = z[i] - (math.log((modelled + 1.0 / h) / p[FLOOR]) - shift * w * w + w * (m0 + m1) + h * m2)
            tail = 1.0 + off * off / (TAIL * variance)
            total -= 0.5 * (TAIL + 1.0) * math.log(tail)
            product *= variance
            if not 1e-100 < product < 1e100:
                total -= 0.5 * math.log(product)
                product = 1.0
            gain = min((TAIL + 1.0) / (TAIL * tail), 1.0) / variance
            g = off * gain
            m0 += c0 * g
            m1 += c1 * g
            m2 += c2 * g
            p00 -= c0 * c0 * gain
            p11 -= c1 * c1 * gain
            p22 -= c2 * c2 * gain
            p01 -= c0 * c1 * gain
            p02 -= c0 * c2 * gain
            p12 -= c1 * c2 * gain
    return total - 0.5 * math.log(product)


@njit(cache=True)
def integrate_rate(a, swing, z, order, first, at, p, rates, start, drop, out):  # type: ignore[no-untyped-def]
    """Fill `out` with ln p(z | rate) at the lattice's rates, near its peak, and return the peak's index.

    It climbs from `start` and goes on to both sides until the likelihood has dropped by `drop`; what it does
    not visit stays -inf.
    """
    out[:] = -np.inf
    i = start
    out[i] = log_likelihood(rates[i], a, swing, z, order, first, at, p)
    best = i
    for direction in (1, -1):
        k = start + direction
        while 0 <= k < rates.size:
            out[k] = log_likelihood(rates[k], a, swing, z, order, first, at, p)
            if out[k] > out[best]:
                best = k
            elif out[k] < out[best] - drop:
                break
            k += direction
    return best


@njit(cache=True)
def map_likelihood(  # type: ignore[no-untyped-def]
    couplings, swings, keep, z, y, order, first, at, p, rates, log_prior, drop, rate_mass, weight_above
):  # fmt: skip
    """Return (cells,) ln of the likelihood with the rate integrated out; -inf where `keep` is False.

    Args:
        couplings: (n, cells) s/m³.
        swings: (n, cells) s/m³.
        keep: (cells,) which to compute.
        z: (n,).
        y: (n,) readings above zero, g/m³.
        order: (n,).
        first: (m + 1,).
        at: (n,).
        p: (8,).
        rates: (k,) the lattice, g/s.
        log_prior: (k,) ln of the prior mass of each rate.
        drop: How far to follow the rate's likelihood down.
        rate_mass: (k, cells) receives ln of likelihood times prior, added in place by log-sum-exp.
        weight_above: ln of this map's prior weight.
    """
    cells = couplings.shape[1]
    result = np.full(cells, -np.inf)
    out = np.empty(rates.size)
    start = -1
    for cell in range(cells):
        if not keep[cell]:
            continue
        a, swing = couplings[:, cell].astype(np.float64), swings[:, cell].astype(np.float64)
        if start < 0:
            seen, made = 0.0, 0.0
            for i in range(a.size):
                seen += max(y[i], 0.0)
                made += a[i]
            guess = seen / max(made, 1e-12)
            start = min(np.searchsorted(rates, guess), rates.size - 1)
        start = integrate_rate(a, swing, z, order, first, at, p, rates, start, drop, out)
        top = out[start] + log_prior[start]
        total = 0.0
        for k in range(rates.size):
            if out[k] > -np.inf:
                value = out[k] + log_prior[k]
                total += math.exp(value - top)
                rate_mass[k, cell] = np.logaddexp(rate_mass[k, cell], value + weight_above)
        result[cell] = top + math.log(total)
    return result
