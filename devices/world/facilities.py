"""What emits into the air besides traffic: twenty listed plants, small sources nobody lists, and leaks.

The plants are the candidates that any inspector has on a list. Small sources are kitchens, generators and
vents; their places belong to the map. Leaks are the events of a scenario.
"""

import csv
import random
from dataclasses import dataclass
from math import atan2, degrees, dist, hypot
from pathlib import Path

import numpy as np

from devices.world import district
from devices.world.air.places import Schedule, SourceSpec, Stack
from devices.world.draw import stream
from devices.world.model import Station
from devices.world.scenarios import LeakPlan
from devices.world.traffic import Street

SMALL_COUNT = 14
APART_M = 800.0  # Between leaks of one scenario, at least: nearer ones are one source to any network.
UNLISTED_FROM_LISTED_M = 250.0
SENSORS_DOWNWIND = 3
SECTOR_M, SECTOR_DEG = (150.0, 2500.0), 25.0  # To either side.
MARGIN_M = 400.0  # An unlisted leak keeps this far inside the district: its edge has no sensors beyond.
_SMALL_SEED = 9039


@dataclass(frozen=True, slots=True)
class Plant:
    """A listed plant of plants.csv; rates are routine means, a tenth of NOx is NO2, half of PM10 PM2.5."""

    name: str
    name_en: str
    name_zh: str
    x_m: float
    y_m: float
    stack_m: float
    velocity_m_s: float
    temperature_c: float
    diameter_m: float
    so2_g_s: float
    nox_g_s: float
    pm10_g_s: float


def _read_plants() -> tuple[Plant, ...]:
    with Path(__file__).with_name("plants.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return tuple(Plant(row[0], row[1], row[2], *map(float, row[3:])) for row in rows[1:])


PLANTS = _read_plants()


@dataclass(frozen=True, slots=True)
class Leak:
    """One leak of a scenario; `plant` is None where no list has its place."""

    name: str
    plant: str | None
    quantity: str
    x_m: float
    y_m: float
    z_m: float
    rate_g_s: float
    onset_s: float
    end_s: float

    def source(self) -> SourceSpec:
        """Return the leak as the air takes it."""
        return SourceSpec(
            name=self.name,
            kind="small",
            x_m=self.x_m,
            y_m=self.y_m,
            z_m=self.z_m,
            rates_g_s={self.quantity: self.rate_g_s},
            schedule=Schedule(windows_s=((self.onset_s, self.end_s),), rate_sd=0.15),
            listed=self.plant is not None,
        )


def plant_sources() -> list[SourceSpec]:
    """Return the stacks of the plants with their routine emissions, most of them on and off in shifts."""
    return [
        SourceSpec(
            name=plant.name,
            kind="stack",
            x_m=plant.x_m,
            y_m=plant.y_m,
            z_m=plant.stack_m,
            rates_g_s={
                "so2": plant.so2_g_s,
                "no": 0.9 * plant.nox_g_s,
                "no2": 0.1 * plant.nox_g_s,
                "pm10": plant.pm10_g_s,
                "pm2_5": 0.5 * plant.pm10_g_s,
                "co": 0.3 * plant.nox_g_s,
            },
            stack=Stack(plant.velocity_m_s, plant.temperature_c, plant.diameter_m),
            schedule=Schedule(on_s=21600.0, off_s=0.0 if plant.stack_m >= 40.0 else 10800.0, rate_sd=0.2),
        )
        for plant in PLANTS
    ]


def small_sources() -> list[SourceSpec]:
    """Return the small sources: on for an hour or two, off for longer, on no list."""
    draw = random.Random(_SMALL_SEED)
    found = []
    for number in range(1, SMALL_COUNT + 1):
        strength = draw.lognormvariate(0.0, 0.5)
        vent = number % 4 == 0  # A sewer or gas vent: methane, and nothing that burns.
        burning = {"pm10": 0.03, "pm2_5": 0.025, "no": 0.02, "no2": 0.005, "co": 0.15, "so2": 0.004}
        found.append(
            SourceSpec(
                name=f"s{number:02d}",
                kind="small",
                x_m=draw.uniform(200.0, district.WIDTH_M - 200.0),
                y_m=draw.uniform(200.0, district.HEIGHT_M - 200.0),
                z_m=1.0 if vent else draw.uniform(3.0, 15.0),
                rates_g_s={"ch4": 0.25 * strength} if vent else {s: r * strength for s, r in burning.items()},
                schedule=Schedule(on_s=5400.0, off_s=10800.0, rate_sd=0.4),
                listed=False,
            )
        )
    return found


def corridor_sources(streets: list[Street]) -> list[SourceSpec]:
    """Return one line source a street, in the streets' order."""
    return [
        SourceSpec(
            name=f"street-{number:02d}",
            kind="corridor",
            x_m=street.start_m[0],
            y_m=street.start_m[1],
            z_m=0.5,
            end_m=street.end_m,
        )
        for number, street in enumerate(streets, 1)
    ]


def draw_leaks(
    seed: int, start_s: float, plans: tuple[LeakPlan, ...], sensors: list[Station], wind_from_deg: float
) -> list[Leak]:
    """Draw where, when and how strong the leaks of a scenario are.

    A leak has at least `SENSORS_DOWNWIND` of the `sensors` in the sector that the prevailing wind blows to:
    what blows straight out of the district tells nothing about how well one traces.
    """
    draw = stream(seed, "leaks")
    found: list[Leak] = []
    for plan in plans:
        for _ in range(plan.count):
            taken = [(leak.x_m, leak.y_m) for leak in found]
            while True:
                plant, place = _draw_place(draw, plan)
                apart = all(dist(place, other) >= APART_M for other in taken)
                if apart and _downwind(place, wind_from_deg, sensors) >= SENSORS_DOWNWIND:
                    break
            onset_s = start_s + 60.0 * round(draw.uniform(*plan.onset_s) / 60.0)
            found.append(
                Leak(
                    name=f"leak-{len(found) + 1}",
                    plant=plant,
                    quantity=plan.quantity,
                    x_m=place[0],
                    y_m=place[1],
                    z_m=float(draw.uniform(*plan.height_m)),
                    rate_g_s=float(np.exp(draw.uniform(*np.log(plan.rate_g_s)))),
                    onset_s=onset_s,
                    end_s=onset_s + 60.0 * round(draw.uniform(*plan.duration_s) / 60.0),
                )
            )
    return found


def _draw_place(draw: np.random.Generator, plan: LeakPlan) -> tuple[str | None, tuple[float, float]]:
    if plan.place == "listed":
        plant = PLANTS[int(draw.integers(len(PLANTS)))]
        return plant.name, (plant.x_m, plant.y_m)
    while True:
        place = (
            float(draw.uniform(MARGIN_M, district.WIDTH_M - MARGIN_M)),
            float(draw.uniform(MARGIN_M, district.HEIGHT_M - MARGIN_M)),
        )
        if all(dist(place, (plant.x_m, plant.y_m)) >= UNLISTED_FROM_LISTED_M for plant in PLANTS):
            return None, place


def _downwind(place: tuple[float, float], wind_from_deg: float, sensors: list[Station]) -> int:
    """Count the sensors in the sector downwind of a place."""
    count = 0
    for sensor in sensors:
        east_m, north_m = sensor.x_m - place[0], sensor.y_m - place[1]
        bearing_deg = degrees(atan2(east_m, north_m))
        off_deg = abs((bearing_deg - wind_from_deg) % 360.0 - 180.0)
        near_m, far_m = SECTOR_M
        count += near_m <= hypot(east_m, north_m) <= far_m and off_deg <= SECTOR_DEG
    return count
