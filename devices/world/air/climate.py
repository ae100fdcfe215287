"""Temperature, humidity, pressure, cloud and rain: the same all over the district."""

from dataclasses import dataclass
from math import cos, exp, pi

from devices.world.air.config import Climate
from devices.world.air.daily import Daily
from devices.world.air.spells import DAY_S, Calendar
from devices.world.air.wandering import Wandering
from devices.world.draw import stream

WARMEST_AT_H = 14.5  # Local time.
FRONT_WARMS_S = 43200.0  # In which the air behind a front is as warm as before.
RAIN_RAMP_S = 600.0
RAIN_COOLING_K = 1.5
HUMIDITY_IN_RAIN_PCT = 90.0


@dataclass(frozen=True, slots=True)
class Sky:
    """The state of the sky at one time."""

    temperature_c: float
    humidity_pct: float
    pressure_hpa: float
    rain_mm_h: float
    cloud: float  # Share of the sky.


class Skies:
    """Advanced by the minute; fronts bring colder air."""

    def __init__(
        self, config: Climate, cloud: tuple[float, float], fronts: Calendar, utc_offset_s: float, seed: int
    ) -> None:
        def daily(name: str, between: tuple[float, float]) -> Daily:
            return Daily(seed, name, between, utc_offset_s)

        self._config, self._fronts, self._utc_offset_s = config, fronts, utc_offset_s
        self._temperature_c = daily("temperature", config.temperature_c)
        self._dew_point_c = daily("dew point", config.dew_point_c)
        self._pressure_hpa = daily("pressure", config.pressure_hpa)
        self._cloud = daily("cloud", cloud)
        self._rains = Calendar(seed, "rain", config.rains_per_day, config.rain_s, config.rain_mm_h)
        self._showers = Wandering(stream(seed, "air", "showers"), 600.0)

    def advance(self, time_s: float, step_s: float) -> Sky:
        """Return the sky at a time, `step_s` after the last one."""
        shower = exp(0.6 * float(self._showers.advance(step_s)[0]) - 0.18)
        rain_mm_h = shower * sum(
            rain.draws[0] * rain.presence(time_s, RAIN_RAMP_S) for rain in self._rains.near(time_s)
        )
        temperature_c = self._temperature(time_s) - RAIN_COOLING_K * min(rain_mm_h, 1.0)
        humidity_pct = (
            100.0 * _vapour_pressure(self._dew_point_c.at(time_s)) / _vapour_pressure(temperature_c)
        )
        humidity_pct += min(rain_mm_h, 1.0) * max(HUMIDITY_IN_RAIN_PCT - humidity_pct, 0.0)
        return Sky(
            temperature_c=temperature_c,
            humidity_pct=min(max(humidity_pct, 5.0), 100.0),
            pressure_hpa=self._pressure_hpa.at(time_s),
            rain_mm_h=rain_mm_h,
            cloud=1.0 if rain_mm_h > 0.0 else self._cloud.at(time_s),
        )

    def _temperature(self, time_s: float) -> float:
        local_d = (time_s + self._utc_offset_s) / DAY_S
        cooled_k = sum(
            front.draws[2] * front.progress(time_s) * exp(-max(time_s - front.end_s, 0.0) / FRONT_WARMS_S)
            for front in self._fronts.near(time_s)
        )
        swing_k = self._config.temperature_diurnal_k * cos(2.0 * pi * (local_d - WARMEST_AT_H / 24.0))
        return self._temperature_c.at(time_s) + swing_k - cooled_k


def _vapour_pressure(temperature_c: float) -> float:
    """Return the saturation vapour pressure over water in hPa (Magnus; WMO-No. 8, annex 4.B)."""
    return 6.112 * exp(17.62 * temperature_c / (243.12 + temperature_c))
