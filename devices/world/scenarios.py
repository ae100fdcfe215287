"""The scenarios: what happens in the city, how hard it is, and what the truth will hold.

`scenarios.toml` gives ranges, the seed draws from them. Its difficulty is frozen: figures measured on a
scenario name the file's version, and whoever changes a range raises it.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat

from devices.world.air.config import AirConfig
from pipeline.wire.errors import InputError

FILE = Path(__file__).with_name("scenarios.toml")


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("a range runs from low to high")
    return value


Range = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ordered)]


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(_Plan):
    """One text in both languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class LeakPlan(_Plan):
    """Sources that begin to emit while the scenario runs; times count from its start."""

    quantity: Literal["so2", "ch4"]
    place: Literal["listed", "unlisted"]
    count: int = Field(default=1, ge=1)
    onset_s: Range
    duration_s: Range
    rate_g_s: Range
    height_m: Range


class SpillPlan(_Plan):
    """A discharge into the river; `mass_kg` is its ammonia nitrogen."""

    onset_s: Range
    duration_s: Range
    mass_kg: Range


class InjectionPlan(_Plan):
    """A contamination of the drinking-water network that at least `sensors_min` sensors can see."""

    onset_s: Range
    duration_s: Range
    rate_mg_min: Range
    sensors_min: int = Field(default=2, ge=1)


class FleetPlan(_Plan):
    """The refrigerated trucks, and how many of them fail in which way; no truck fails twice."""

    trucks: int = Field(default=12, ge=1, le=999)
    failing_compressors: int = Field(default=0, ge=0)
    dying_loggers: int = Field(default=0, ge=0)
    doors_left_open: int = Field(default=0, ge=0)
    onset_s: Range = (0.0, 0.0)


class Scenario(_Plan):
    """One scenario. `truth` names the lists of truth.json that it fills."""

    name: str
    title: Words
    description: Words
    start: AwareDatetime
    truth: tuple[str, ...]
    traffic_demand: float = Field(default=1.0, gt=0.0, le=2.0)
    sensor_drift: float = Field(default=1.0, ge=0.0)
    air: AirConfig = AirConfig()
    leaks: tuple[LeakPlan, ...] = ()
    spill: SpillPlan | None = None
    injection: InjectionPlan | None = None
    fleet: FleetPlan = FleetPlan()


class _File(_Plan):
    version: int = Field(ge=1)
    scenario: dict[str, dict[str, object]]


@cache
def _load() -> tuple[int, dict[str, Scenario]]:
    file = _File.model_validate(tomllib.loads(FILE.read_text(encoding="utf-8")))
    found = {name: Scenario.model_validate({"name": name, **plan}) for name, plan in file.scenario.items()}
    return file.version, found


def version() -> int:
    """Return the version of the frozen scenarios."""
    return _load()[0]


def scenarios() -> dict[str, Scenario]:
    """Return every scenario by name, in the file's order."""
    return dict(_load()[1])


def scenario(name: str) -> Scenario:
    """Return one scenario.

    Raises:
        InputError: There is none of this name.
    """
    known = _load()[1]
    if name not in known:
        raise InputError(f"scenario {name}", "is unknown", f"Choose one of: {', '.join(known)}.")
    return known[name]
