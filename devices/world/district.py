"""The map of Qinglan District (清岚区), a fictional district of 6 x 4 km: what stands where.

Local metres: x east, y north of the south-west corner, whose WGS 84 position is `ORIGIN`. The map is the same
for every seed and scenario; what happens on it is not.
"""

import random
from dataclasses import replace
from math import cos, pi, radians, sin, sqrt

from devices.world.model import BeamEnd, Station
from pipeline.wire.quantities import KINDS

WIDTH_M, HEIGHT_M = 6000.0, 4000.0
ORIGIN = (119.0, 31.5)  # Longitude, latitude of the south-west corner.
TIMEZONE = "Asia/Shanghai"
UTC_OFFSET_S = 8 * 3600.0  # China keeps no summer time.

DEPARTMENTS = {
    "ecology": ("Ecology and Environment Bureau", "生态环境局"),
    "transport": ("Transport Bureau", "交通运输局"),
    "water": ("Water Bureau", "水务局"),
    "carrier": ("Qinglan Cold Chain Carrier", "清岚冷链承运"),
}
AREAS = {
    "west-town": ("West Town", "西城"),
    "centre": ("Centre", "中心区"),
    "industrial-park": ("Industrial Park", "工业园区"),
    "harbour": ("Harbour", "港区"),
    "fleet": ("Fleet", "车队"),
}

ROADS_EAST_M = (700.0, 2000.0, 3300.0)  # y of the streets that run west to east.
ROADS_NORTH_M = (900.0, 2300.0, 3700.0, 5100.0)  # x of those that run south to north.
JUNCTIONS = {
    f"j{row * len(ROADS_NORTH_M) + column + 1:02d}": (x_m, y_m)
    for row, y_m in enumerate(ROADS_EAST_M)
    for column, x_m in enumerate(ROADS_NORTH_M)
}
JUNCTIONS_DETECTED = ("j02", "j03", "j05", "j06", "j07", "j08", "j10", "j11")
SIDES = {"n": (0.0, 1.0), "e": (1.0, 0.0), "s": (0.0, -1.0), "w": (-1.0, 0.0)}  # Of a junction.

JUNCTIONS_WITH_AIR = ("j02", "j03", "j06", "j07", "j11")
MASTS = ((1200.0, 3000.0), (1500.0, 1100.0), (3050.0, 2500.0), (4900.0, 2350.0), (4400.0, 600.0))

RIVER_NODES = {
    "west": (0.0, 2700.0),
    "mill": (1000.0, 2560.0),
    "bridge": (2000.0, 2300.0),
    "weir": (3000.0, 1950.0),
    "confluence": (4000.0, 1700.0),
    "quay": (4800.0, 1530.0),
    "lock": (5400.0, 1330.0),
    "east": (6000.0, 1150.0),
    "hill": (3750.0, 4000.0),
    "pond": (3850.0, 3200.0),
    "park": (3900.0, 2400.0),
    "canal": (1500.0, 250.0),
    "basin": (2200.0, 900.0),
}
REACHES = (  # Name, from, to, width in metres, slope: the river r, its tributary t, a drainage canal c.
    ("r1", "west", "mill", 24.0, 3.0e-4),
    ("r2", "mill", "bridge", 24.0, 3.0e-4),
    ("r3", "bridge", "weir", 25.0, 2.8e-4),
    ("r4", "weir", "confluence", 26.0, 2.8e-4),
    ("r5", "confluence", "quay", 30.0, 2.5e-4),
    ("r6", "quay", "lock", 31.0, 2.5e-4),
    ("r7", "lock", "east", 32.0, 2.5e-4),
    ("t1", "hill", "pond", 9.0, 8.0e-4),
    ("t2", "pond", "park", 10.0, 7.0e-4),
    ("t3", "park", "confluence", 11.0, 6.0e-4),
    ("c1", "canal", "basin", 6.0, 3.0e-4),
    ("c2", "basin", "weir", 7.0, 3.0e-4),
)
MEANDER = 1.12  # Length of a reach over the distance of its ends.
GAUGES = {  # Reach, and how far along it.
    "gauge-1": ("r1", 0.35),
    "gauge-2": ("r3", 0.10),
    "gauge-3": ("r4", 0.30),
    "gauge-4": ("r5", 0.80),
    "gauge-5": ("r7", 0.75),
    "gauge-6": ("t2", 0.55),
    "gauge-7": ("c2", 0.70),
}
PIPE_SENSORS = {  # Net3 node: its position in Net3's own map.
    "101": (13.81, 22.94),
    "117": (21.69, 21.28),
    "121": (23.54, 25.5),
    "141": (35.68, 23.08),
    "151": (28.29, 21.39),
    "189": (24.15, 11.37),
    "209": (33.76, 6.59),
    "229": (36.16, 3.49),
}
PIPE_METERS = ("101", "119", "123", "149", "161", "215", "243", "263")  # Net3 link whose flow each meters.
DEPOT = (5300.0, 700.0)  # Where the refrigerated trucks start and end their day.

AIR_ROADSIDE = ("pm2_5", "pm10", "no2", "o3", "co")
RIVER_ALL = (
    "temperature",
    "ph",
    "dissolved_oxygen",
    "ammonia_nitrogen",
    "permanganate_index",
    "total_phosphorus",
    "total_nitrogen",
    "turbidity",
    "conductivity",
    "flow_river",
)
PIPE_ALL = (
    "temperature",
    "ph",
    "free_chlorine",
    "turbidity",
    "conductivity",
    "flow_pipe",
    "network_pressure",
)

_MAP_SEED = 32473


def to_wgs84(x_m: float, y_m: float) -> tuple[float, float]:
    """Return (longitude, latitude) in degrees of a local position, on the tangent plane at ORIGIN."""
    longitude, latitude = ORIGIN
    east_m, north_m = _metres_per_degree(latitude)
    return longitude + x_m / east_m, latitude + y_m / north_m


def _metres_per_degree(latitude: float) -> tuple[float, float]:
    """Return the lengths of a degree of longitude and of latitude; WGS 84 radii of curvature."""
    semi_major_m, eccentricity_2 = 6378137.0, 6.69437999014e-3
    w = 1.0 - eccentricity_2 * sin(radians(latitude)) ** 2
    east_m = radians(1.0) * semi_major_m / sqrt(w) * cos(radians(latitude))
    north_m = radians(1.0) * semi_major_m * (1.0 - eccentricity_2) / (w * sqrt(w))
    return east_m, north_m


def area_of(x_m: float, y_m: float) -> str:
    """Return the name of the area a position lies in."""
    if x_m < 2000.0:
        return "west-town"
    if x_m < 4000.0:
        return "centre"
    return "industrial-park" if y_m >= 2000.0 else "harbour"


def net3_to_local(x: float, y: float) -> tuple[float, float]:
    """Lay Net3's own map over the district."""
    return 200.0 + (x - 8.0) / 36.86 * 5600.0, 150.0 + y / 31.06 * 3700.0


def along_reach(name: str, share: float) -> tuple[float, float]:
    """Return the position a share of the way down a reach."""
    _, start, end, _, _ = next(reach for reach in REACHES if reach[0] == name)
    (x0_m, y0_m), (x1_m, y1_m) = RIVER_NODES[start], RIVER_NODES[end]
    return x0_m + share * (x1_m - x0_m), y0_m + share * (y1_m - y0_m)


def sunlight(time_s: float) -> float:
    """Return the sine of the sun's height over the district, 0 at night (solar time at ORIGIN, UTC given)."""
    days = time_s / 86400.0
    declination = radians(-23.44) * cos(2.0 * pi * (days % 365.2425 + 10.0) / 365.2425)
    hour_angle = 2.0 * pi * (days % 1.0 - 0.5) + radians(ORIGIN[0])
    latitude = radians(ORIGIN[1])
    height = sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour_angle)
    return max(0.0, height)


def stations(trucks: int, drift: float) -> list[Station]:
    """Return every station with `trucks` refrigerated trucks, in a fixed order; `drift` as in `Station`."""
    found = [*_air(), *_beams(), *_weather(), *_gauges(), *_pipes(), *_approaches(), *_trucks(trucks)]
    return [replace(station, drift=drift) for station in found]


_DEPARTMENT_OF = {
    "air": "ecology",
    "weather": "ecology",
    "water": "water",
    "traffic": "transport",
    "cold": "carrier",
}


def _station(
    kind: str,
    number: int,
    subject: str,
    place_m: tuple[float, float, float],
    quantities: tuple[str, ...],
    *,
    interval_s: float = 60.0,
    beam_end_m: tuple[float, float, float] | None = None,
) -> Station:
    """Build a station named after the last part of its subject; `place_m` is x, y and height above ground."""
    x_m, y_m, height_m = place_m
    longitude, latitude = to_wgs84(x_m, y_m)
    return Station(
        name=subject.partition("/")[2].replace("/", "-"),
        kind=kind,
        issuer=f"urn:dev:ops:32473-{kind}-{number:04d}",
        subject=subject,
        department=_DEPARTMENT_OF[kind],
        area="fleet" if kind == "cold" else area_of(x_m, y_m),
        longitude=longitude,
        latitude=latitude,
        height_m=height_m,
        x_m=x_m,
        y_m=y_m,
        interval_s=interval_s,
        quantities=quantities,
        beam_end=beam_end_m and BeamEnd(*to_wgs84(*beam_end_m[:2]), beam_end_m[2], *beam_end_m[:2]),
    )


def _air() -> list[Station]:
    """Return 43 stations on a jittered grid with gaps, and five at the kerbs of the busiest junctions."""
    draw = random.Random(_MAP_SEED)
    grid = [(x_m, y_m) for y_m in range(333, 4000, 666) for x_m in range(375, 6000, 750)]
    kept = sorted(draw.sample(range(len(grid)), 43))
    places = [(grid[i][0] + draw.uniform(-180, 180), grid[i][1] + draw.uniform(-160, 160), 3.0) for i in kept]
    kerbs = [(JUNCTIONS[j][0] + 18.0, JUNCTIONS[j][1] + 14.0, 2.5) for j in JUNCTIONS_WITH_AIR]
    return [
        _station("air", i, f"air/air-{i:02d}", place, KINDS["air"] if i <= len(places) else AIR_ROADSIDE)
        for i, place in enumerate(places + kerbs, 1)
    ]


def _beams() -> list[Station]:
    """Return two open-path beams: methane in the industrial park; SO2, NO2 and O3 in the harbour."""
    park, park_end = (4350.0, 2700.0, 4.0), (4850.0, 2950.0, 4.0)
    harbour, harbour_end = (4300.0, 1250.0, 6.0), (4700.0, 950.0, 6.0)
    return [
        _station("air", 49, "beam/beam-1", park, ("ch4",), beam_end_m=park_end),
        _station("air", 50, "beam/beam-2", harbour, ("so2", "no2", "o3"), beam_end_m=harbour_end),
    ]


def _weather() -> list[Station]:
    return [
        _station("weather", i, f"weather/weather-{i}", (*place, 10.0), KINDS["weather"])
        for i, place in enumerate(MASTS, 1)
    ]


def _gauges() -> list[Station]:
    return [
        _station("water", i, f"river/{name}", (*along_reach(*place), 0.0), RIVER_ALL, interval_s=300.0)
        for i, (name, place) in enumerate(GAUGES.items(), 1)
    ]


def _pipes() -> list[Station]:
    return [
        _station("water", 100 + i, f"network/pipe-{node}", (*net3_to_local(*place), -1.2), PIPE_ALL)
        for i, (node, place) in enumerate(PIPE_SENSORS.items(), 1)
    ]


def _approaches() -> list[Station]:
    stop_lines = [
        (
            f"junction/{junction}/{side}",
            JUNCTIONS[junction][0] + 40.0 * east,
            JUNCTIONS[junction][1] + 40.0 * north,
        )
        for junction in JUNCTIONS_DETECTED
        for side, (east, north) in SIDES.items()
    ]
    return [
        _station("traffic", i, subject, (x_m, y_m, 5.0), KINDS["traffic"])
        for i, (subject, x_m, y_m) in enumerate(stop_lines, 1)
    ]


def _trucks(count: int) -> list[Station]:
    place = (*DEPOT, 1.5)
    return [
        _station("cold", i, f"container/truck-{i:03d}", place, KINDS["cold"]) for i in range(1, count + 1)
    ]
