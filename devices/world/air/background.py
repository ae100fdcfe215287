"""What the region brings in: its level, trend and wandering, ozone's day, a haze episode."""

from math import exp, sqrt

import numpy as np

from devices.world.air.config import Background, Haze
from devices.world.air.spells import DAY_S, Spell
from devices.world.air.wandering import Wandering
from devices.world.draw import stream

SPECIES = ("pm2_5", "pm10", "so2", "no", "no2", "o3", "co", "ch4")
TREND_ENDS_D = 5.0
SHARED = 0.8  # Of the wandering's standard deviation: one air mass carries all species.
CALMER = {"ch4": 0.1, "o3": 0.5}  # How much less than the others these wander.
OZONE_NIGHT = 0.6  # Of its mean.
OZONE_DAY_S = 5400.0  # How far its day lags behind the sun.
# What a haze adds for each ug/m3 of its PM2.5, ug/m3, and the share of ozone it takes.
HAZE_ADDS = {"pm2_5": 1.0, "pm10": 1.2, "so2": 0.06, "no2": 0.25, "co": 8.0}
HAZE_TAKES_OZONE = 0.4


class Region:
    """The regional air, advanced by the minute from `run_in_s` on; trend and haze count from `start_s`."""

    def __init__(self, config: Background, seed: int, start_s: float, run_in_s: float) -> None:
        draw = stream(seed, "air", "region")
        self._config, self._start_s, self._time_s = config, start_s, run_in_s
        self._trend_per_day = float(draw.uniform(*config.trend_per_day))
        self._wandering = Wandering(draw, config.time_s, 1 + len(SPECIES))
        self._haze = None if config.haze is None else _draw_haze(config.haze, draw, start_s)

    def advance(self, time_s: float, sun: float) -> dict[str, float]:
        """Return the level of each of `SPECIES` (ug/m3; ch4: ppm); `sun` is the sine of the sun's height."""
        shared, *alone = self._wandering.advance(time_s - self._time_s)
        self._time_s = time_s
        trend = 1.0 + self._trend_per_day * min(max(time_s - self._start_s, 0.0) / DAY_S, TREND_ENDS_D)
        levels = {}
        for species, own in zip(SPECIES, alone, strict=True):
            sd = self._config.sd * CALMER.get(species, 1.0)
            wandered = SHARED * shared + sqrt(1.0 - SHARED**2) * own
            drifted = 1.0 if species == "ch4" else trend
            levels[species] = self._config.mean[species] * drifted * exp(sd * wandered - 0.5 * sd**2)
        levels["o3"] *= OZONE_NIGHT + (1.0 - OZONE_NIGHT) * 2.0 * max(sun, 0.0)
        levels["pm10"] = max(levels["pm10"], 1.05 * levels["pm2_5"])
        self._add_haze(levels, time_s)
        return levels

    def _add_haze(self, levels: dict[str, float], time_s: float) -> None:
        if self._haze is None:
            return
        peak_ug_m3, ramp_s = self._haze.draws
        share = self._haze.presence(time_s, ramp_s)
        for species, ratio in HAZE_ADDS.items():
            levels[species] += ratio * share * peak_ug_m3
        levels["o3"] *= 1.0 - HAZE_TAKES_OZONE * share


def _draw_haze(haze: Haze, draw: np.random.Generator, start_s: float) -> Spell:
    """Return the episode; its draws are the peak of PM2.5 and the ramp."""
    onset_s, ramp_s, duration_s, peak_ug_m3 = (
        float(draw.uniform(*between))
        for between in (haze.onset_s, haze.ramp_s, haze.duration_s, haze.pm2_5_ug_m3)
    )
    return Spell(start_s + onset_s, start_s + onset_s + duration_s, (peak_ug_m3, ramp_s))
