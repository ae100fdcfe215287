"""Air with ordinary values and no physics, until `air.field` is there."""

from collections.abc import Mapping
from math import pi, sin
from zlib import crc32

import numpy as np

from devices.world.air.config import AirConfig
from devices.world.air.minute import AirMinute, MeanField, Weather
from devices.world.air.places import Receptor, SourceSpec

_ORDINARY = {"pm2_5": 35.0, "pm10": 60.0, "so2": 8.0, "no2": 30.0, "o3": 60.0, "co": 500.0, "ch4": 2.0}


class AirField:
    """Takes what the real one takes."""

    def __init__(
        self,
        config: AirConfig,
        receptors: list[Receptor],
        sources: list[SourceSpec],  # noqa: ARG002 - the real one needs them
        seed: int,
    ) -> None:
        self._receptors = receptors
        self._seed = seed
        self._fog = config.background.mean["ch4"]

    def advance(self, time_s: float, rates: Mapping[str, Mapping[str, float]]) -> AirMinute:
        """Return a minute of gentle swings."""
        swing = {
            r.name: 1.0 + 0.2 * sin(2.0 * pi * (time_s / 86400.0 + self._phase(r.name)))
            for r in self._receptors
        }
        return AirMinute(
            time_s=time_s,
            species={
                r.name: {q: v * swing[r.name] for q, v in _ORDINARY.items()}
                for r in self._receptors
                if not r.weather
            },
            weather={
                r.name: Weather(
                    2.5 * swing[r.name], 135.0 * swing[r.name], 18.0 * swing[r.name], 1013.0, 65.0, 0.0
                )
                for r in self._receptors
                if r.weather
            },
            rates_g_s=rates,
            field=MeanField((-1.8, 1.8), 0.3, -100.0, 50.0, 800.0),
            by_source=np.zeros((0, 0, 0)),
        )

    def _phase(self, name: str) -> float:
        return crc32(f"{self._seed} {name}".encode()) / 2**32
