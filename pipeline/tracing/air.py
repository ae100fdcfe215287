"""Where a release came from, given when it was: a posterior over a grid, with all else integrated out.

Every cell's likelihood is an average over stability, over how wrong the wind's direction is and over the
rate; the couplings come from `puffs`, the likelihood from `likelihood`. A coarse map decides where to look
finely.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing import puffs
from pipeline.tracing.couplings import Air, Kept
from pipeline.tracing.grid import Grid
from pipeline.tracing.likelihood import map_rates, without_source
from pipeline.tracing.problem import Candidate, Floats, Integers, Observations, Settings, Wind
from pipeline.tracing.receivers import receive
from pipeline.tracing.zero import subtract_known

CALM_M_S = 0.3  # Where cup and sonic anemometers stop; slower air is taken to move so fast.
ARRIVAL_S = 60.0  # Air within a longer averaging interval is sampled this often.
RATES_G_S = (1e-4, 1e4)
FINER = 0.8  # A grid whose step is not smaller than this part of the last one is no finer.
STRIDE, STEADY_STRIDE = 2, 4  # From scout to scout, in nodes of direction
STEADY_MISS = 1.5  # As much further cells may be from the best while only scouts have been out.
RATE_DROP = 5.0  # e^-5 of the peak: what is further away does not move a median.


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
    def point_m(self) -> tuple[float, float]:
        """The posterior's mean: of all points, the one with the least expected squared distance."""
        mass = np.exp(self.log_mass)
        total = mass.sum()
        return float(mass.sum(0) @ self.grid.x_m / total), float(mass.sum(1) @ self.grid.y_m / total)

    def log_density(self, x_m: float, y_m: float) -> float:
        """Return ln of the density per m² at a point, between cells' middles; -inf where none was refined."""
        i = (x_m - self.grid.x0_m) / self.grid.step_m - 0.5
        k = (y_m - self.grid.y0_m) / self.grid.step_m - 0.5
        mass = 0.0
        for row, column in ((row, column) for row in (0, 1) for column in (0, 1)):
            at, of = math.floor(k) + row, math.floor(i) + column
            if 0 <= at < self.grid.ny and 0 <= of < self.grid.nx:
                mass += math.exp(self.log_mass[at, of]) * (1.0 - abs(k - at)) * (1.0 - abs(i - of))
        return math.log(mass) - 2.0 * math.log(self.grid.step_m) if mass > 0.0 else -math.inf

    def rate_quantile(self, share: float) -> float:
        """Return the rate below which this share of the posterior lies, g/s."""
        held = np.cumsum(self.rate_mass)
        return float(np.exp(np.interp(share, held - 0.5 * self.rate_mass, np.log(self.rate_g_s))))


@dataclass(frozen=True, slots=True)
class _Averages:
    """Readings above zero, averaged over blocks; a target is one sensor in one block."""

    y: Floats  # (n,) g/m³
    floor: Floats  # (n,) g/m³: noise of their own, or limits below which they say nothing; 0: none known
    gain_sd: Floats  # (n,) ln sd of what multiplies them
    sensor: Integers  # (n,)
    at_s: Floats  # (n,)
    block: Integers  # (n,)
    held_s: Floats  # (n,) how long was measured
    first: Integers  # (sensors with data + 1,)
    arrivals_s: Floats
    first_reading: Integers
    reading_sensor: Integers
    reading_target: Integers
    reading_weight: Floats


def trace(
    observations: Observations, wind: Wind, settings: Settings, candidates: tuple[Candidate, ...] = ()
) -> Posterior:
    """Return the posterior of one release between `settings.from_s` and `settings.to_s`.

    Raises:
        ValueError: No reading starts within that time.
    """
    likelihood, zeros = prepare(observations, wind, settings)
    return posterior(likelihood, locate(likelihood, settings), zeros, settings, candidates)


def posterior(
    likelihood: "Likelihood",
    where: "Located",
    zeros_g_m3: Floats,
    settings: Settings,
    candidates: tuple[Candidate, ...],
) -> Posterior:
    """Return the answer, candidates ranked, for one source that is located."""
    bayes_factor = where.log_evidence - likelihood.without_source()
    named, unknown = rank(likelihood, candidates, bayes_factor, settings)
    return Posterior(
        grid=where.grid,
        log_mass=where.log_mass,
        outside=where.outside,
        rate_g_s=likelihood.rates,
        rate_mass=where.rate_mass,
        log_bayes_factor=bayes_factor,
        candidates=named,
        unknown_location=unknown,
        zeros_g_m3=zeros_g_m3,
    )


@dataclass(frozen=True, slots=True)
class Located:
    """Where one source is, given where others are, if there are others."""

    grid: Grid
    log_mass: Floats  # (ny, nx)
    outside: float
    rate_mass: Floats  # (k,)
    log_evidence: float  # ln p(readings), the place uniform over the bounds


def locate(
    likelihood: "Likelihood",
    settings: Settings,
    beside: Sequence[tuple[float, float, float]] = (),
    near: tuple[Grid, NDArray[np.bool_]] | None = None,
) -> Located:
    """Return the posterior of a source's place and rate: coarse cells first, then finer where it pays.

    Args:
        likelihood: Of the readings.
        settings: The question and its priors.
        beside: Other sources: east, north, and their rate as a part of this one's.
        near: Where to look only, if that is known: (cells,) of a grid.
    """
    if near is not None:
        grid, keep = near
        where = _map(likelihood, grid, keep, beside)
        west, south, east, north = settings.bounds_m
        share = 2.0 * math.log(grid.step_m) - math.log((east - west) * (north - south))
        log_mass = where.log_mass.reshape(grid.ny, grid.nx)
        return Located(grid, log_mass, 0.0, where.rate_mass, where.log_sum + share)
    grid, outside = Grid.over(settings.bounds_m, settings.coarse_cells), 0.0
    keep, log_evidence = np.ones(grid.nx * grid.ny, bool), None
    while True:
        scouting = likelihood.scouting
        found = _map(likelihood, grid, keep, beside)
        if log_evidence is None:
            log_evidence = found.log_sum - math.log(keep.size)
        likelihood.forget(settings.prune)
        log_mass = found.log_mass + math.log1p(-outside)
        good = log_mass > log_mass.max() - (likelihood.scouts_miss if scouting else 1.0) * settings.prune
        finer, kept = _refine(grid, good.reshape(grid.ny, grid.nx), settings.fine_cells)
        if finer.step_m > FINER * grid.step_m or grid.step_m <= settings.finest_m:
            if not scouting:
                break
            finer, kept = grid, good
        outside = min(max(1.0 - math.exp(np.logaddexp.reduce(log_mass[good])), 0.0), 0.5)
        grid, keep = finer, kept
    return Located(grid, log_mass.reshape(grid.ny, grid.nx), outside, found.rate_mass, float(log_evidence))


@dataclass(frozen=True, slots=True)
class _Map:
    log_mass: Floats  # (cells,) sums to 1
    rate_mass: Floats  # (k,)
    log_sum: float


def _map(
    likelihood: "Likelihood",
    grid: Grid,
    keep: NDArray[np.bool_],
    beside: Sequence[tuple[float, float, float]],
) -> _Map:
    """Return the posterior over those cells of a grid that are kept."""
    x, y = _centres(grid)
    joint = likelihood.at(x[keep], y[keep], grid.step_m, beside)
    log_mass = np.full(keep.size, -np.inf)
    log_mass[keep] = np.logaddexp.reduce(joint, axis=1)
    total = float(np.logaddexp.reduce(log_mass))
    rates = _rates(joint, likelihood.rates, likelihood.speed_error_ln)
    return _Map(log_mass - total, rates, total)


def prepare(
    observations: Observations,
    wind: Wind,
    settings: Settings,
    kept: Kept | None = None,
    block_s: float | None = None,
) -> tuple["Likelihood", Floats]:
    """Return the likelihood of releases in `settings`' time, and (s,) what each sensor reads in clean air.

    Args:
        observations: Readings.
        wind: Wind.
        settings: The question and its priors.
        kept: Couplings of the question before, if this is the same one a little later.
        block_s: How long to average; None: as the wind turns.

    Raises:
        ValueError: No reading starts within that time.
    """
    above, zeros, spread = subtract_known(observations, settings.background_g_m3)
    averages = _average(observations, above, settings, block_s or block_length(wind, settings))
    return Likelihood(observations, averages, wind, settings, spread, kept), zeros


def _centres(grid: Grid) -> tuple[Floats, Floats]:
    """Return (x, y) of all cells, row after row."""
    x, y = np.meshgrid(grid.x_m, grid.y_m)
    return x.ravel(), y.ravel()


def block_length(wind: Wind, settings: Settings) -> float:
    """Return over how many seconds to average: the less, the faster the wind keeps turning.

    An average over a wind that turns on and on forgets which bearing brought the gas; over one that swings
    to and fro it does not.
    """
    inside = (wind.start_s >= settings.from_s) & (wind.start_s < settings.to_s)
    if inside.sum() < 2:
        return settings.block_s
    block = ((wind.start_s[inside] - settings.from_s) / settings.block_s).astype(np.int64)
    bearing = np.radians(wind.from_deg[inside])
    mean = np.bincount(block, np.cos(bearing)) + 1j * np.bincount(block, np.sin(bearing))
    mean = mean[mean != 0.0]
    if mean.size < 2:
        return settings.block_s
    turn_deg = float(np.mean(np.abs(np.degrees(np.angle(mean[1:] * np.conj(mean[:-1]))))))
    return settings.block_s * min(settings.block_turn_deg / max(turn_deg, 1e-9), 1.0)


def _average(observations: Observations, above: Floats, settings: Settings, block_s: float) -> _Averages:
    """Average readings over blocks of about so many seconds."""
    chosen = (observations.start_s >= settings.from_s) & (observations.start_s < settings.to_s)
    if not chosen.any():
        raise ValueError("no reading starts within the release")
    start, interval = observations.start_s[chosen], observations.interval_s[chosen]
    sensor, value = observations.sensor[chosen], above[chosen]
    blocks = max(round((settings.to_s - settings.from_s) / block_s), 1)
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
        floor=_floor(observations, chosen, target, weight),
        gain_sd=_mean_of(observations.gain_sd, chosen, target, weight),
        sensor=of_sensor,
        at_s=np.asarray(in_block * length, np.float64),
        block=in_block,
        held_s=np.asarray(np.bincount(target, interval), np.float64),
        first=np.append(np.unique(of_sensor, return_index=True)[1], key.size).astype(np.int64),
        arrivals_s=arrivals,
        first_reading=np.append(index, order.size).astype(np.int64),
        reading_sensor=sensor[reading],
        reading_target=target[reading].astype(np.int64),
        reading_weight=(weight / pieces)[reading],
    )


def _mean_of(values: Floats | None, chosen: NDArray[np.bool_], target: Integers, weight: Floats) -> Floats:
    """Return (n,) averages of what may not be known."""
    parts = np.zeros(target.size) if values is None else values[chosen]
    return np.asarray(np.bincount(target, weight * parts), np.float64)


def _floor(observations: Observations, chosen: NDArray[np.bool_], target: Integers, weight: Floats) -> Floats:
    """Return (n,) what averages vary by on their own: noise averages out, a detection limit does not."""
    variance = None if observations.sd_g_m3 is None else observations.sd_g_m3**2
    limit = None if observations.limit_g_m3 is None else np.nan_to_num(observations.limit_g_m3)
    noise = _mean_of(variance, chosen, target, weight) / np.bincount(target)
    return np.asarray(np.hypot(np.sqrt(noise), _mean_of(limit, chosen, target, weight)), np.float64)


SUN, CLOUD, CLEAR_NIGHT = range(3)
WEATHERS = (SUN, CLOUD, CLEAR_NIGHT)
# Pasquill's classes (A: 0 ... F: 5) by wind at 10 m below 2, 3, 5, 6 m/s and above (Turner 1970, AP-26, table
# 3-1): strong sun, overcast, a night with a clear sky.
_PASQUILL = np.array([[0, 1, 1, 2, 2], [3, 3, 3, 3, 3], [5, 5, 4, 3, 3]])
_PASQUILL_BELOW_M_S = np.array([2.0, 3.0, 5.0, 6.0])
_PASQUILL_MEAN_S = 1800.0


def weather_rows(wind: Wind, settings: Settings, weather: int, wider_ln: float = 0.0) -> Floats:
    """Return (n, COLUMNS) as `puffs` reads them, under one sky; RLINE where u* and L were measured.

    Plumes are wider across the wind by a factor of which `wider_ln` is the logarithm.
    """
    rows = np.empty((wind.start_s.size, puffs.COLUMNS))
    speed = np.maximum(wind.speed_m_s, CALM_M_S)
    low = np.searchsorted(wind.start_s, wind.start_s - _PASQUILL_MEAN_S / 2, side="left")
    high = np.searchsorted(wind.start_s, wind.start_s + _PASQUILL_MEAN_S / 2, side="right")
    total = np.concatenate(([0.0], np.cumsum(speed)))
    mean = (total[high] - total[low]) / (high - low)
    measured = np.isfinite(wind.ustar_m_s) & np.isfinite(wind.obukhov_m)
    pasquill = _PASQUILL[weather][np.searchsorted(_PASQUILL_BELOW_M_S, mean, side="right")]
    rows[:, puffs.SPEED] = speed
    if wind.stability is not None:
        pasquill = np.where(np.isfinite(wind.stability), np.nan_to_num(wind.stability), pasquill)
    rows[:, puffs.CLASS] = np.where(measured, puffs.MEASURED, pasquill)
    rows[:, puffs.USTAR] = wind.ustar_m_s
    rows[:, puffs.OBUKHOV] = wind.obukhov_m
    rows[:, puffs.SIGMA_V] = np.where(np.isfinite(wind.sigma_v_m_s), wind.sigma_v_m_s, settings.sigma_v_m_s)
    rows[:, puffs.ROUGHNESS] = np.where(np.isfinite(wind.roughness_m), wind.roughness_m, 0.1)
    rows[:, puffs.REFERENCE_HEIGHT] = wind.height_m
    rows[:, puffs.SCALE] = math.exp(wider_ln)
    return rows


def _weathers(wind: Wind, settings: Settings) -> tuple[list[tuple[int, int]], Floats]:
    """Return (sky, step of width) of all weathers averaged over, and ln of the prior of each.

    Where turbulence was measured at all times, the sky does not matter; how wide plumes are is a question of
    its own then.
    """
    measured = np.isfinite(wind.ustar_m_s) & np.isfinite(wind.obukhov_m)
    half = math.ceil(1.7 * settings.width_error_ln / settings.width_step_ln) if measured.any() else 0
    skies = (CLOUD,) if measured.all() else WEATHERS
    off = -0.5 * (settings.width_step_ln / settings.width_error_ln * np.arange(-half, half + 1)) ** 2
    weathers = [(sky, k) for sky in skies for k in range(-half, half + 1)]
    return weathers, np.tile(off - np.logaddexp.reduce(off), len(skies)) - math.log(len(skies))


def _errors(settings: Settings, *, steady: bool) -> tuple[Floats, Floats]:
    """Return (3,) memories of the filter's states, and its (8,) parameters."""
    if steady:
        of_width = math.hypot(settings.width_error_ln, settings.width_wander_ln)
        wandering2 = max(settings.wandering**2 - of_width**2, 0.1 * settings.wandering**2)
        kept2, leading, trailing, constant = (
            0.0,
            math.radians(settings.axis_deg),
            settings.width_wander_ln,
            0.0,
        )
        noise, memory = math.hypot(settings.noise_sd, settings.zero_sd), np.full(3, settings.memory_ln)
    else:
        wandering2, kept2 = settings.wandering**2, settings.kept**2
        leading, trailing, constant, noise = settings.kept, settings.zero_sd, 1.0, settings.noise_sd
        memory = np.array([np.inf, settings.memory_s, settings.zero_memory_s])
    shift = 0.5 * (kept2 + wandering2 + settings.white**2)
    wandering = math.sqrt(wandering2)
    return memory, np.array(
        [leading, wandering, settings.white, trailing, noise, settings.tail, constant, shift]
    )


class Likelihood:
    """The likelihood of a release anywhere, for given readings and wind."""

    def __init__(
        self,
        observations: Observations,
        averages: _Averages,
        wind: Wind,
        settings: Settings,
        spread_g_m3: float,
        kept: Kept | None = None,
    ) -> None:
        self._kept, self.speed_error_ln = kept, settings.speed_error_ln
        self._averages, self._settings = averages, settings
        self._floor = np.maximum(averages.floor, spread_g_m3)
        self._receivers = receive(
            observations.sensors_m, observations.ends_m, averages.sensor, averages.first_reading,
            averages.reading_target, averages.reading_weight,
        )  # fmt: skip
        # One reading of each sensor at most: nothing can be told from how it changes with time.
        self._steady = averages.first.size == averages.y.size + 1
        self._first = np.array([0, averages.y.size]) if self._steady else averages.first
        self._memory, self._parameters = _errors(settings, steady=self._steady)
        self._y = averages.y / self._floor
        self._z = np.arcsinh(self._y).astype(np.float32)
        self.rates = np.exp(np.arange(math.log(RATES_G_S[0]), math.log(RATES_G_S[1]), settings.rate_step))
        prior = -0.5 * ((np.log(self.rates) - settings.rate_centre_ln) / settings.rate_sd_ln) ** 2
        self._rate_prior = prior - np.logaddexp.reduce(prior)
        row = np.maximum(np.searchsorted(wind.start_s, averages.arrivals_s, side="right") - 1, 0)
        speed = np.maximum(wind.speed_m_s[row], CALM_M_S)
        per_reading = np.repeat(speed, np.diff(averages.first_reading)) * averages.reading_weight
        mean_speed = np.bincount(averages.reading_target, per_reading)
        by_chance = np.hypot(math.radians(settings.wind_chance_deg), settings.sigma_v_chance_m_s / mean_speed)
        step_deg = settings.direction_step * math.degrees(float(by_chance.min()))
        if self._steady:  # All sensors share one error of direction, which the nodes below are for.
            by_chance = np.full(averages.y.size, math.radians(settings.wind_local_deg))
            # Half as far from node to node: what is told apart here is the width of a plume, not of an error.
            step_deg = 0.5 * settings.direction_step * math.hypot(settings.axis_deg, settings.wind_local_deg)
        self._by_chance = by_chance[:, None]
        nodes = math.ceil(2.5 * settings.wind_error_deg / step_deg)
        self._turned = np.radians(np.arange(-nodes, nodes + 1) * step_deg)
        off = self._turned / math.radians(max(settings.wind_error_deg, 1e-3))
        self._direction_prior = -0.5 * off**2 - np.logaddexp.reduce(-0.5 * off**2)
        # For each weather: how well each direction explained the places asked for last; -inf: left out.
        self._weathers, self._weather_prior = _weathers(wind, settings)
        self._stride = STEADY_STRIDE if self._steady else STRIDE
        self.scouting, self.scouts_miss = True, STEADY_MISS if self._steady else 1.0
        scouts = np.where(np.arange(-nodes, nodes + 1) % self._stride == 0, 0.0, -np.inf)
        self._nodes = [scouts.copy() for _ in self._weathers]
        west, south, east, north = settings.bounds_m
        x, y = self._receivers.points_m[:, 0], self._receivers.points_m[:, 1]
        far = np.hypot(np.maximum(x - west, east - x), np.maximum(y - south, north - y)).max()
        rings = math.ceil(math.log(max(far, 10.0) / puffs.NEAREST_M) / settings.ring_ln) + 1
        self._rings_m = puffs.NEAREST_M * np.exp(settings.ring_ln * np.arange(rings))
        wider = settings.width_step_ln
        asked = {one for sky, k in self._weathers for one in ((sky, k - 1), (sky, k), (sky, k + 1))}
        fields = {
            (sky, k): self._field(wind, (sky, k), weather_rows(wind, settings, sky, k * wider))
            for sky, k in (asked if self._steady else self._weathers)
        }
        self._fields = [fields[one] for one in self._weathers]
        self._slopes = [  # By the width's logarithm
            (fields[sky, k + 1] - fields[sky, k - 1]) / np.float32(2.0 * wider)
            for sky, k in (self._weathers if self._steady else ())
        ]

    def _field(self, wind: Wind, weather: tuple[int, int], rows: Floats) -> NDArray[np.float32]:
        """Return (n, rings, spokes) couplings around the sensors, in 1/(g/s)."""
        settings, receivers = self._settings, self._receivers
        low, high = settings.source_height_m
        air = Air(
            self._averages.arrivals_s, wind, rows, np.linspace(low, high, 9)[1::2],
            self._rings_m, round(360.0 / settings.spoke_deg), settings.puff_step,
        )  # fmt: skip
        if self._kept is None:
            field = air.couple(receivers, 0, receivers.reading_row, receivers.reading_weight, receivers.rows)
        else:
            field = self._kept.field(weather, air, receivers, self._averages.block, self._averages.held_s)
        count = np.diff(receivers.first_row, append=receivers.rows)
        field /= np.repeat(self._floor, count)[:, None, None].astype(np.float32)
        return field

    def without_source(self) -> float:
        """Return ln p(readings) when there is no source."""
        at = np.arange(self._z.size) * 1e9 if self._steady else self._averages.at_s
        return float(without_source(self._z, self._first, at, self._memory, self._parameters))

    def forget(self, below: float) -> None:
        """Leave out weathers and directions that explained the last places worse by `below` than the best.

        First only some directions are tried, the scouts; afterwards, all those next to the good ones.
        """
        best = max(float(nodes.max()) for nodes in self._nodes)
        for nodes in self._nodes:
            near = nodes >= best - below
            if self.scouting:
                beside = np.ones(2 * self._stride - 1)
                near = np.convolve(near, beside, mode="same") > 0.0
            nodes[:] = np.where(near, 0.0, -np.inf)
        self.scouting = False

    def directions(self) -> list[Floats]:
        """Return the errors of direction, in radians, that are left in, for each weather."""
        return [self._turned[np.isfinite(nodes)] for nodes in self._nodes]

    def resume(self, directions: list[Floats]) -> None:
        """Leave in only errors of direction that were left in before, and those next to them."""
        reach = 1.2 * (self._turned[1] - self._turned[0])
        for nodes, good in zip(self._nodes, directions, strict=True):
            apart = np.abs(self._turned[:, None] - good[None, :]).min(axis=1, initial=math.inf)
            nodes[:] = np.where(apart <= reach, 0.0, -np.inf)
        self.scouting = False

    def at(
        self, x_m: Floats, y_m: Floats, step_m: float = 0.0, beside: Sequence[tuple[float, float, float]] = ()
    ) -> Floats:
        """Return (cells, rates) ln of likelihood times prior of rate, all else integrated out.

        Args:
            x_m: (cells,) east.
            y_m: (cells,) north.
            step_m: How wide the cells are.
            beside: Other sources that are there as well: east, north, and their rate as a part of this one's.
        """
        averages, receivers = self._averages, self._receivers
        points = receivers.points_m
        away = receivers.nearest(np.hypot(x_m - points[:, :1], y_m - points[:, 1:2]))
        away = np.maximum(away, max(puffs.NEAREST_M, 0.5 * step_m))
        apart = np.log(away) if self._steady else np.empty((0, 0))
        # A source somewhere in a wide cell: its bearing, too, is off by chance.
        chance = np.hypot(self._by_chance, step_m / math.sqrt(12.0) / away).astype(np.float32)
        result = np.full((x_m.size, self.rates.size), -np.inf)
        out = np.empty_like(result)
        places = np.append(x_m, [one[0] for one in beside]), np.append(y_m, [one[1] for one in beside])
        rooms = [np.empty((receivers.rows, places[0].size), np.float32) for _ in range(3)]
        parts = np.array([one[2] for one in beside], np.float32)
        gain_sd = averages.gain_sd[:, None].astype(np.float32)
        swing = 0.5 * math.radians(self._settings.swing_deg)
        ring, outward, bearing = puffs.polar(points, *places, self._rings_m)
        seen = np.full(1, -np.inf)
        stands_for = math.log(self._stride) if self.scouting else 0.0
        for index, (field, nodes) in enumerate(zip(self._fields, self._nodes, strict=True)):
            for node in np.flatnonzero(np.isfinite(nodes)):
                turned = self._turned[node]
                for room, turn in zip(rooms, (turned, turned - swing, turned + swing), strict=True):
                    puffs.interpolate(field, receivers.point, ring, outward, bearing, turn, room)
                here, before, after = (_together(receivers.total(room), parts) for room in rooms)
                turning = (after - before) * np.float32(0.5 / swing)
                white = turning * chance
                if averages.gain_sd.any():
                    np.hypot(white, here * gain_sd, out=white)
                lead, trail = here, np.empty((0, 0), np.float32)
                if self._steady:
                    slope = self._slopes[index]
                    puffs.interpolate(slope, receivers.point, ring, outward, bearing, turned, rooms[1])
                    lead, trail = turning, _together(receivers.total(rooms[1]), parts)
                map_rates(
                    here, lead, trail, white, self._z, self._y, self._first, averages.at_s, apart,
                    self._memory, self._parameters, self.rates, RATE_DROP, seen, out,
                )  # fmt: skip
                prior = self._direction_prior[node] + self._weather_prior[index] + stands_for
                np.logaddexp(result, out + prior, out=result)
                nodes[node] = np.logaddexp.reduce(out, axis=None) + prior
        result += self._rate_prior
        return result

    def explain(
        self, x_m: float, y_m: float, rate_g_s: float, beside: Sequence[tuple[float, float, float]] = ()
    ) -> tuple[Integers, Floats, Floats]:
        """Return (n,) sensor, asinh of each average, and asinh of what sources there give."""
        x, y = np.array([x_m]), np.array([y_m])
        kept = [nodes.copy() for nodes in self._nodes]
        self.at(x, y, 0.0, beside)
        sky = int(np.argmax([nodes.max() for nodes in self._nodes]))
        turned = self._turned[int(np.argmax(self._nodes[sky]))]
        self._nodes = kept
        places = np.append(x, [one[0] for one in beside]), np.append(y, [one[1] for one in beside])
        rows = np.empty((self._receivers.rows, places[0].size), np.float32)
        puffs.look_up(
            self._fields[sky], self._receivers.point, self._receivers.points_m, *places, self._rings_m,
            turned, rows,
        )  # fmt: skip
        parts = np.array([one[2] for one in beside], np.float32)
        modelled = rate_g_s * _together(self._receivers.total(rows), parts)[:, 0]
        return self._averages.sensor, np.arcsinh(self._y), np.arcsinh(modelled.astype(np.float64))


def _together(couplings: NDArray[np.float32], parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n, cells) from (n, cells + others), each other source's share added to every cell."""
    if not parts.size:
        return couplings
    return np.asarray(
        couplings[:, : -parts.size] + (couplings[:, -parts.size :] @ parts)[:, None], np.float32
    )


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
    # What is gone through is not the whole box, so that the box may hold more cells.
    box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    cells = round(cells * box / rows.size)
    fine = Grid.over((float(west), float(south), float(east), float(north)), cells)
    i = np.clip(((fine.x_m - coarse.x0_m) / coarse.step_m).astype(int), 0, coarse.nx - 1)
    k = np.clip(((fine.y_m - coarse.y0_m) / coarse.step_m).astype(int), 0, coarse.ny - 1)
    return fine, wide[np.ix_(k, i)].ravel()


def _rates(joint: Floats, rates: Floats, speed_error_ln: float) -> Floats:
    """Return the rate's posterior; an error of the wind's speed moves the rate in proportion."""
    log_mass = np.logaddexp.reduce(joint, axis=0)
    mass = np.exp(log_mass - log_mass.max())
    apart = np.log(rates)[:, None] - np.log(rates)[None, :]
    blur = np.exp(-0.5 * (apart / speed_error_ln) ** 2)
    mass = (blur / blur.sum(axis=0)) @ mass
    return np.asarray(mass / mass.sum())


def rank(
    likelihood: Likelihood,
    candidates: tuple[Candidate, ...],
    bayes_factor: float,
    settings: Settings,
    beside: Sequence[tuple[float, float, float]] = (),
) -> tuple[tuple[float, ...], float]:
    """Return the probability of each candidate and that of none of them, given that there is a source."""
    if not candidates:
        return (), 1.0
    prior = np.array([candidate.prior for candidate in candidates])
    prior = prior / prior.sum() * (1.0 - settings.probability_of_unlisted)
    x, y = (part.ravel() for part in np.meshgrid(*(2 * [(np.arange(5) - 2.0) / 2.5])))
    disc = np.hypot(x, y) <= 1.0
    x, y = x[disc], y[disc]
    radius = np.array([max(candidate.radius_m, 0.5) for candidate in candidates])[:, None]
    east = np.array([candidate.x_m for candidate in candidates])[:, None] + radius * x
    north = np.array([candidate.y_m for candidate in candidates])[:, None] + radius * y
    found = np.logaddexp.reduce(
        likelihood.at(
            np.asarray(east.ravel(), np.float64), np.asarray(north.ravel(), np.float64), beside=beside
        ),
        axis=1,
    ).reshape(east.shape)
    scores = np.logaddexp.reduce(found, axis=1) - math.log(x.size) + np.log(prior)
    unlisted = bayes_factor + likelihood.without_source() + math.log(settings.probability_of_unlisted)
    scores = np.append(scores, unlisted)
    probability = np.exp(scores - np.logaddexp.reduce(scores))
    return tuple(float(p) for p in probability[:-1]), float(probability[-1])
