"""When something was released, if anything was: a hidden Markov model over all hours, onset and end unknown.

The state of the air in each block of some minutes is "nothing" or "a source in cell c with rate q". What a
sensor reads in a block counts as in `likelihood`, without the errors' memory: in z = asinh(y/s) a Student's
t around what the source would give, averaged over how wrong the wind's direction is. What clean air reads
drifts by hours; a running median that cannot follow far is taken off.

False alarms are bounded by an e-process: from the end of one event to the next, the mixture over all onsets,
ends and sources of their likelihood ratios. By Ville's inequality it exceeds 1/α with a chance of α at most
while nothing is released, if clean air is as the model says: Student's t, half as wide again as it was seen.
Pauses that are shorter than the errors' memory are none: a gust that goes elsewhere makes them, too.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.tracing import puffs
from pipeline.tracing.air import WEATHERS, weather_rows
from pipeline.tracing.grid import Grid
from pipeline.tracing.problem import Floats, Observations, Settings, Wind
from pipeline.tracing.receivers import Receivers, receive
from pipeline.tracing.zero import subtract_known

BLOCK_S = 300.0
BLOCKS_LEAST, BLOCKS_MOST = 120, 3000  # Shorter blocks where less was recorded, longer ones where more was.
CELLS = 400
CHUNK_ROWS = 300  # Averages whose fields are kept at a time.
ARRIVALS = 3  # In a block
RING_LN, SPOKES, HEIGHTS = 0.15, 120, 2
TURNS_SD = np.array([-1.5, -0.75, 0.0, 0.75, 1.5])  # Of the direction's error
RATES, RATE_LN = 9, 1.0
TAIL = 4.0
MISSED = 0.05  # A gust carries the plume past a sensor.
WIDER = 1.5  # Clean air drifts: its sd is that of the residuals times this.
DRIFT_S = 10_800.0  # The running median's window
DRIFT_SD = 3.0  # How far it can follow, in sds of clean air
LASTS_S, PAUSES_S = 4.0 * 3600.0, 8.0 * 3600.0  # Means, in long records
FALSE_ALARM_S = 30.0 * 86_400.0  # One in so long at most
ALPHA_MOST = 0.25


@dataclass(frozen=True, slots=True)
class Span:
    """When, and how sure that is: seconds, 5 %, 50 % and 95 %."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Some hours in which something was released."""

    onset: Span
    end: Span
    log_e: float
    open_end: bool  # It lasts beyond the readings


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found, the best that was not enough, and how surely there was something in each block."""

    found: tuple[Detection, ...]
    log_e_needed: float
    log_e_rest: float
    start_s: Floats  # (t,)
    on: Floats  # (t,)


@njit(cache=True, fastmath=True)
def score(z, a, weight, rates, tail, error2, missed, out):  # type: ignore[no-untyped-def]
    """Add to `out` (cells · rates,) ln p(z | source) - ln p(z | nothing) of one sensor in one block.

    Args:
        z: asinh of the reading in units of clean air's sd.
        a: (turns, cells) couplings in those units per g/s.
        weight: (turns,) of the wind's directions.
        rates: (k,) g/s.
        tail: Degrees of freedom.
        error2: Variance of the model's error, ln.
        missed: How often a plume passes by a sensor that it should meet.
        out: Receives.
    """
    turns, cells = a.shape
    half = 0.5 * (tail + 1.0)
    nothing = (1.0 + z * z / tail) ** half
    for c in range(cells):
        top = 0.0
        for n in range(turns):
            top = max(top, a[n, c])
        for k in range(rates.size):
            q = rates[k]
            if q * top < 0.05:  # Nothing here, whatever the direction.
                continue
            p = 0.0
            for n in range(turns):
                m = q * a[n, c]
                m2 = m * m
                root = math.sqrt(m2 + 1.0)
                w2 = m2 / (m2 + 1.0)
                variance = error2 * w2 + 1.0 - w2
                off = z - math.log(m + root) + 0.5 * error2 * w2
                thick = 1.0 + off * off / (tail * variance)
                p += weight[n] / (math.sqrt(variance) * thick * thick * math.sqrt(thick))
            out[c * rates.size + k] += math.log((1.0 - missed) * p * nothing + missed)


@njit(cache=True)
def filter_states(scores, prior, begin, end, started_off, forward):  # type: ignore[no-untyped-def]
    """Fill `forward` (blocks, states + 1): ln p(state, readings so far) against nothing all along.

    State 0 is nothing; the others are sources. From a source to another one is by way of nothing.

    Args:
        scores: (blocks, states) ln likelihood ratios against nothing.
        prior: (states,) ln, of what begins.
        begin: ln of the chance that something begins in a block.
        end: ln of the chance that it ends.
        started_off: ln of the chance of nothing before the first block.
        forward: Receives.
    """
    blocks, states = scores.shape
    stay_off, stay_on = math.log1p(-math.exp(begin)), math.log1p(-math.exp(end))
    forward[0, 0] = started_off
    started_on = math.log(1.0 - math.exp(started_off))
    for s in range(states):
        forward[0, s + 1] = started_on + prior[s] + scores[0, s]
    for t in range(1, blocks):
        top = forward[t - 1].max()
        mass = 0.0
        for s in range(states):
            mass += math.exp(forward[t - 1, s + 1] - top)
        ended = math.log(mass) + top + end if mass > 0.0 else -np.inf
        off = forward[t - 1, 0]
        forward[t, 0] = np.logaddexp(off + stay_off, ended)
        started = np.logaddexp(off, ended) + begin
        for s in range(states):
            forward[t, s + 1] = scores[t, s] + np.logaddexp(
                forward[t - 1, s + 1] + stay_on, started + prior[s]
            )


@njit(cache=True)
def probability_on(scores, prior, begin, end, forward, on):  # type: ignore[no-untyped-def]
    """Fill `on` (blocks,) with the probability of any source, given all readings; `forward` as filled."""
    blocks, states = scores.shape
    stay_off, stay_on = math.log1p(-math.exp(begin)), math.log1p(-math.exp(end))
    later, now = np.zeros(states + 1), np.zeros(states + 1)
    for t in range(blocks - 1, -1, -1):
        if t < blocks - 1:
            top = -np.inf
            for s in range(states):
                top = max(top, prior[s] + scores[t + 1, s] + later[s + 1])
            mass = 0.0
            for s in range(states):
                mass += math.exp(prior[s] + scores[t + 1, s] + later[s + 1] - top)
            starts = math.log(mass) + top + begin
            now[0] = np.logaddexp(later[0] + stay_off, starts)
            ends = np.logaddexp(later[0], starts) + end
            for s in range(states):
                now[s + 1] = np.logaddexp(scores[t + 1, s] + later[s + 1] + stay_on, ends)
            later[:] = now
        top = -np.inf
        for s in range(states + 1):
            top = max(top, forward[t, s] + later[s])
        mass = 0.0
        for s in range(1, states + 1):
            mass += math.exp(forward[t, s] + later[s] - top)
        off = math.exp(forward[t, 0] + later[0] - top)
        on[t] = mass / (mass + off)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Readings above zero as (blocks, sensors) averages, nan: nothing was read, and what they vary by."""

    first_s: float
    length_s: float
    y: Floats
    scale: Floats
    error2: Floats  # (sensors,) ln variance


def block_length(settings: Settings, longest_interval_s: float) -> float:
    """Return the blocks' length, seconds."""
    span = settings.to_s - settings.from_s
    length = min(max(span / BLOCKS_MOST, BLOCK_S), max(span / BLOCKS_LEAST, 10.0))
    return max(length, span / BLOCKS_MOST, longest_interval_s)


def _blocks(observations: Observations, settings: Settings) -> _Blocks:
    """Average readings over blocks, and take off what clean air reads."""
    above, _, spread = subtract_known(observations, settings.background_g_m3)
    chosen = (observations.start_s >= settings.from_s) & (observations.start_s < settings.to_s)
    seen, above = observations.select(chosen), above[chosen]
    length = block_length(settings, float(np.median(seen.interval_s)))
    sensors, blocks = len(seen.names), max(math.ceil((settings.to_s - settings.from_s) / length), 1)
    key = ((seen.start_s - settings.from_s) / length).astype(np.int64) * sensors + seen.sensor

    def mean(values: Floats | None) -> Floats:
        if values is None:
            return np.zeros((blocks, sensors))
        total = np.bincount(key, np.nan_to_num(values), minlength=blocks * sensors)
        return (total / np.maximum(np.bincount(key, minlength=blocks * sensors), 1)).reshape(blocks, sensors)

    there = (np.bincount(key, minlength=blocks * sensors) > 0).reshape(blocks, sensors)
    y = np.where(there, mean(above), math.nan)
    y = y - _drift(y, round(DRIFT_S / length), DRIFT_SD * spread)
    below = np.where(y < 0.0, y, math.nan)
    count = np.isfinite(below).sum(axis=0)
    sd = np.sqrt(np.nansum(below**2, axis=0) / np.maximum(count, 1))
    sd = np.maximum(np.where(count > 0, sd, spread), 0.5 * max(float(np.median(sd)), 0.1 * spread))
    noise = None if seen.sd_g_m3 is None else seen.sd_g_m3**2
    scale = np.sqrt((WIDER * sd) ** 2 + mean(noise) + mean(seen.limit_g_m3) ** 2)
    error2 = settings.kept**2 + settings.wandering**2 + settings.white**2
    gain = mean(seen.gain_sd).max(axis=0)
    return _Blocks(settings.from_s, length, y, scale, error2 + gain**2)


def _drift(y: Floats, window: int, most: float) -> Floats:
    """Return the running median, which cannot follow far; in a short record that of all of it."""
    if y.shape[0] < 2 * window:
        columns = [column[np.isfinite(column)] for column in y.T]
        middle = np.array([float(np.median(column)) if column.size else 0.0 for column in columns])
        return np.broadcast_to(np.clip(middle, -most, most), y.shape)
    half = window // 2
    drift = np.zeros_like(y)
    for j in range(y.shape[1]):
        seen = np.flatnonzero(np.isfinite(y[:, j]))
        if seen.size <= 2 * half:
            continue
        padded = np.pad(y[seen, j], half, mode="reflect")
        drift[seen, j] = np.median(sliding_window_view(padded, 2 * half + 1), axis=1)
    return np.asarray(np.clip(drift, -most, most))


def detect(observations: Observations, wind: Wind, settings: Settings) -> Detections:
    """Return the events between `settings.from_s` and `settings.to_s`."""
    blocks = _blocks(observations, settings)
    scores = _scores(blocks, observations, wind, settings)
    count, states = scores.shape
    span = count * blocks.length_s
    begin = math.log(blocks.length_s / min(PAUSES_S, span / 2.0))
    end = math.log(blocks.length_s / min(LASTS_S, span / 3.0))
    prior = np.full(states, -math.log(states))
    forward, on = np.empty((count, states + 1)), np.empty(count)
    filter_states(scores, prior, begin, end, math.log(0.5), forward)
    probability_on(scores, prior, begin, end, forward, on)

    needed = -math.log(min(ALPHA_MOST, span / FALSE_ALARM_S))
    found: list[Detection] = []
    best_rest, clean_from = -math.inf, 0
    for first, last in _joined(_runs(on > 0.5), round(min(settings.memory_s, span / 20.0) / blocks.length_s)):
        part = scores[clean_from : last + 1]
        filter_states(part, prior, begin, end, math.log1p(-1e-9), forward[: part.shape[0]])
        log_e = float(np.logaddexp.reduce(forward[: part.shape[0]], axis=1).max())
        if log_e >= needed:
            found.append(_detection(blocks, on, first, last, log_e))
            clean_from = last + 1
        else:
            best_rest = max(best_rest, log_e)
    starts = blocks.first_s + blocks.length_s * np.arange(count)
    return Detections(tuple(found), needed, best_rest, np.asarray(starts, np.float64), on)


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last index of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def _joined(runs: list[tuple[int, int]], pause: int) -> list[tuple[int, int]]:
    """Return the runs, those with a pause of at most so many blocks between them as one."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and first - joined[-1][1] - 1 <= pause:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return joined


def _detection(blocks: _Blocks, on: Floats, first: int, last: int, log_e: float) -> Detection:
    """Return when a run of blocks began and ended, with how unsure that is."""
    before = first
    while before > 0 and 0.02 < on[before - 1] <= on[before]:
        before -= 1
    behind = last
    while behind < on.size - 1 and 0.02 < on[behind + 1] <= on[behind]:
        behind += 1
    top = first + int(np.argmax(on[first : last + 1]))
    rising = np.maximum.accumulate(on[before : top + 1])
    falling = np.maximum.accumulate(on[top : behind + 1][::-1])[::-1]
    rises = blocks.first_s + blocks.length_s * np.arange(before, before + rising.size, dtype=np.float64)
    falls = blocks.first_s + blocks.length_s * np.arange(top + 1, top + 1 + falling.size, dtype=np.float64)

    def crossing(times: Floats, share: Floats, at: float) -> float:
        return float(np.interp(at * share.max(), share, times))

    half = 0.5 * blocks.length_s
    onset = [crossing(rises, rising, at) for at in (0.05, 0.5, 0.95)]
    end = [crossing(falls[::-1], falling[::-1], at) for at in (0.95, 0.5, 0.05)]
    return Detection(
        Span(onset[0] - half, onset[1], onset[2] + half),
        Span(end[0] - half, end[1], end[2] + half),
        log_e,
        last == on.size - 1,
    )


def _scores(blocks: _Blocks, observations: Observations, wind: Wind, settings: Settings) -> Floats:
    """Return (blocks, cells · rates) ln likelihood ratios against nothing."""
    grid = Grid.over(settings.bounds_m, CELLS)
    x, y = (part.ravel() for part in np.meshgrid(grid.x_m, grid.y_m))
    weight = np.exp(-0.5 * TURNS_SD**2)
    weight /= weight.sum()
    scores = np.zeros((blocks.y.shape[0], x.size * RATES))
    z = np.arcsinh(blocks.y / blocks.scale)
    rates: Floats | None = None
    chunk = max(CHUNK_ROWS // blocks.y.shape[1], 1)
    for first in range(0, blocks.y.shape[0], chunk):
        last = min(first + chunk, blocks.y.shape[0])
        a = _couplings(blocks, first, last, observations, wind, settings, x, y)
        a /= blocks.scale[None, first:last, :, None].astype(np.float32)
        if rates is None:  # The weakest gives a sd of clean air in the middle of its plume.
            typical = max(float(np.quantile(a[TURNS_SD.size // 2], 0.95)), 1e-30)
            rates = np.exp(np.arange(RATES) * RATE_LN) / typical
        for block in range(first, last):
            for sensor in np.flatnonzero(np.isfinite(z[block])):
                score(
                    float(z[block, sensor]), a[:, block - first, sensor], weight, rates, TAIL,
                    float(blocks.error2[sensor]), MISSED, scores[block],
                )  # fmt: skip
    return scores


def _couplings(
    blocks: _Blocks,
    first: int,
    last: int,
    observations: Observations,
    wind: Wind,
    settings: Settings,
    x_m: Floats,
    y_m: Floats,
) -> NDArray[np.float32]:
    """Return (turns, blocks, sensors, cells) s/m³, the mean of three skies."""
    sensors, count = blocks.y.shape[1], last - first
    arrivals = blocks.first_s + (first + (np.arange(count * ARRIVALS) + 0.5) / ARRIVALS) * blocks.length_s
    target = (np.repeat(np.arange(count * ARRIVALS) // ARRIVALS, sensors)) * sensors + np.tile(
        np.arange(sensors), count * ARRIVALS
    )
    receivers = receive(
        observations.sensors_m, observations.ends_m, np.tile(np.arange(sensors), count),
        np.arange(arrivals.size + 1) * sensors, target, np.full(target.size, 1.0 / ARRIVALS),
    )  # fmt: skip
    field = sum(_field(receivers, arrivals, wind, settings, weather) for weather in WEATHERS)
    assert not isinstance(field, int)
    field /= np.float32(len(WEATHERS))
    result = np.empty((TURNS_SD.size, count, sensors, x_m.size), np.float32)
    rows = np.empty((receivers.rows, x_m.size), np.float32)
    for n, turned in enumerate(np.radians(TURNS_SD * settings.wind_error_deg)):
        puffs.look_up(
            field, receivers.point, receivers.points_m, x_m, y_m, _rings(receivers, settings), turned, rows
        )
        result[n] = receivers.total(rows).reshape(count, sensors, -1)
    return result


def _rings(receivers: Receivers, settings: Settings) -> Floats:
    west, south, east, north = settings.bounds_m
    x, y = receivers.points_m[:, 0], receivers.points_m[:, 1]
    far = float(np.hypot(np.maximum(x - west, east - x), np.maximum(y - south, north - y)).max())
    count = math.ceil(math.log(max(far, 10.0) / puffs.NEAREST_M) / RING_LN) + 1
    return np.asarray(puffs.NEAREST_M * np.exp(RING_LN * np.arange(count)))


def _field(
    receivers: Receivers, arrivals_s: Floats, wind: Wind, settings: Settings, weather: int
) -> NDArray[np.float32]:
    towards = np.radians(wind.from_deg + 180.0)
    low, high = settings.source_height_m
    field: NDArray[np.float32] = puffs.couple(
        arrivals_s, receivers.first_reading, receivers.reading_point, receivers.reading_row,
        receivers.reading_weight, receivers.points_m[:, 2].copy(), wind.start_s, np.sin(towards),
        np.cos(towards), weather_rows(wind, settings, weather),
        low + (np.arange(HEIGHTS) + 0.5) / HEIGHTS * (high - low), _rings(receivers, settings), SPOKES,
        settings.puff_step, receivers.rows,
    )  # fmt: skip
    return field
