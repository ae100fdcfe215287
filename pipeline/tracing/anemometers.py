"""One wind out of several anemometers: the bearing of their mean vector, their mean speed, at one height.

What they disagree by is a measure of how far one wind holds for all of the site, and is told.
"""

import math
from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from pipeline.tracing.problem import Floats, Wind

PROFILE_ROUGHNESS_M = 0.1  # Grass with hedges; where z0 is given, that.
STALE_S = 1800.0  # An anemometer that has said nothing for so long has no part in the mean.


def combine(winds: Sequence[Wind]) -> tuple[Wind, float]:
    """Return the wind of all anemometers, and how far they disagree: sd of direction in degrees.

    Each anemometer counts the same; at each time its last row counts. What only some have measured is
    averaged over those.
    """
    assert winds, "no anemometer"
    if len(winds) == 1:
        return winds[0], 0.0
    height = float(np.median([float(np.median(wind.height_m)) for wind in winds]))
    times = np.unique(np.concatenate([wind.start_s for wind in winds]))
    row = [np.searchsorted(wind.start_s, times, side="right") - 1 for wind in winds]
    last = [np.where(k >= 0, wind.start_s[k], -math.inf) for k, wind in zip(row, winds, strict=True)]
    fresh = np.array([times - t <= STALE_S for t in last])
    fresh |= ~fresh.any(axis=0)  # Where all are silent, each one's nearest row counts.

    def of(name: str) -> Floats:
        return np.array([getattr(wind, name)[np.maximum(k, 0)] for k, wind in zip(row, winds, strict=True)])

    def mean(values: Floats) -> Floats:
        there = fresh & np.isfinite(values)
        total = np.where(there, values, 0.0).sum(axis=0)
        return np.asarray(np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), math.nan))

    roughness = np.where(np.isfinite(of("roughness_m")), of("roughness_m"), PROFILE_ROUGHNESS_M)
    at = np.maximum(of("height_m"), 2.0 * roughness)
    speed = of("speed_m_s") * np.log(max(height, 1.0) / roughness) / np.log(at / roughness)
    bearing = np.radians(of("from_deg"))
    east, north = mean(speed * np.sin(bearing)), mean(speed * np.cos(bearing))
    from_deg = np.degrees(np.arctan2(east, north)) % 360.0
    apart = np.where(fresh, np.angle(np.exp(1j * (bearing - np.radians(from_deg)))), math.nan)
    kept = {field.name for field in fields(Wind)} - {
        "start_s",
        "speed_m_s",
        "from_deg",
        "height_m",
        "stability",
    }
    classes = [wind.stability for wind in winds if wind.stability is not None]
    return (
        Wind(
            start_s=times,
            speed_m_s=mean(speed),
            from_deg=from_deg,
            height_m=np.full(times.size, height),
            stability=np.round(mean(of("stability"))) if len(classes) == len(winds) else None,
            **{name: mean(of(name)) for name in kept},
        ),
        math.degrees(float(np.sqrt(np.nanmean(apart**2)))),
    )
