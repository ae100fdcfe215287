"""The mean wind over the district at 10 m: its day, its wandering, fronts that veer it, calms that end it."""

from math import cos, exp, pi, radians, sin

from devices.world.air.config import Wind
from devices.world.air.daily import Daily
from devices.world.air.spells import DAY_S, Calendar
from devices.world.air.wandering import Wandering
from devices.world.draw import stream

STRONGEST_AT_H = 15.0  # Local time.
CALM_RAMP_S = 900.0  # In which a calm sets in and ends.
FRONT_FADES_S = 10800.0  # In which a front's stronger wind is gone.


def velocity(speed_m_s: float, from_deg: float) -> tuple[float, float]:
    """Return the velocity (towards east, towards north) of a wind that comes from a compass direction."""
    return -speed_m_s * sin(radians(from_deg)), -speed_m_s * cos(radians(from_deg))


class MeanWind:
    """Advanced by the minute from its start; the same seed blows the same wind."""

    def __init__(
        self, config: Wind, fronts: Calendar, utc_offset_s: float, seed: int, start_s: float
    ) -> None:
        draw = stream(seed, "air", "wind")
        self._config, self._fronts, self._utc_offset_s, self._time_s = config, fronts, utc_offset_s, start_s
        self._speed_m_s = Daily(seed, "speed", config.speed_m_s, utc_offset_s)
        self._from_deg = float(draw.uniform(*config.from_deg))
        self._turning = Wandering(draw, config.wander_time_s)
        self._freshening = Wandering(draw, config.speed_time_s)
        self._calms = Calendar(seed, "calm", config.calms_per_day, config.calm_s, config.calm_speed_m_s)

    def advance(self, time_s: float) -> tuple[float, float]:
        """Return the velocity (m/s, towards east and north) at a time not before the last one."""
        step_s = time_s - self._time_s
        self._from_deg += sum(
            front.draws[0] * (front.progress(time_s) - front.progress(self._time_s))
            for front in self._fronts.near(time_s)
        )
        self._time_s = time_s
        turned_deg = self._config.wander_sd_deg * float(self._turning.advance(step_s)[0])
        freshened = exp(self._config.speed_sd * float(self._freshening.advance(step_s)[0]))
        return velocity(self._speed(time_s, freshened), self._from_deg + turned_deg)

    def _speed(self, time_s: float, freshened: float) -> float:
        """Return the speed: the ordinary one with its daily course, what fronts add and calms take."""
        local_d = (time_s + self._utc_offset_s) / DAY_S
        course = 1.0 + self._config.speed_diurnal * cos(2.0 * pi * (local_d - STRONGEST_AT_H / 24.0))
        speed_m_s = self._speed_m_s.at(time_s) * course * freshened
        for front in self._fronts.near(time_s):
            past_s = max(time_s - front.end_s, 0.0)
            speed_m_s *= 1.0 + (front.draws[1] - 1.0) * front.progress(time_s) * exp(-past_s / FRONT_FADES_S)
        for calm in self._calms.near(time_s):
            share = calm.presence(time_s, CALM_RAMP_S)
            speed_m_s += share * (min(calm.draws[0], speed_m_s) - speed_m_s)
        return speed_m_s
