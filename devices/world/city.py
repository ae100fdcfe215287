"""The whole city: every part advanced minute by minute, and the truth about it.

Traffic moves first, because its vehicles emit; then the air, whose weather the river and the trucks feel. The
drinking-water network lies below all of it.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

from devices.world import district, facilities
from devices.world.air.config import AirConfig, Haze
from devices.world.air.config import Street as AirStreet
from devices.world.air.minute import AirMinute, Weather
from devices.world.air.places import Receptor
from devices.world.draw import stream
from devices.world.emissions import street_rates
from devices.world.model import TICK_S, Station, Tick
from devices.world.network import Network
from devices.world.river import River
from devices.world.scenarios import Scenario, version
from devices.world.traffic import Traffic
from devices.world.trucks import Trucks

if TYPE_CHECKING:
    from devices.world.air.field import AirField

WIND_EVERY = 10  # Minutes between the winds that the truth keeps.


class City:
    """The district in one scenario; everything in it follows from the scenario and the seed.

    `start_s` moves the scenario to another time (UTC, Unix seconds). `air` is the last minute of the air with
    what each source added and the state of the whole field: for scoring in this process, no sensor sees it.
    """

    def __init__(self, scenario: Scenario, seed: int, start_s: float | None = None) -> None:
        self._scenario = scenario
        self._seed = seed
        self._start_s = scenario.start.timestamp() if start_s is None else start_s
        self._time_s = self._start_s
        self.stations = district.stations(scenario.fleet.trucks, scenario.sensor_drift)
        self._network = Network(seed, self._start_s, scenario.injection)
        self._river = River(seed, self._start_s, scenario.spill)
        self._trucks = Trucks(seed, self._start_s, scenario.fleet)
        self._traffic = Traffic(seed, self._start_s, scenario.traffic_demand)
        haze = scenario.air.background.haze
        self._hazes = [_draw_haze(seed, haze)] if haze else []
        self._wind = scenario.air.wind
        self._leaks = []
        if scenario.leaks:
            # One prevailing wind for all days: where a leak can be seen from depends on it.
            from_deg = float(stream(seed, "wind").uniform(*self._wind.from_deg))
            self._wind = replace(self._wind, from_deg=(from_deg, from_deg))
            sensors = [station for station in self.stations if station.kind == "air"]
            self._leaks = facilities.draw_leaks(seed, self._start_s, scenario.leaks, sensors, from_deg)
        corridors = facilities.corridor_sources(self._traffic.streets)
        self._streets = [corridor.name for corridor in corridors]
        self._sources = [
            *facilities.plant_sources(),
            *facilities.small_sources(),
            *corridors,
            *(leak.source() for leak in self._leaks),
        ]
        self.air: AirMinute | None = None
        self._winds: list[list[float]] = []

    @cached_property
    def _field(self) -> "AirField":
        """The air; it costs seconds, so stations and truth are there before it."""
        from devices.world.air.field import AirField

        return AirField(self._air_config(), _receptors(self.stations), self._sources, self._seed)

    def run(self) -> Iterator[Tick]:
        """Yield one tick after the other, without end."""
        while True:
            yield self._advance()

    def _advance(self) -> Tick:
        time_s = self._time_s
        detected, driven_km, stood_min = self._traffic.advance(time_s)
        rates = street_rates(time_s, driven_km, stood_min)
        minute = self._field.advance(time_s, dict(zip(self._streets, rates, strict=True)))
        values: dict[str, dict[str, float]] = dict(detected)
        values.update((name, dict(species)) for name, species in minute.species.items())
        values.update((name, _weather_values(weather)) for name, weather in minute.weather.items())
        masts = list(minute.weather.values())
        air_cel = sum(mast.temperature_c for mast in masts) / len(masts)
        humidity = sum(mast.humidity_pct for mast in masts) / len(masts)
        rain_mm_h = sum(mast.rain_mm for mast in masts) / len(masts) * 3600.0 / TICK_S
        sun = district.sunlight(time_s)
        values.update(self._river.advance(time_s, air_cel=air_cel, rain_mm_h=rain_mm_h, sun=sun))
        values.update(self._network.values(time_s))
        values.update(self._trucks.advance(time_s, ambient_cel=air_cel, ambient_humidity=humidity, sun=sun))
        if round((time_s - self._start_s) / TICK_S) % WIND_EVERY == 0:
            self._winds.append([time_s, *minute.field.wind_m_s])
        assert all(isfinite(value) for of_station in values.values() for value in of_station.values())
        self.air = minute
        self._time_s += TICK_S
        return Tick(time_s, values, air_cel, humidity)

    def truth(self) -> dict[str, object]:
        """Return what only scoring may know: what is drawn, and what has come of it up to now."""
        return {
            "scenario": self._scenario.name,
            "scenarios_version": version(),
            "seed": self._seed,
            "start_s": self._start_s,
            "until_s": self._time_s,
            "leaks": [
                {
                    "source": leak.name,
                    "plant": leak.plant,
                    "quantity": leak.quantity,
                    "x_m": leak.x_m,
                    "y_m": leak.y_m,
                    "z_m": leak.z_m,
                    "rate_g_s": leak.rate_g_s,
                    "onset_s": leak.onset_s,
                    "end_s": leak.end_s,
                }
                for leak in self._leaks
            ],
            "haze": [
                {
                    "onset_s": self._start_s + haze.onset_s[0],
                    "end_s": self._start_s + haze.onset_s[0] + haze.duration_s[0],
                    "ramp_s": haze.ramp_s[0],
                    "pm2_5_ug_m3": haze.pm2_5_ug_m3[0],
                }
                for haze in self._hazes
            ],
            "sources": [
                {
                    "name": source.name,
                    "kind": source.kind,
                    "listed": source.listed,
                    "x_m": source.x_m,
                    "y_m": source.y_m,
                    "z_m": source.z_m,
                    "end_m": source.end_m,
                    "rates_g_s": dict(source.rates_g_s),
                }
                for source in self._sources
            ],
            "wind_m_s": self._winds,
            "traffic_demand": self._scenario.traffic_demand,
            "sensor_drift": self._scenario.sensor_drift,
            **self._river.truth(),
            **self._network.truth(),
            **self._trucks.truth(),
        }

    def _air_config(self) -> AirConfig:
        streets = tuple(AirStreet(*street.start_m, *street.end_m) for street in self._traffic.streets)
        background = self._scenario.air.background
        return replace(
            self._scenario.air,
            wind=self._wind,
            background=replace(background, haze=self._hazes[0]) if self._hazes else background,
            width_m=district.WIDTH_M,
            height_m=district.HEIGHT_M,
            streets=streets,
            latitude_deg=district.ORIGIN[1],
            utc_offset_s=district.UTC_OFFSET_S,
        )


def _draw_haze(seed: int, plan: Haze) -> Haze:
    """Return the plan with each range drawn to one value: so the truth knows it before the air does."""
    draw = stream(seed, "haze")
    drawn = {field.name: float(draw.uniform(*getattr(plan, field.name))) for field in fields(plan)}
    return Haze(**{name: (value, value) for name, value in drawn.items()})


def _receptors(stations: list[Station]) -> list[Receptor]:
    return [
        Receptor(
            name=station.name,
            x_m=station.x_m,
            y_m=station.y_m,
            z_m=station.height_m,
            weather=station.kind == "weather",
            end_m=(end.x_m, end.y_m, end.height_m) if end else None,
        )
        for station in stations
        if station.kind in {"air", "weather"}
        for end in [station.beam_end]
    ]


def _weather_values(weather: Weather) -> dict[str, float]:
    return {
        "wind_speed": weather.wind_speed_m_s,
        "wind_from": weather.wind_from_deg,
        "temperature": weather.temperature_c,
        "humidity": weather.humidity_pct,
        "pressure": weather.pressure_hpa,
        "rain": weather.rain_mm,
    }
