"""The air of the district as a whole, minute by minute."""

from collections.abc import Mapping, Sequence
from math import atan2, degrees, exp, hypot, inf, sqrt

import numpy as np
import numpy.typing as npt

from devices.world.air import chemistry, grid
from devices.world.air.background import Region
from devices.world.air.boundary import BoundaryLayer, Layer, sun_height
from devices.world.air.buildings import lay_out
from devices.world.air.climate import Skies, Sky
from devices.world.air.config import AirConfig
from devices.world.air.counting import Count, watch
from devices.world.air.emissions import Emission
from devices.world.air.flow import Flow, motion
from devices.world.air.gusts import GustField
from devices.world.air.minute import AirMinute, MeanField, Weather
from devices.world.air.obstacles import Obstacles
from devices.world.air.particles import AGE_MAX_S, COLUMNS, MINUTE_S, Swarm, chance, fly
from devices.world.air.places import EMITTED, SPECIES, Receptor, SourceSpec
from devices.world.air.release import Releases
from devices.world.air.spells import Calendar
from devices.world.air.turbulence import LEVEL_M, SIGMA_H, TIME_H, Table, sigma_v_surface, table
from devices.world.air.wind import MeanWind
from devices.world.draw import stream

RUN_IN_MIN = 40  # Minutes before the first one, so that plumes are where they would be.
SLOTS = int(AGE_MAX_S / MINUTE_S) + 4  # Minutes of release whose rates are kept.
MAST_CLEAR_M, RECEPTOR_CLEAR_M = 120.0, 10.0  # How far off large buildings are.
EULERIAN = 1.0 / 3.0  # How long a gust of turbulence lasts at a mast over how long in the air that it moves.


class AirField:
    """The air over the district; everything in it follows from the arguments."""

    def __init__(
        self, config: AirConfig, receptors: Sequence[Receptor], sources: Sequence[SourceSpec], seed: int
    ) -> None:
        self._config, self._sources, self._seed = config, tuple(sources), seed
        self._points = [receptor for receptor in receptors if not receptor.weather]
        self._masts = [receptor for receptor in receptors if receptor.weather]
        self._names = {source.name: i for i, source in enumerate(sources)}
        assert len(self._names) == len(sources), "two sources of one name"
        self._grid = grid.over(config.width_m, config.height_m)
        clear = [(mast.x_m, mast.y_m, MAST_CLEAR_M) for mast in self._masts]
        clear += [(point.x_m, point.y_m, RECEPTOR_CLEAR_M) for point in self._points]
        clear += [(source.x_m, source.y_m, RECEPTOR_CLEAR_M) for source in sources]
        self._obstacles = Obstacles(config, lay_out(config, clear), self._grid)
        self._gusts = GustField(config.gusts, self._grid, seed)
        self._watch = watch(self._points, self._grid)
        self._count = Count(
            np.zeros((len(self._points), len(sources), len(EMITTED))),
            np.zeros((len(self._points), len(sources))),
        )
        capacity = config.particles
        self._swarm = Swarm(
            np.zeros((capacity, COLUMNS), np.float32),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.int32),
        )
        self._flying = 0
        self._luck = chance(int(stream(seed, "air", "particles").integers(2**63)))
        self._releases = Releases(sources, self._points, capacity, stream(seed, "air", "releases"))
        self._rates = np.zeros((SLOTS, len(sources), len(EMITTED)), np.float32)
        self._turbulence = stream(seed, "air", "masts")
        self._fronts = Calendar(
            seed,
            "front",
            config.wind.fronts_per_day,
            config.wind.front_s,
            config.wind.front_veer_deg,
            config.wind.front_speed,
            config.wind.front_cooling_k,
        )
        self._skies = Skies(config.climate, config.surface.cloud, self._fronts, config.utc_offset_s, seed)
        self._next_s: float | None = None

    def advance(self, minute_start_s: float, corridor_rates: Mapping[str, Mapping[str, float]]) -> AirMinute:
        """Return what the minute that begins then holds; each call continues where the last one ended.

        The first call may choose its time; the air before it is run in with the same corridor rates.
        `corridor_rates` maps corridor to species of `EMITTED` to g/s over the minute; a corridor that is
        not there emits nothing.
        """
        if self._next_s is None:
            self._begin(minute_start_s, corridor_rates)
        assert minute_start_s == self._next_s, "minutes follow each other"
        return self._minute(minute_start_s, corridor_rates)

    def _begin(self, start_s: float, corridor_rates: Mapping[str, Mapping[str, float]]) -> None:
        config, run_in_s = self._config, start_s - RUN_IN_MIN * MINUTE_S
        self._wind = MeanWind(config.wind, self._fronts, config.utc_offset_s, self._seed, run_in_s)
        self._region = Region(config.background, self._seed, start_s, run_in_s)
        self._emissions = [Emission(source, self._seed, run_in_s) for source in self._sources]
        cloud = self._skies.advance(run_in_s, 0.0).cloud
        self._boundary = BoundaryLayer(config, run_in_s, cloud, sum(config.wind.speed_m_s) / 2.0)
        for minute in range(RUN_IN_MIN):
            self._minute(run_in_s + minute * MINUTE_S, corridor_rates)

    def _minute(self, time_s: float, corridor_rates: Mapping[str, Mapping[str, float]]) -> AirMinute:
        config, middle_s = self._config, time_s + MINUTE_S / 2.0
        self._next_s = time_s + MINUTE_S
        sky = self._skies.advance(middle_s, MINUTE_S)
        layer = self._boundary.advance(middle_s, MINUTE_S, self._wind.advance(middle_s), sky.cloud)
        profile = table(config, layer)
        flow = Flow(
            self._grid.x0_m,
            self._grid.y0_m,
            profile,
            layer.mixing_height_m,
            hypot(sqrt(config.gusts.share) * sigma_v_surface(layer), config.gusts.floor_m_s),
            self._gusts.advance(MINUTE_S),
            self._obstacles.at(layer.wind_m_s),
        )
        slot = int(time_s // MINUTE_S) % SLOTS
        rates = self._emit(time_s, corridor_rates)
        for species, per_s in chemistry.washed_out_per_s(sky.rain_mm_h).items():
            self._rates[:, :, EMITTED.index(species)] *= np.float32(exp(-per_s * MINUTE_S))
        self._rates[slot] = rates
        self._flying = self._releases.add(
            self._swarm, self._flying, slot, rates.max(axis=1) > 0.0, (layer, profile, sky.temperature_c)
        )
        self._count.sums[:] = 0.0
        self._count.ageing[:] = 0.0
        self._flying = fly(self._swarm, self._flying, flow, self._luck, self._rates, self._watch, self._count)
        sun = sun_height(middle_s, config.latitude_deg, config.utc_offset_s)
        return AirMinute(
            time_s=time_s,
            species=self._species(self._region.advance(middle_s, sun), sky, sun),
            weather={mast.name: self._weather(mast, flow, profile, sky) for mast in self._masts},
            rates_g_s={
                source.name: dict(zip(EMITTED, map(float, row), strict=True))
                for source, row in zip(self._sources, rates, strict=True)
            },
            field=_mean_field(layer),
            by_source=self._count.sums * 1e6,
        )

    def _emit(
        self, time_s: float, corridor_rates: Mapping[str, Mapping[str, float]]
    ) -> npt.NDArray[np.float64]:
        """Return (sources, EMITTED): g/s over the minute."""
        rates = np.zeros((len(self._sources), len(EMITTED)))
        assert corridor_rates.keys() <= self._names.keys(), "rates of an unknown corridor"
        for row, source, emission in zip(rates, self._sources, self._emissions, strict=True):
            corridor = source.kind == "corridor"
            of_source = corridor_rates.get(source.name, {}) if corridor else source.rates_g_s
            factor = 1.0 if corridor else emission.advance(time_s, MINUTE_S)
            for species, rate_g_s in of_source.items():
                row[EMITTED.index(species)] = factor * rate_g_s
        return rates

    def _species(self, region: Mapping[str, float], sky: Sky, sun: float) -> dict[str, dict[str, float]]:
        """Return the concentrations at each point: regional air and all plumes, after they reacted."""
        added = self._count.sums.sum(axis=1) * 1e6
        no_added = added[:, EMITTED.index("no")]
        age_s = np.divide(
            self._count.ageing.sum(axis=1) * 1e6, no_added, out=np.zeros_like(no_added), where=no_added > 0.0
        )
        split_per_s = chemistry.photolysis(sun, sky.cloud)
        no, no2, o3 = (np.array([region[species]]) for species in ("no", "no2", "o3"))
        no, no2, o3 = chemistry.react(no, no2, o3, np.array([inf]), sky.temperature_c, split_per_s)
        plumes_no2 = added[:, EMITTED.index("no2")]
        _, no2, o3 = chemistry.react(
            no + no_added, no2 + plumes_no2, o3 + 0.0 * no_added, age_s, sky.temperature_c, split_per_s
        )
        columns = {
            species: region[species] + added[:, i] for i, species in enumerate(EMITTED) if species != "ch4"
        }
        methane = added[:, EMITTED.index("ch4")]
        columns["ch4"] = region["ch4"] + chemistry.ppm("ch4", methane, sky.temperature_c, sky.pressure_hpa)
        columns |= {"no2": no2, "o3": o3}
        return {
            point.name: {species: float(columns[species][i]) for species in SPECIES}
            for i, point in enumerate(self._points)
        }

    def _weather(self, mast: Receptor, flow: Flow, profile: Table, sky: Sky) -> Weather:
        """Return what holds at a mast: the resolved motion, and what a minute leaves of the turbulence."""
        level = round(mast.z_m / LEVEL_M)
        east_m_s, north_m_s, _ = motion(flow, mast.x_m, mast.y_m, mast.z_m)
        lasting_s = EULERIAN * float(profile[level, TIME_H])
        part = lasting_s / MINUTE_S
        left = sqrt(2.0 * part * (1.0 - part * (1.0 - exp(-1.0 / part))))
        east_m_s += left * float(profile[level, SIGMA_H]) * self._turbulence.standard_normal()
        north_m_s += left * float(profile[level, SIGMA_H]) * self._turbulence.standard_normal()
        return Weather(
            wind_speed_m_s=hypot(east_m_s, north_m_s),
            wind_from_deg=degrees(atan2(-east_m_s, -north_m_s)) % 360.0,
            temperature_c=sky.temperature_c,
            pressure_hpa=sky.pressure_hpa,
            humidity_pct=sky.humidity_pct,
            rain_mm=sky.rain_mm_h / 60.0,
        )


def _mean_field(layer: Layer) -> MeanField:
    return MeanField(
        wind_m_s=layer.wind_m_s,
        friction_velocity_m_s=layer.friction_velocity_m_s,
        obukhov_m=layer.obukhov_m,
        heat_flux_w_m2=layer.heat_flux_w_m2,
        mixing_height_m=layer.mixing_height_m,
    )
