"""Where a release came from, given when it was: a posterior over a grid, with all else integrated out.

Every cell's likelihood is an average over stability, over how wrong the wind's direction is and over the
rate; the couplings come from `puffs`, the likelihood from `likelihood`. A coarse map decides where to look
finely.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing import dispersion
from pipeline.tracing.grid import Grid
from pipeline.tracing.likelihood import log_likelihood, map_likelihood
from pipeline.tracing.problem import Candidate, Floats, Integers, Observations, Settings, Wind
from pipeline.tracing.puffs import couple
from pipeline.tracing.zero import subtract_zero

CALM_M_S = 0.3  # Where cup and sonic anemometers stop; slower air is taken to move so fast.
ARRIVAL_S = 60.0  # Air within a longer averaging interval is sampled this often.
RATES_G_S = (1e-4, 1e4)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the readings say of one release."""

    grid: Grid
    log_mass: Floats  # (ny, nx), sums to 1 with `outside`
    outside: float  # Mass in cells that were not refined
    rate_g_s: Floats  # (k,) ascending
    rate_mass: Floats  # (k,) sums to 1
    log_bayes_factor: float  # A source somewhere in the bounds against none
    candidates: tuple[float, ...]  # Probability of each
    unknown_location: float  # Probability that it is at none of them
    zeros_g_m3: Floats  # (s,) what each sensor reads in clean air

    @property
    def peak_m(self) -> tuple[float, float]:
        """Centre of the densest cell."""
        k, i = np.unravel_index(int(np.argmax(self.log_mass)), self.log_mass.shape)
        return float(self.grid.x_m[i]), float(self.grid.y_m[k])

    def log_density(self, x_m: float, y_m: float) -> float:
        """Return ln of the density per m² at a point; -inf outside the refined part."""
        i = math.floor((x_m - self.grid.x0_m) / self.grid.step_m)
        k = math.floor((y_m - self.grid.y0_m) / self.grid.step_m)
        if not (0 <= i < self.grid.nx and 0 <= k < self.grid.ny):
            return -math.inf
        return float(self.log_mass[k, i]) - 2.0 * math.log(self.grid.step_m)

    def rate_quantile(self, share: float) -> float:
        """Return the rate below which this share of the posterior lies, g/s."""
        held = np.cumsum(self.rate_mass)
        return float(np.exp(np.interp(share, held - 0.5 * self.rate_mass, np.log(self.rate_g_s))))


@dataclass(frozen=True, slots=True)
class _Averages:
    """Readings above zero, averaged over blocks; a target is one sensor in one block."""

    y: Floats  # (n,) g/m³
    sensor: Integers  # (n,)
    at_s: Floats  # (n,)
    first: Integers  # (sensors with data + 1,)
    arrivals_s: Floats
    first_reading: Integers
    reading_sensor: Integers
    reading_target: Integers
    reading_weight: Floats


@dataclass(frozen=True, slots=True)
class _Map:
    log_evidence: Floats  # (cells,) -inf where it was not computed
    rate_mass: Floats  # (k, cells) ln


def trace(
    observations: Observations, wind: Wind, settings: Settings, candidates: tuple[Candidate, ...] = ()
) -> Posterior:
    """Return the posterior of one release between `settings.from_s` and `settings.to_s`.

    Raises:
        ValueError: No reading starts within that time.
    """
    if settings.background_g_m3 is None:
        above, zeros, spread = subtract_zero(
            observations.value_g_m3, observations.sensor, observations.start_s, len(observations.names)
        )
    else:
        zeros = np.full(len(observations.names), settings.background_g_m3)
        above = observations.value_g_m3 - settings.background_g_m3
        below = above[above < 0.0]
        noise = math.sqrt(float(np.mean(below * below))) if below.size else 0.0
        spread = max(noise, 1e-3 * float(np.max(np.abs(above), initial=1e-9)))
    averages = _average(observations, above, settings)
    likelihood = _Likelihood(observations, averages, wind, settings, spread)

    coarse = Grid.over(settings.bounds_m, settings.coarse_cells)
    everywhere = np.ones(coarse.nx * coarse.ny, bool)
    first = likelihood.over(coarse, everywhere)
    total = np.logaddexp.reduce(first.log_evidence)
    near = first.log_evidence > first.log_evidence.max() - settings.prune
    outside = 1.0 - math.exp(np.logaddexp.reduce(first.log_evidence[near]) - total)
    fine, keep = _refine(coarse, near.reshape(coarse.ny, coarse.nx), settings.fine_cells)
    second = likelihood.over(fine, keep)

    mass = second.log_evidence - np.logaddexp.reduce(second.log_evidence) + math.log1p(-outside)
    bayes_factor = float(total - math.log(everywhere.size) - likelihood.without_source())
    named, unknown = _rank(likelihood, candidates, bayes_factor, settings)
    return Posterior(
        grid=fine,
        log_mass=mass.reshape(fine.ny, fine.nx),
        outside=outside,
        rate_g_s=likelihood.rates,
        rate_mass=_rates(second, likelihood.rates, settings.speed_error_ln),
        log_bayes_factor=bayes_factor,
        candidates=named,
        unknown_location=unknown,
        zeros_g_m3=zeros,
    )


def _average(observations: Observations, above: Floats, settings: Settings) -> _Averages:
    """Average readings over blocks of about `settings.block_s`."""
    chosen = (observations.start_s >= settings.from_s) & (observations.start_s < settings.to_s)
    if not chosen.any():
        raise ValueError("no reading starts within the release")
    start, interval = observations.start_s[chosen], observations.interval_s[chosen]
    sensor, value = observations.sensor[chosen], above[chosen]
    blocks = max(round((settings.to_s - settings.from_s) / settings.block_s), 1)
    length = (settings.to_s - settings.from_s) / blocks
    block = ((start - settings.from_s) / length).astype(np.int64)
    key, target = np.unique(sensor * blocks + block, return_inverse=True)
    weight = interval / np.bincount(target, interval)[target]

    pieces = np.maximum(np.rint(interval / ARRIVAL_S).astype(np.int64), 1)
    reading = np.repeat(np.arange(start.size), pieces)
    piece = np.arange(reading.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    arrival = start[reading] + (piece + 0.5) * (interval / pieces)[reading]
    order = np.argsort(arrival, kind="stable")
    arrivals, index = np.unique(arrival[order], return_index=True)
    reading = reading[order]
    of_sensor, in_block = key // blocks, key % blocks
    return _Averages(
        y=np.asarray(np.bincount(target, weight * value), np.float64),
        sensor=of_sensor,
        at_s=np.asarray(in_block * length, np.float64),
        first=np.append(np.unique(of_sensor, return_index=True)[1], key.size).astype(np.int64),
        arrivals_s=arrivals,
        first_reading=np.append(index, order.size).astype(np.int64),
        reading_sensor=sensor[reading],
        reading_target=target[reading].astype(np.int64),
        reading_weight=(weight / pieces)[reading],
    )


def weather_rows(wind: Wind, settings: Settings, stability: int) -> Floats:
    """Return (n, COLUMNS) as `dispersion` reads them; RLINE where u* and L were measured."""
    rows = np.empty((wind.start_s.size, dispersion.COLUMNS))
    rows[:, dispersion.SPEED] = np.maximum(wind.speed_m_s, CALM_M_S)
    measured = np.isfinite(wind.ustar_m_s) & np.isfinite(wind.obukhov_m)
    rows[:, dispersion.CLASS] = np.where(measured, dispersion.MEASURED, stability)
    rows[:, dispersion.USTAR] = wind.ustar_m_s
    rows[:, dispersion.OBUKHOV] = wind.obukhov_m
    rows[:, dispersion.SIGMA_V] = np.where(
        np.isfinite(wind.sigma_v_m_s), wind.sigma_v_m_s, settings.sigma_v_m_s
    )
    rows[:, dispersion.ROUGHNESS] = np.where(np.isfinite(wind.roughness_m), wind.roughness_m, 0.1)
    rows[:, dispersion.REFERENCE_HEIGHT] = wind.height_m
    # Where RLINE applies, the classes stand for how far it may be off: by a third less, or by half more.
    off = dict(zip(settings.classes, (1.5, 1.0, 0.67), strict=False))
    rows[:, dispersion.SCALE] = np.where(measured, off.get(stability, 1.0), 1.0)
    return rows


class _Likelihood:
    """The likelihood of a release anywhere, for given readings and wind."""

    def __init__(
        self,
        observations: Observations,
        averages: _Averages,
        wind: Wind,
        settings: Settings,
        spread_g_m3: float,
    ) -> None:
        self._sensors_m, self._averages, self._wind, self._settings = (
            observations.sensors_m,
            averages,
            wind,
            settings,
        )
        floor = spread_g_m3 / math.sqrt(settings.kept**2 + settings.wandering**2 + settings.white**2)
        self._parameters = np.array(
            [
                settings.kept,
                settings.wandering,
                settings.white,
                spread_g_m3,
                0.5 * spread_g_m3,
                floor,
                settings.memory_s,
                settings.zero_memory_s,
            ]
        )
        self._z = np.arcsinh(averages.y / floor)
        self.rates = np.exp(np.arange(math.log(RATES_G_S[0]), math.log(RATES_G_S[1]), settings.rate_step))
        prior = -0.5 * ((np.log(self.rates) - settings.rate_centre_ln) / settings.rate_sd_ln) ** 2
        self._rate_prior = prior - np.logaddexp.reduce(prior)
        row = np.maximum(np.searchsorted(wind.start_s, averages.arrivals_s, side="right") - 1, 0)
        speed = np.maximum(wind.speed_m_s[row], CALM_M_S)
        per_reading = np.repeat(speed, np.diff(averages.first_reading)) * averages.reading_weight
        mean_speed = np.bincount(averages.reading_target, per_reading)
        by_chance = np.hypot(math.radians(settings.wind_chance_deg), settings.sigma_v_chance_m_s / mean_speed)
        self._by_chance = by_chance[:, None].astype(np.float32)

    def without_source(self) -> float:
        """Return ln p(readings) when there is no source."""
        nothing = np.zeros(self._z.size)
        return float(
            log_likelihood(
                0.0, nothing, nothing, self._z, np.arange(self._z.size), self._averages.first,
                self._averages.at_s, self._parameters,
            )
        )  # fmt: skip

    def over(self, grid: Grid, keep: NDArray[np.bool_]) -> _Map:
        """Map the cells to keep: row after row, (ny · nx,)."""
        settings, averages = self._settings, self._averages
        evidence = np.full(keep.size, -np.inf)
        rate_mass = np.full((self.rates.size, keep.size), -np.inf)
        nodes = np.array(settings.direction_nodes)
        step = 0.8 * math.radians(settings.wind_error_deg)
        prior = np.exp(-0.5 * (0.8 * nodes) ** 2)
        log_weights = np.log(prior / prior.sum() / len(settings.classes))
        for stability in settings.classes:
            rows = weather_rows(self._wind, settings, stability)
            couplings = [self._couplings(grid, rows, node * step) for node in nodes]
            for n, log_weight in enumerate(log_weights):
                low, high = max(n - 1, 0), min(n + 1, nodes.size - 1)
                swings = np.abs(couplings[high] - couplings[low]) / ((nodes[high] - nodes[low]) * step)
                log_mass = map_likelihood(
                    couplings[n], (swings * self._by_chance).astype(np.float32), keep, self._z, averages.y,
                    np.arange(self._z.size), averages.first, averages.at_s, self._parameters,
                    self.rates, self._rate_prior, RATE_DROP, rate_mass, log_weight,
                )  # fmt: skip
                evidence = np.logaddexp(evidence, log_mass + log_weight)
        return _Map(evidence, rate_mass)

    def _couplings(self, grid: Grid, rows: Floats, turned: float) -> NDArray[np.float32]:
        """Return (n, cells) couplings with the wind turned clockwise by an angle in radians."""
        averages, towards = self._averages, np.radians(self._wind.from_deg + 180.0) + turned
        low, high = self._settings.source_height_m
        couplings: NDArray[np.float32] = couple(
            averages.arrivals_s, averages.first_reading, averages.reading_sensor, averages.reading_target,
            averages.reading_weight, self._sensors_m, self._wind.start_s, np.sin(towards), np.cos(towards),
            rows, low + (np.arange(3) + 0.5) / 3.0 * (high - low), grid.x_m, grid.y_m, averages.y.size,
        )  # fmt: skip
        return couplings.reshape(averages.y.size, -1)


RATE_DROP = 5.0  # e^-5 of the peak: what is further away does not move a median.


def _refine(coarse: Grid, near: NDArray[np.bool_], cells: int) -> tuple[Grid, NDArray[np.bool_]]:
    """Return a fine grid over the cells worth it, and which of its cells lie in or beside them."""
    wide = np.pad(near, 1)
    wide = wide | np.roll(wide, 1, 0) | np.roll(wide, -1, 0)
    wide = (wide | np.roll(wide, 1, 1) | np.roll(wide, -1, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(wide)
    west, south = coarse.x0_m + columns.min() * coarse.step_m, coarse.y0_m + rows.min() * coarse.step_m
    east, north = (
        coarse.x0_m + (columns.max() + 1) * coarse.step_m,
        coarse.y0_m + (rows.max() + 1) * coarse.step_m,
    )
    fine = Grid.over((float(west), float(south), float(east), float(north)), cells)
    i = np.clip(((fine.x_m - coarse.x0_m) / coarse.step_m).astype(int), 0, coarse.nx - 1)
    k = np.clip(((fine.y_m - coarse.y0_m) / coarse.step_m).astype(int), 0, coarse.ny - 1)
    return fine, wide[np.ix_(k, i)].ravel()


def _rates(found: _Map, rates: Floats, speed_error_ln: float) -> Floats:
    """Return the rate's posterior; an error of the wind's speed moves the rate in proportion."""
    log_mass = np.logaddexp.reduce(found.rate_mass, axis=1)
    mass = np.exp(log_mass - log_mass.max())
    apart = np.log(rates)[:, None] - np.log(rates)[None, :]
    blur = np.exp(-0.5 * (apart / speed_error_ln) ** 2)
    mass = (blur / blur.sum(axis=0)) @ mass
    return np.asarray(mass / mass.sum())


def _rank(
    likelihood: _Likelihood, candidates: tuple[Candidate, ...], bayes_factor: float, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """Return the probability of each candidate and that of none of them, given that there is a source."""
    if not candidates:
        return (), 1.0
    prior = np.array([candidate.prior for candidate in candidates])
    prior = prior / prior.sum() * (1.0 - settings.probability_of_unlisted)
    scores = np.empty(len(candidates) + 1)
    for n, candidate in enumerate(candidates):
        r = max(candidate.radius_m, 0.5)
        x, y = candidate.x_m, candidate.y_m
        around = Grid.over((x - r, y - r, x + r, y + r), 16)
        east, north = np.meshgrid(around.x_m - x, around.y_m - y)
        disc = (np.hypot(east, north) <= r).ravel()
        found = likelihood.over(around, disc).log_evidence
        scores[n] = np.logaddexp.reduce(found) - math.log(int(disc.sum())) + math.log(prior[n])
    scores[-1] = bayes_factor + likelihood.without_source() + math.log(settings.probability_of_unlisted)
    probability = np.exp(scores - np.logaddexp.reduce(scores))
    return tuple(float(p) for p in probability[:-1]), float(probability[-1])
