"""World and Gaussian plume, paired: what each source adds at each receptor, hour by hour.

Pairs and scores as in Chang and Hanna (2004), Meteorology and Atmospheric Physics 87, with the world in the
place of the observations. A pair is one source, one receptor and one hour, so that nothing averages out. Of
what a source emits, the species that is seen first counts; concentrations are in detection limits, so that
species can be put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devices.sensors.air import STATION
from devices.world.air.minute import AirMinute
from devices.world.air.places import EMITTED, Receptor
from devices.world.city import City, _receptors
from devices.world.scenarios import scenario
from tests.world.air.briggs import Hour, coupling

HOUR_MIN = 60
CALM_M_S = 1.0  # Plume models say nothing about weaker winds; hours below are left out.
KEPT = 0.01  # Pairs of which both sides are below this many detection limits are not kept.
SHARE = 0.1  # The threshold: a tenth of what an instrument can see.
METHANE_UG_M3 = 655.0  # A part per million at 25 degrees Celsius and 1013 hPa.
BEAM_POINTS = 20

Values = npt.NDArray[np.float64]


def detection_limit_ug_m3(species: str) -> float:
    """Return the stations' detection limit; NO is measured by nobody and seen as NO2."""
    limit = STATION["no2" if species == "no" else species].limit
    return float(limit * (METHANE_UG_M3 if species == "ch4" else 1.0))


LIMITS_UG_M3 = np.array([detection_limit_ug_m3(species) for species in EMITTED])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Concentrations in detection limits, (n,) each, of `hours`; kinds: stack, small, corridor, leak."""

    world: Values
    model: Values
    kind: npt.NDArray[np.str_]
    hours: int


class Scores(NamedTuple):
    """Of `number` pairs; FB is above 0, and MG above 1, where the world is higher."""

    number: int
    fac2: float
    fb: float
    nmse: float
    mg: float
    vg: float


def run(name: str, seed: int, hours: int, later_h: float) -> Pairs:
    """Let the city of a scenario run for some hours, `later_h` after its usual start, and pair them."""
    plan = scenario(name)
    city = City(plan, seed, plan.start.timestamp() + 3600.0 * later_h)
    ticks = city.run()
    parts = []
    for _ in range(hours):
        minutes = []
        for _ in islice(ticks, HOUR_MIN):
            assert city.air is not None
            minutes.append(city.air)
        hour = _hour(minutes)
        if hour.speed_m_s >= CALM_M_S:
            parts.append(_pairs(city, minutes, hour))
    return joined(parts)


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Return all pairs as one."""
    world = np.concatenate([np.zeros(0), *(part.world for part in parts)])
    model = np.concatenate([np.zeros(0), *(part.model for part in parts)])
    kind = np.concatenate([np.zeros(0, "<U8"), *(part.kind for part in parts)])
    return Pairs(world, model, kind, sum(part.hours for part in parts))


def scores(pairs: Pairs, share: float = SHARE, *, either: bool = False) -> Scores:
    """Score the pairs whose model's side, or either, is at least `share` of the detection limit.

    For MG and VG values below that are raised to it, as is usual with what no instrument would see.
    """
    chosen = pairs.model >= share
    if either:
        chosen |= pairs.world >= share
    world, model = pairs.world[chosen], pairs.model[chosen]
    logs = np.log(np.maximum(world, share) / np.maximum(model, share))
    return Scores(
        number=world.size,
        fac2=float(np.mean((world >= 0.5 * model) & (world <= 2.0 * model))),
        fb=float(2.0 * (world.mean() - model.mean()) / (world.mean() + model.mean())),
        nmse=float(np.mean((world - model) ** 2) / (world.mean() * model.mean())),
        mg=float(np.exp(logs.mean())),
        vg=float(np.exp(np.mean(logs**2))),
    )


def _hour(minutes: Sequence[AirMinute]) -> Hour:
    fields = [minute.field for minute in minutes]
    wind_m_s = np.array([field.wind_m_s for field in fields])
    east_m_s, north_m_s = wind_m_s.mean(axis=0)
    masts = [mast.temperature_c for minute in minutes for mast in minute.weather.values()]
    return Hour(
        float(east_m_s),
        float(north_m_s),
        float(np.hypot(*wind_m_s.T).mean()),
        float(np.mean([1.0 / field.obukhov_m for field in fields])),
        float(np.mean([field.mixing_height_m for field in fields])),
        float(np.mean(masts)) + 273.15,
    )


def _pairs(city: City, minutes: Sequence[AirMinute], hour: Hour) -> Pairs:
    receptors = [receptor for receptor in _receptors(city.stations) if not receptor.weather]
    places = [_places(receptor) for receptor in receptors]
    owner = np.repeat(np.arange(len(places)), [len(place) for place in places])
    at_m = np.concatenate(places)
    by_source_ug_m3 = np.mean([minute.by_source for minute in minutes], axis=0)
    found = []
    for i, source in enumerate(city._sources):
        rates = np.array([list(minute.rates_g_s[source.name].values()) for minute in minutes]).mean(axis=0)
        seen_first = int(np.argmax(rates / LIMITS_UG_M3))
        limit_ug_m3 = LIMITS_UG_M3[seen_first]
        model = np.bincount(owner, coupling(source, at_m, hour)) / np.bincount(owner)
        model *= rates[seen_first] * 1e6 / limit_ug_m3
        world = by_source_ug_m3[:, i, seen_first] / limit_ug_m3
        kept = np.maximum(world, model) >= KEPT
        kind = "leak" if source.name.startswith("leak") else source.kind
        found.append(Pairs(world[kept], model[kept], np.full(kept.sum(), kind, "<U8"), 0))
    every = joined(found)
    return Pairs(every.world, every.model, every.kind, 1)


def _places(receptor: Receptor) -> Values:
    """Return points, (n, 3) in metres, whose mean is what a receptor measures."""
    begin = np.array([[receptor.x_m, receptor.y_m, receptor.z_m]])
    if receptor.end_m is None:
        return begin
    share = (np.arange(BEAM_POINTS)[:, None] + 0.5) / BEAM_POINTS
    return np.asarray(begin + share * (np.array(receptor.end_m) - begin))
