"""The map of a trip as SVG, without tiles from anywhere: stops, the way that was gone, excursions."""

from collections.abc import Iterator, Sequence
from math import cos, floor, log10, radians
from typing import NamedTuple

from pipeline.shipping.account import Account
from pipeline.shipping.report_texts import Language, text
from pipeline.shipping.series import Trip
from pipeline.shipping.svg import BREACH, CURVE, FAINT, INK, LINE, element, number, picture, words

WIDTH, HEIGHT, MARGIN, BELOW = 340.0, 236.0, 30.0, 46.0  # Below stand the legend and the scale.
KM_PER_DEGREE = 111.195  # Of latitude, on a sphere of 6371 km.
POINTS_MAX = 500
TOGETHER_US = 1_000_000  # Longitude and latitude of one record are of the same second.


class Point(NamedTuple):
    """A place and when the goods were there."""

    longitude: float
    latitude: float
    time_us: int = 0


def route_map(account: Account, language: Language) -> str:
    """Return the map."""
    stops = [Point(stop.longitude, stop.latitude) for stop in account.shipment.route]
    ways = [_way(trip) for trip in account.trips]
    view = _View([*stops, *(point for way in ways for point in way)])
    parts = [element("rect", x=0.5, y=0.5, width=WIDTH - 1, height=HEIGHT - 1, fill="#f4f7fa", stroke=LINE)]
    parts.append(view.line(stops, stroke=FAINT, stroke_width=1.2, stroke_dasharray="4 4"))
    for place, way in enumerate(ways):
        parts.append(view.line(way, stroke=CURVE, stroke_width=2.0))
        excursions = account.judgement.tracks[place].judgement.excursions
        for excursion in excursions:
            out = [point for point in way if excursion.after_us <= point.time_us <= excursion.before_us]
            parts.append(view.line(out, stroke=BREACH, stroke_width=4.0, stroke_opacity=0.85))
    parts += _stops(account, view)
    parts += _legend(view, language)
    return picture(WIDTH, HEIGHT, "".join(parts), text("map", language))


class _View:
    """An equirectangular projection around the middle of what is shown."""

    def __init__(self, points: Sequence[Point]) -> None:
        longitudes = [point.longitude for point in points]
        latitudes = [point.latitude for point in points]
        self._west, self._north = min(longitudes), max(latitudes)
        middle = (self._north + min(latitudes)) / 2
        self._narrower = max(cos(radians(middle)), 0.01)
        wide = (max(longitudes) - self._west) * self._narrower
        high = self._north - min(latitudes)
        room = WIDTH - 2 * MARGIN, HEIGHT - MARGIN - BELOW
        self.scale = min(room[0] / max(wide, 1e-3), room[1] / max(high, 1e-3))  # Units a degree of latitude.
        self._shift = (room[0] - wide * self.scale) / 2, (room[1] - high * self.scale) / 2

    def place(self, longitude: float, latitude: float) -> tuple[float, float]:
        x = (longitude - self._west) * self._narrower * self.scale
        y = (self._north - latitude) * self.scale
        return MARGIN + self._shift[0] + x, MARGIN + self._shift[1] + y

    def line(self, points: Sequence[Point], **attributes: object) -> str:
        if len(points) < 2:
            return ""
        step = -(-len(points) // POINTS_MAX)
        shown = [*points[:-1:step], points[-1]]
        places = [self.place(point.longitude, point.latitude) for point in shown]
        text_of = " ".join(f"{number(x)},{number(y)}" for x, y in places)
        return element("polyline", points=text_of, fill="none", stroke_linejoin="round",
                       stroke_linecap="round", **attributes)  # fmt: skip


def _way(trip: Trip) -> list[Point]:
    """Return where a logger was, where both coordinates were read at one time."""
    latitudes = {reading.time_us // TOGETHER_US: reading for reading in trip.readings.get("lat", ())}
    found = []
    for reading in trip.readings.get("lon", ()):
        latitude = latitudes.get(reading.time_us // TOGETHER_US)
        if latitude is not None:
            found.append(Point(float(reading.value), float(latitude.value), reading.time_us))
    return found


def _stops(account: Account, view: _View) -> Iterator[str]:
    """Yield the stops with their names, numbered in order; a name goes where it has room."""
    route = account.shipment.route
    places = [view.place(stop.longitude, stop.latitude) for stop in route]
    for count, (stop, (x, y)) in enumerate(zip(route, places, strict=True), 1):
        yield element("circle", cx=x, cy=y, r=7, fill="#fff", stroke=INK, stroke_width=1.4)
        yield words(str(count), x, y + 3.6, text_anchor="middle", font_size=10, font_weight="bold")
        wide = 11.0 * sum(1.0 if ord(c) > 0x2E80 else 0.53 for c in stop.name)
        left = x + 12 + wide > WIDTH - 4
        crowded = any(
            0 <= y - other[1] < 16 and abs(x - other[0]) < wide for other in places if other != (x, y)
        )
        down = 16.0 if crowded else 4.0
        anchor = "end" if left else "start"
        yield words(stop.name, x - 11 if left else x + 11, y + down, text_anchor=anchor,
                    stroke="#f4f7fa", stroke_width=3, paint_order="stroke")  # fmt: skip


def _legend(view: _View, language: Language) -> Iterator[str]:
    """Yield the scale, where north is, and what the lines mean."""
    whole_km = 70 / view.scale * KM_PER_DEGREE
    unit = 10.0 ** floor(log10(whole_km))
    shown_km = max(factor * unit for factor in (1, 2, 5) if factor * unit <= whole_km)
    wide, y = shown_km / KM_PER_DEGREE * view.scale, HEIGHT - 12
    x = WIDTH - 14 - wide
    yield element("path", d=f"M{number(x)} {number(y - 4)}v4h{number(wide)}v-4", fill="none", stroke=INK)
    yield words(f"{shown_km:g} km", x + wide / 2, y - 5, text_anchor="middle", font_size=10)
    yield element("path", d=f"M{number(WIDTH - 18)} 26v-14m-4 5l4-6l4 6", fill="none", stroke=INK)
    yield words("N", WIDTH - 18, 37, text_anchor="middle", font_size=10)
    x = 10.0
    for key, attributes in (
        ("planned", {"stroke": FAINT, "stroke_dasharray": "4 4"}),
        ("travelled", {"stroke": CURVE, "stroke_width": 2}),
        ("legend out", {"stroke": BREACH, "stroke_width": 4}),
    ):
        label = text(key, language)
        yield element("line", x1=x, x2=x + 18, y1=y - 3, y2=y - 3, **attributes)
        yield words(label, x + 22, y, fill=FAINT, font_size=10)
        x += 32 + 10.0 * sum(1.0 if ord(c) > 0x2E80 else 0.53 for c in label)
