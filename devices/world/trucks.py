"""Refrigerated trucks: the heat in the box, the compressor that fights it, and what can go wrong with either.

The box has two temperatures, its air and its cargo. Heat comes through walls and open doors; a compressor
with hysteresis takes it away. Arrays run over the trucks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from devices.world import district
from devices.world.draw import stream
from devices.world.model import TICK_S
from devices.world.routes import Routes
from devices.world.scenarios import FleetPlan

STEP_S = 10.0
WALL_W_K, CARGO_W_K, DOOR_W_K = 38.0, 110.0, 80.0  # Doors with a strip curtain.
AIR_J_K, CARGO_J_K = 3.6e5, 1.6e6
CHILLED_W, FROZEN_W = 3400.0, 7000.0  # What a sound compressor takes out of the air while it runs.
CHILLED_CEL, FROZEN_CEL = 5.0, -20.0
BAND_K = 1.0  # On above set point plus band, off below set point minus band.
FROZEN_EVERY = 4  # Each fourth truck carries frozen goods.
ROOF_K = 5.0  # A roof in full sun is that much warmer than the air.
LIMITS_CEL = {CHILLED_CEL: (2.0, 8.0), FROZEN_CEL: (-30.0, -15.0)}

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(slots=True)
class Breakdown:
    """What goes wrong with a truck: `kind`, from `onset_s` (UTC), taking `duration_s` to run its course."""

    truck: int
    kind: str
    onset_s: float
    duration_s: float
    left: float = 0.0  # Share of the cooling power that is left in the end.


@dataclass(slots=True)
class Excursion:
    """A time during which a box's air was out of its range; `end_s` is None while it lasts."""

    truck: int
    start_s: float
    peak_cel: float
    end_s: float | None = None


@dataclass(slots=True)
class _Boxes:
    """The state of every truck."""

    air_cel: FloatArray
    cargo_cel: FloatArray
    humidity: FloatArray
    battery: FloatArray
    cooling: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        self.cooling = np.zeros(len(self.air_cel), dtype=bool)


class Trucks:
    """The fleet; `advance` steps it a minute and tells what was true at the minute's beginning."""

    def __init__(self, seed: int, start_s: float, plan: FleetPlan) -> None:
        self._draw = stream(seed, "trucks")
        self._routes = [Routes(seed, truck) for truck in range(plan.trucks)]
        self.breakdowns = _breakdowns(stream(seed, "breakdowns"), start_s, plan)
        self.excursions: list[Excursion] = []
        frozen = np.arange(plan.trucks) % FROZEN_EVERY == FROZEN_EVERY - 1
        self.set_point_cel = np.where(frozen, FROZEN_CEL, CHILLED_CEL)
        self._power_w = np.where(frozen, FROZEN_W, CHILLED_W) * self._draw.normal(1.0, 0.05, plan.trucks)
        self._wall_w_k = WALL_W_K * self._draw.lognormal(0.0, 0.12, plan.trucks)
        self._boxes = _Boxes(
            air_cel=self.set_point_cel + self._draw.uniform(-0.8, 0.8, plan.trucks),
            cargo_cel=self.set_point_cel + self._draw.uniform(-0.4, 0.4, plan.trucks),
            humidity=self._draw.uniform(70.0, 85.0, plan.trucks),
            battery=self._draw.uniform(70.0, 100.0, plan.trucks),
        )
        self._out: dict[int, Excursion] = {}

    @property
    def air_cel(self) -> list[float]:
        """The temperature of the air in every box."""
        return [float(value) for value in self._boxes.air_cel]

    def advance(
        self, time_s: float, *, ambient_cel: float, ambient_humidity: float, sun: float
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield (station name, values at `time_s`), then step to the next minute. `sun` runs from 0 to 1."""
        shocks = self._draw.lognormal(0.0, 0.4, len(self._routes)) * (
            1.0 + 20.0 * (self._draw.random(len(self._routes)) < 3e-4)
        )
        legs = [route.leg(time_s) for route in self._routes]
        for truck, leg in enumerate(legs):
            if self._boxes.battery[truck] <= 0.0:
                continue
            open_door = leg.door_open(time_s) or self._left_open(truck, time_s)
            longitude, latitude = district.to_wgs84(*leg.place(time_s))
            shock = shocks[truck] * (2.2 if leg.driving else 0.15 if leg.parked else 0.8)
            yield (
                f"truck-{truck + 1:03d}",
                {
                    "temperature": float(self._boxes.air_cel[truck]),
                    "humidity": float(self._boxes.humidity[truck]),
                    "door": float(open_door),
                    "light": 120.0 + 6000.0 * sun if open_door else 0.0,
                    "shock": float(shock),
                    "lon": longitude,
                    "lat": latitude,
                    "battery": float(self._boxes.battery[truck]),
                },
            )
        self._note_excursions(time_s)
        parked = np.array([leg.parked for leg in legs])
        for step in range(int(TICK_S / STEP_S)):
            now_s = time_s + step * STEP_S
            doors = np.array(
                [leg.door_open(now_s) or self._left_open(truck, now_s) for truck, leg in enumerate(legs)]
            )
            self._step(now_s, doors, ambient_cel + ROOF_K * sun, ambient_humidity)
        self._drain(time_s, parked)

    def truth(self) -> dict[str, object]:
        """Return breakdowns and, as far as time has run, excursions of the air in the boxes."""
        names = [f"truck-{truck + 1:03d}" for truck in range(len(self._routes))]
        return {
            "trucks": [
                {"station": name, "set_point_cel": point, "limits_cel": LIMITS_CEL[point]}
                for name, point in zip(names, self.set_point_cel.tolist(), strict=True)
            ],
            "breakdowns": [
                {
                    "station": names[found.truck],
                    "kind": found.kind,
                    "onset_s": found.onset_s,
                    "duration_s": found.duration_s,
                }
                for found in self.breakdowns
            ],
            "excursions": [
                {
                    "station": names[found.truck],
                    "start_s": found.start_s,
                    "end_s": found.end_s,
                    "peak_cel": found.peak_cel,
                }
                for found in self.excursions
            ],
        }

    def _step(self, time_s: float, doors: BoolArray, outside_cel: float, outside_humidity: float) -> None:
        boxes = self._boxes
        boxes.cooling |= boxes.air_cel > self.set_point_cel + BAND_K
        boxes.cooling &= boxes.air_cel >= self.set_point_cel - BAND_K
        power_w = self._power_w * (boxes.cooling & ~doors)  # A switch at the door stops the fan.
        for found in self.breakdowns:
            if found.kind == "compressor":
                power_w[found.truck] *= 1.0 - (1.0 - found.left) * _progress(found, time_s)
        into_air_w = (
            (self._wall_w_k + DOOR_W_K * doors) * (outside_cel - boxes.air_cel)
            + CARGO_W_K * (boxes.cargo_cel - boxes.air_cel)
            - power_w
        )
        boxes.cargo_cel = boxes.cargo_cel + STEP_S / CARGO_J_K * CARGO_W_K * (boxes.air_cel - boxes.cargo_cel)
        boxes.air_cel = boxes.air_cel + STEP_S / AIR_J_K * into_air_w
        target = np.where(doors, outside_humidity, np.where(boxes.cooling, 62.0, 84.0))
        boxes.humidity += (target - boxes.humidity) * np.where(doors, STEP_S / 90.0, STEP_S / 600.0)

    def _drain(self, time_s: float, parked: BoolArray) -> None:
        """Let batteries run down slowly, charge at the depot, and die where a logger dies."""
        battery = self._boxes.battery
        battery += np.where(parked, 5.0, -0.4) * TICK_S / 3600.0
        np.clip(battery, 1.0, 100.0, out=battery)
        for found in self.breakdowns:
            if found.kind == "logger" and time_s + TICK_S > found.onset_s:
                battery[found.truck] = min(
                    battery[found.truck], 60.0 * (1.0 - _progress(found, time_s + TICK_S))
                )

    def _left_open(self, truck: int, time_s: float) -> bool:
        return any(
            found.truck == truck
            and found.kind == "door"
            and found.onset_s <= time_s < found.onset_s + found.duration_s
            for found in self.breakdowns
        )

    def _note_excursions(self, time_s: float) -> None:
        for truck, air_cel in enumerate(self._boxes.air_cel.tolist()):
            low_cel, high_cel = LIMITS_CEL[float(self.set_point_cel[truck])]
            lasting = self._out.get(truck)
            if not low_cel <= air_cel <= high_cel:
                if lasting is None:
                    lasting = self._out[truck] = Excursion(truck, time_s, air_cel)
                    self.excursions.append(lasting)
                lasting.peak_cel = (max if air_cel > high_cel else min)(lasting.peak_cel, air_cel)
            elif lasting is not None:
                self._out.pop(truck).end_s = time_s


def _progress(found: Breakdown, time_s: float) -> float:
    return min(1.0, max(0.0, (time_s - found.onset_s) / found.duration_s))


def _breakdowns(draw: np.random.Generator, start_s: float, plan: FleetPlan) -> list[Breakdown]:
    """Draw who fails and when; a truck fails in one way only."""
    kinds = (
        ["compressor"] * plan.failing_compressors
        + ["logger"] * plan.dying_loggers
        + ["door"] * plan.doors_left_open
    )
    assert len(kinds) <= plan.trucks, "more breakdowns than trucks"
    durations_s = {"compressor": (1200.0, 3600.0), "logger": (1800.0, 7200.0), "door": (1500.0, 4200.0)}
    return [
        Breakdown(
            truck=int(truck),
            kind=kind,
            onset_s=start_s + TICK_S * round(draw.uniform(*plan.onset_s) / TICK_S),
            duration_s=TICK_S * round(draw.uniform(*durations_s[kind]) / TICK_S),
            left=float(draw.uniform(0.0, 0.15)) if kind == "compressor" else 0.0,
        )
        for truck, kind in zip(draw.permutation(plan.trucks)[: len(kinds)], kinds, strict=True)
    ]
