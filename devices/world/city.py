"""The whole city: every part advanced minute by minute, and the truth about it."""

from collections.abc import Iterator
from math import pi, sin
from zlib import crc32

from devices.world import district
from devices.world.model import TICK_S, Station, Tick

_ORDINARY = {
    "pm2_5": 35.0, "pm10": 60.0, "so2": 8.0, "no2": 30.0, "o3": 60.0, "co": 500.0, "ch4": 2.0,
    "wind_speed": 2.5, "wind_from": 135.0, "temperature": 18.0, "humidity": 65.0, "pressure": 1013.0,
    "rain": 0.1,
    "ph": 7.4, "dissolved_oxygen": 7.0, "ammonia_nitrogen": 0.5, "permanganate_index": 4.0,
    "total_phosphorus": 0.1, "total_nitrogen": 2.0, "free_chlorine": 0.5, "turbidity": 20.0,
    "conductivity": 0.05, "flow_river": 20.0, "flow_pipe": 30.0, "network_pressure": 350e3,
    "vehicles": 10.0, "occupancy": 15.0, "speed": 9.0, "queue": 20.0, "signal_phase": 1.0, "green_time": 30.0,
    "door": 0.0, "light": 1.0, "shock": 0.5, "lon": 119.05, "lat": 31.52, "battery": 90.0,
}  # fmt: skip


class City:
    """The district in one scenario; everything in it follows from the scenario and the seed."""

    def __init__(self, scenario: str, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._time_s = 1_741_046_400.0
        self.stations: list[Station] = district.stations(trucks=12)

    def run(self) -> Iterator[Tick]:
        """Yield one tick after the other, without end."""
        while True:
            yield Tick(self._time_s, {station.name: self._values(station) for station in self.stations})
            self._time_s += TICK_S

    def truth(self) -> dict[str, object]:
        """Return what only scoring may know."""
        return {"scenario": self._scenario, "seed": self._seed}

    def _values(self, station: Station) -> dict[str, float]:
        phase = crc32(f"{self._seed} {station.name}".encode()) / 2**32
        swing = 1.0 + 0.2 * sin(2.0 * pi * (self._time_s / 86400.0 + phase))
        states = ("door", "signal_phase", "lon", "lat")
        return {q: _ORDINARY[q] * (1.0 if q in states else swing) for q in station.quantities}
