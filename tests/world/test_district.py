"""The map: every station has a name of its own, a valid device URN, and stands where it says."""

import re
from math import cos, radians

import pytest

from devices.world import district, facilities
from devices.world.model import Station
from pipeline.wire.quantities import KINDS

STATIONS = district.stations(trucks=12, drift=1.0)
# RFC 9039, 3.2: opsbody = "ops:" posnumber "-" product "-" serial; 32473 is IANA's number for examples.
DEVICE_URN = re.compile(r"urn:dev:ops:32473-[A-Za-z0-9.]+-[A-Za-z0-9.-]+\Z")


def test_names_subjects_and_issuers_are_unique() -> None:
    """No two stations share what identifies them."""
    for field in ("name", "subject", "issuer"):
        assert len({getattr(station, field) for station in STATIONS}) == len(STATIONS), field


@pytest.mark.parametrize("station", STATIONS, ids=lambda station: station.name)
def test_a_station_is_what_the_wire_admits(station: object) -> None:
    """URN, kind, quantities, department and area are known words, and the interval is whole minutes."""
    assert isinstance(station, Station)
    assert DEVICE_URN.match(station.issuer)
    assert set(station.quantities) <= set(KINDS[station.kind])
    assert station.department in district.DEPARTMENTS
    assert station.area in district.AREAS
    assert station.interval_s % 60.0 == 0.0


def test_the_cast_is_as_large_as_promised() -> None:
    """Fifty air stations, two of them beams and five at kerbs; masts, gauges, pipes, approaches, trucks."""
    of_kind = [station.kind for station in STATIONS]
    assert {kind: of_kind.count(kind) for kind in set(of_kind)} == {
        "air": 50,
        "weather": 5,
        "water": 7 + 8,
        "traffic": 32,
        "cold": 12,
    }
    assert sum(station.beam_end is not None for station in STATIONS) == 2
    assert sum(len(station.quantities) for station in STATIONS) > 700


def test_everything_stands_inside_the_district() -> None:
    """Local metres lie within 6 x 4 km, and degrees within what that is on the ground."""
    for station in STATIONS:
        assert 0.0 <= station.x_m <= 6000.0
        assert 0.0 <= station.y_m <= 4000.0
    for plant in facilities.PLANTS:
        assert 0.0 < plant.x_m < 6000.0
        assert 0.0 < plant.y_m < 4000.0


@pytest.mark.parametrize(("x_m", "y_m"), [(0.0, 0.0), (6000.0, 4000.0), (2500.0, 100.0)])
def test_degrees_and_metres_agree(x_m: float, y_m: float) -> None:
    """A position in degrees is where a sphere of the mean Earth radius has it, to one part in two hundred."""
    longitude, latitude = district.to_wgs84(x_m, y_m)
    metres = radians(1.0) * 6_371_000.0
    north_m = (latitude - district.ORIGIN[1]) * metres
    east_m = (longitude - district.ORIGIN[0]) * metres * cos(radians(district.ORIGIN[1]))
    assert north_m == pytest.approx(y_m, rel=5e-3, abs=1e-6)
    assert east_m == pytest.approx(x_m, rel=5e-3, abs=1e-6)


def test_the_sun_rises_and_sets_in_local_time() -> None:
    """Night at local midnight, day at noon; higher in June than in December."""
    noon_june, noon_december = 1_750_478_400.0, 1_766_289_600.0  # 2025-06-21 and 2025-12-21, 04:00 UTC.
    assert district.sunlight(noon_june) > 0.97
    assert 0.5 < district.sunlight(noon_december) < 0.65
    assert district.sunlight(noon_june + 12 * 3600.0) == 0.0


def test_plants_are_the_twenty_candidates() -> None:
    """Twenty listed plants with names in both languages, no two at one place."""
    assert len({plant.name for plant in facilities.PLANTS}) == 20
    assert len({(plant.x_m, plant.y_m) for plant in facilities.PLANTS}) == 20
    assert all(plant.name_en and plant.name_zh for plant in facilities.PLANTS)
