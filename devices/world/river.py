"""The river of the district: ordinary water quality through day and night and rain, and spills into it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, hypot, log1p, pi, sin

import numpy as np
from numpy.typing import NDArray

from devices.world import district
from devices.world.channel import MANNING, STEP_S, Channel, Reach
from devices.world.draw import stream
from devices.world.model import TICK_S
from devices.world.scenarios import SpillPlan

DAY_S = 86_400.0
GRAVITY_M_S2 = 9.81
SUBSTANCES: tuple[str, ...] = (
    "temperature",
    "dissolved_oxygen",
    "ammonia_nitrogen",
    "permanganate_index",
    "total_phosphorus",
    "total_nitrogen",
    "turbidity",
    "conductivity",
)
_MASSES = ("ammonia_nitrogen", "permanganate_index", "total_phosphorus", "total_nitrogen")
_AT = {name: i for i, name in enumerate(SUBSTANCES)}
HEADS = {  # What enters at each head: base flow in m3/s, and the water's quality in the order of SUBSTANCES.
    "west": (14.0, (15.0, 8.2, 0.35, 3.2, 0.09, 1.9, 18.0, 0.042)),
    "hill": (2.6, (13.5, 9.0, 0.12, 1.8, 0.04, 1.1, 8.0, 0.026)),
    "canal": (1.1, (16.5, 5.5, 1.10, 6.0, 0.22, 4.2, 35.0, 0.071)),
}
STORM_M3_S_PER_MM_H = {"west": 3.0, "hill": 1.2, "canal": 0.9}
STORM_S = 5400.0  # How long rain takes to run off.
SETTLING_MIN = 360  # Before the start: each reach takes on its own water.
TURBIDITY_STORM = 14.0  # NTU for each doubling of the flow.
DECAY_PER_DAY = {
    "ammonia_nitrogen": 0.18,
    "permanganate_index": 0.08,
    "total_phosphorus": 0.03,
    "turbidity": 0.25,
}
SURFACE_PER_DAY = {"temperature": 0.9, "dissolved_oxygen": 2.6}
# What comes with a kilogram of ammonia nitrogen, by the kind of discharge: kg, and kNTU m3 and kS/m m3.
_WITH = ("permanganate_index", "total_phosphorus", "total_nitrogen", "turbidity", "conductivity")
FINGERPRINTS = {
    "sewage": dict(zip(_WITH, (2.0, 0.13, 1.30, 5.0, 2e-3), strict=True)),
    "fertiliser": dict(zip(_WITH, (0.1, 0.42, 2.10, 0.2, 5e-3), strict=True)),
    "industry": dict(zip(_WITH, (5.5, 0.02, 1.15, 1.0, 2e-2), strict=True)),
}

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spill:
    """A discharge into a reach, a share of the way down it; `mass` is in grams (NTU m3, S/m m3)."""

    reach: str
    share: float
    kind: str
    onset_s: float
    duration_s: float
    mass: dict[str, float]


class River:
    """Three heads, twelve reaches, seven gauges; `advance` steps a minute."""

    def __init__(self, seed: int, start_s: float, plan: SpillPlan | None) -> None:
        self._draw = stream(seed, "river")
        draw = stream(seed, "river-bed")
        base = np.array([flow for flow, _ in HEADS.values()]) * draw.lognormal(0.0, 0.2, len(HEADS))
        self._base_m3_s = dict(zip(HEADS, base.tolist(), strict=True))
        self._channel = Channel(
            _draw_reaches(draw, self._base_m3_s), self._base_m3_s, np.array(HEADS["west"][1])
        )
        # The order in which the channel takes the heads is that of the reaches they feed.
        self._heads = [reach.start for reach in self._channel.reaches if reach.start in HEADS]
        self._quality = np.array([HEADS[head][1] for head in self._heads])
        self._storm_m3_s = np.zeros(len(self._heads))
        self._wander = np.zeros((len(self._heads), len(SUBSTANCES)))
        self.spills = [_draw_spill(stream(seed, "river-spill"), start_s, plan)] if plan else []
        for minute in range(-SETTLING_MIN, 0):
            self._minute(start_s + minute * TICK_S, air_cel=15.0, rain_mm_h=0.0, sun=0.3)

    def advance(
        self, time_s: float, *, air_cel: float, rain_mm_h: float, sun: float
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield (station name, values) for the minute that begins at `time_s`, then step over it."""
        flow = self._channel.flow_m3_s()
        for name, place in district.GAUGES.items():
            cell = self._channel.cell(*place)
            values = dict(zip(SUBSTANCES, self._channel.concentration[cell].tolist(), strict=True))
            saturation = _oxygen_saturation(self._channel.concentration[cell, _AT["temperature"]])
            full = values["dissolved_oxygen"] / float(saturation)
            values["ph"] = 7.65 + 0.5 * (full - 0.9) - 0.05 * log1p(values["ammonia_nitrogen"])
            values["flow_river"] = float(flow[cell])
            yield name, values
        self._minute(time_s, air_cel=air_cel, rain_mm_h=rain_mm_h, sun=sun)

    def truth(self) -> dict[str, object]:
        """Return the spills, and the bed that tracing may only guess."""
        return {
            "spills": [
                {
                    "reach": spill.reach,
                    "share": spill.share,
                    "x_m": district.along_reach(spill.reach, spill.share)[0],
                    "y_m": district.along_reach(spill.reach, spill.share)[1],
                    "kind": spill.kind,
                    "onset_s": spill.onset_s,
                    "duration_s": spill.duration_s,
                    "mass_kg": {name: mass / 1000.0 for name, mass in spill.mass.items() if name in _MASSES},
                }
                for spill in self.spills
            ],
            "reaches": [
                {
                    "name": reach.name,
                    "from": reach.start,
                    "to": reach.end,
                    "length_m": reach.length_m,
                    "width_m": reach.width_m,
                    "slope": reach.slope,
                    "dispersion_m2_s": reach.dispersion_m2_s,
                    "dead_share": reach.dead_share,
                    "exchange_per_s": reach.exchange_per_s,
                }
                for reach in self._channel.reaches
            ],
            "base_flow_m3_s": self._base_m3_s,
        }

    def _minute(self, time_s: float, *, air_cel: float, rain_mm_h: float, sun: float) -> None:
        flow, quality = self._head_water(time_s, rain_mm_h)
        steps = round(TICK_S / STEP_S)
        for step in range(steps):
            for spill in self.spills:
                since_s = time_s + step * STEP_S - spill.onset_s
                if 0.0 <= since_s < spill.duration_s:
                    mass = np.array([spill.mass.get(name, 0.0) for name in SUBSTANCES])
                    self._channel.add(
                        self._channel.cell(spill.reach, spill.share), mass * STEP_S / spill.duration_s
                    )
            self._channel.step(flow, quality)
        self._react(TICK_S / DAY_S, air_cel, sun)

    def _head_water(self, time_s: float, rain_mm_h: float) -> tuple[FloatArray, FloatArray]:
        """Return flow and quality at the heads: base, run-off, the hour of the day, and a slow wander."""
        day = 2.0 * pi * (time_s + district.UTC_OFFSET_S) / DAY_S
        storm = rain_mm_h * np.array([STORM_M3_S_PER_MM_H[head] for head in self._heads])
        self._storm_m3_s += (storm - self._storm_m3_s) * TICK_S / STORM_S
        keep = exp(-TICK_S / 7200.0)
        self._wander *= keep
        self._wander += self._draw.normal(0.0, 0.06 * (1.0 - keep**2) ** 0.5, self._wander.shape)
        base = np.array([self._base_m3_s[head] for head in self._heads])
        flow = base * (1.0 + 0.05 * sin(day - 1.0)) + self._storm_m3_s
        quality = self._quality * np.exp(self._wander)
        quality[:, _AT["temperature"]] = self._quality[:, _AT["temperature"]] + 1.2 * sin(day - 2.4)
        quality[:, _AT["ammonia_nitrogen"]] *= 1.0 + 0.2 * sin(2.0 * day - 1.5)  # Morning and evening sewage.
        quality[:, _AT["dissolved_oxygen"]] += 0.6 * sin(day - 2.6)
        quality[:, _AT["turbidity"]] += TURBIDITY_STORM * np.log2(flow / base).clip(0.0)
        quality[:, _AT["conductivity"]] *= (base / flow).clip(0.4, 1.0)
        return flow, quality

    def _react(self, days: float, air_cel: float, sun: float) -> None:
        """Let a time pass over the water: decay, heat and oxygen through the surface, algae in the sun."""
        water = self._channel.concentration
        for name, rate in DECAY_PER_DAY.items():
            water[:, _AT[name]] *= exp(-rate * days)
        temperature = water[:, _AT["temperature"]]
        temperature += (air_cel - temperature) * (1.0 - exp(-SURFACE_PER_DAY["temperature"] * days))
        oxygen = water[:, _AT["dissolved_oxygen"]]
        demand = 0.25 * water[:, _AT["permanganate_index"]] + 0.6 * water[:, _AT["ammonia_nitrogen"]]
        target = (_oxygen_saturation(temperature) + 1.5 * sun - demand).clip(0.2)
        oxygen += (target - oxygen) * (1.0 - exp(-SURFACE_PER_DAY["dissolved_oxygen"] * days))


def _oxygen_saturation(temperature_cel: FloatArray) -> FloatArray:
    """Return mg/L of oxygen in equilibrium with air at sea level: a cubic near the APHA table, 0-30 C."""
    t = temperature_cel
    return np.asarray(14.60 - 0.4000 * t + 0.00790 * t**2 - 0.0000730 * t**3)


def _draw_reaches(draw: np.random.Generator, base_m3_s: dict[str, float]) -> list[Reach]:
    """Return the reaches with a dispersion drawn around Fischer's 0.011 u2 W2 / (h u*), and dead water."""
    flow = dict(base_m3_s)
    found = []
    for name, start, end, width_m, slope in _downstream():
        flow_m3_s = flow[start]
        flow[end] = flow.get(end, 0.0) + flow_m3_s
        depth_m = (flow_m3_s * MANNING / (width_m * slope**0.5)) ** 0.6
        speed_m_s = flow_m3_s / (width_m * depth_m)
        shear_m_s = (GRAVITY_M_S2 * depth_m * slope) ** 0.5
        fischer = 0.011 * (speed_m_s * width_m) ** 2 / (depth_m * shear_m_s)
        (x0, y0), (x1, y1) = district.RIVER_NODES[start], district.RIVER_NODES[end]
        found.append(
            Reach(
                name=name,
                start=start,
                end=end,
                length_m=district.MEANDER * hypot(x1 - x0, y1 - y0),
                width_m=width_m,
                slope=slope,
                dispersion_m2_s=float(np.clip(fischer * draw.lognormal(0.0, 0.5), 8.0, 110.0)),
                dead_share=float(draw.uniform(0.05, 0.20)),
                exchange_per_s=float(10.0 ** draw.uniform(-4.3, -3.5)),
            )
        )
    return found


def _downstream() -> list[tuple[str, str, str, float, float]]:
    """Return the reaches so that each comes after all that feed it."""
    left, ordered = list(district.REACHES), []
    while left:
        ready = next(reach for reach in left if all(up[2] != reach[1] for up in left))
        left.remove(ready)
        ordered.append(ready)
    return ordered


def _draw_spill(draw: np.random.Generator, start_s: float, plan: SpillPlan) -> Spill:
    """Draw a spill at a place that at least two gauges lie downstream of."""
    while True:
        reach = district.REACHES[int(draw.integers(len(district.REACHES)))][0]
        share = float(draw.uniform(0.05, 0.95))
        if _gauges_below(reach, share) >= 2:
            break
    kind = str(draw.choice(list(FINGERPRINTS)))
    grams = 1000.0 * float(np.exp(draw.uniform(*np.log(plan.mass_kg))))
    return Spill(
        reach=reach,
        share=share,
        kind=kind,
        onset_s=start_s + TICK_S * round(draw.uniform(*plan.onset_s) / TICK_S),
        duration_s=TICK_S * round(draw.uniform(*plan.duration_s) / TICK_S),
        mass={"ammonia_nitrogen": grams}
        | {name: grams * ratio for name, ratio in FINGERPRINTS[kind].items()},
    )


def _gauges_below(reach: str, share: float) -> int:
    after = {name: end for name, _, end, _, _ in district.REACHES}
    starts = {start: name for name, start, _, _, _ in district.REACHES}
    count = sum(1 for place in district.GAUGES.values() if place[0] == reach and place[1] > share)
    while (below := starts.get(after[reach])) is not None:
        reach = below
        count += sum(1 for place in district.GAUGES.values() if place[0] == reach)
    return count
