"""The chart of a trip as SVG: readings, limits, excursions and gaps shaded, and who held the goods below.

An excursion is shaded as far as it is proven, and lighter as far as it is possible.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil, floor, log10
from typing import Protocol

from pipeline.shipping.account import Account
from pipeline.shipping.report_texts import Language, quantity_name, text
from pipeline.shipping.series import Reading
from pipeline.shipping.svg import (
    BREACH,
    CURVE,
    FAINT,
    GAP,
    HOLDERS,
    INK,
    LINE,
    WARN,
    element,
    number,
    picture,
    words,
)
from pipeline.wire.quantities import QUANTITIES

WIDTH, LEFT, RIGHT, TOP = 720.0, 30.0, 52.0, 24.0
PANEL, BETWEEN, BELOW = 156.0, 26.0, 40.0  # Height of the first panel; what is between and below.
SECOND = 76.0  # Height of others.
PANELS_MAX = 2
OUT, MAY, UNKNOWN = 0.22, 0.5, 0.4  # How opaque their shades are.
COLUMNS = 600  # Readings shown across a panel: of more, the least and the greatest of each column.
HOUR_US = 3_600_000_000
_MINUTES = (
    1,
    5,
    10,
    15,
    30,
    60,
    120,
    180,
    360,
    720,
    1440,
    2880,
    5760,
    10_080,
    20_160,
    43_200,
    86_400,
    172_800,
)
_STEPS_US = tuple(minutes * HOUR_US // 60 for minutes in _MINUTES)


def chart(account: Account, language: Language) -> str:
    """Return the chart of what the profile limits, at most two quantities, temperature first."""
    return _Chart(account, language).draw()


class _Chart:
    def __init__(self, account: Account, language: Language) -> None:
        self._account = account
        self._language: Language = language
        self._from_us, to_us = account.judgement.from_us, account.judgement.to_us
        self._length_us = max(to_us - self._from_us, 1)

    def draw(self) -> str:
        parts, top = [self._legend()], TOP
        panels: list[tuple[float, float]] = []
        names = sorted(self._account.profile.quantities, key=lambda name: name != "temperature")
        bottom = top
        for place, name in enumerate(names[:PANELS_MAX]):
            height = SECOND if place else PANEL
            parts += self._panel(name, top, height)
            bottom = top + height
            panels.append((top, bottom))
            top = bottom + BETWEEN
        parts += [*self._times(panels), *self._holders(bottom + 20)]
        title = text("chart", self._language)
        return picture(WIDTH, bottom + BELOW, "".join(parts), title)

    def _x(self, time_us: int) -> float:
        part = (time_us - self._from_us) / self._length_us
        return LEFT + min(max(part, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def _band(self, from_us: int, to_us: int, top: float, height: float, **attributes: object) -> str:
        x, end = self._x(from_us), self._x(to_us)
        return element("rect", x=x, y=top, width=max(end - x, 1.0), height=height, **attributes)

    def _panel(self, name: str, top: float, height: float) -> Iterator[str]:
        limits = [limit for limit in self._account.profile.limit if limit.quantity == name]
        listed = [trip.readings.get(name, ()) for trip in self._account.trips]
        factor = QUANTITIES[name].shown_factor
        values = [float(reading.value) * factor for readings in listed for reading in readings]
        bounds = [float(limit.value) * factor for limit in limits]
        low, high, step = _scale([*values, *_near(bounds, values)])

        def y(value: float) -> float:
            return top + height - (value - low) / (high - low) * height

        yield from self._shades(name, top, height)
        for tick in range(round((high - low) / step) + 1):
            value = low + tick * step
            yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), stroke=LINE,
                          stroke_width=0.6)  # fmt: skip
            yield words(f"{value:g}", LEFT - 5, y(value) + 3.5, text_anchor="end", fill=FAINT)
        for value, label in {bound: f"{bound:g}" for bound in bounds if low <= bound <= high}.items():
            yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), stroke=BREACH,
                          stroke_width=1.1, stroke_dasharray="5 3")  # fmt: skip
            unit = QUANTITIES[name].shown_unit
            yield words(f"{label} {unit}", WIDTH - RIGHT + 5, y(value) + 4, fill=BREACH, font_weight="bold")
        for place, readings in enumerate(listed):
            yield from self._curve(name, readings, y, factor, place)
        unit = f" ({QUANTITIES[name].shown_unit})" if QUANTITIES[name].shown_unit else ""
        yield words(quantity_name(name, self._language) + unit, LEFT, top - 7, font_weight="bold")

    def _shades(self, name: str, top: float, height: float) -> Iterator[str]:
        for track in self._account.judgement.tracks:
            for excursion in track.judgement.excursions:
                if excursion.limit.quantity == name:
                    for begin_us, end_us in (
                        (excursion.after_us, excursion.first_us),
                        (excursion.last_us, excursion.before_us),
                    ):
                        yield self._band(begin_us, end_us, top, height, fill=WARN, fill_opacity=MAY)
                    yield self._band(excursion.first_us, excursion.last_us, top, height, fill=BREACH,
                                     fill_opacity=OUT)  # fmt: skip
            for quantity, gap in track.judgement.gaps:
                if quantity == name:
                    yield self._band(gap.from_us, gap.to_us, top, height, fill=GAP, fill_opacity=UNKNOWN)

    def _curve(
        self, name: str, readings: Sequence[Reading], y: "_Place", factor: float, place: int
    ) -> Iterator[str]:
        """Yield the line, broken where a gap is."""
        gaps = {
            gap.from_us
            for track in self._account.judgement.tracks[place : place + 1]
            for quantity, gap in track.judgement.gaps
            if quantity == name
        }
        run: list[Reading] = []
        for reading in readings:
            if run and run[-1].time_us in gaps:
                yield self._run(run, y, factor, place)
                run = []
            run.append(reading)
        if run:
            yield self._run(run, y, factor, place)

    def _run(self, run: list[Reading], y: "_Place", factor: float, place: int) -> str:
        points = [
            f"{number(self._x(one.time_us))},{number(y(float(one.value) * factor))}" for one in _thinned(run)
        ]
        colour = CURVE if place == 0 else HOLDERS[place % len(HOLDERS)]
        if len(points) == 1:
            x, height = points[0].split(",")
            return element("circle", cx=x, cy=height, r=1.5, fill=colour)
        return element("polyline", points=" ".join(points), fill="none", stroke=colour, stroke_width=1.3,
                       stroke_linejoin="round")  # fmt: skip

    def _times(self, panels: Sequence[tuple[float, float]]) -> Iterator[str]:
        """Yield a line down each panel, and below the last one what time it is."""
        step_us = next((step for step in _STEPS_US if self._length_us <= 9 * step), _STEPS_US[-1])
        first = -(-self._from_us // step_us) * step_us
        for time_us in range(first, self._from_us + self._length_us + 1, step_us):
            x = self._x(time_us)
            moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
            midnight = moment.hour == moment.minute == 0
            for top, bottom in panels:
                yield element("line", x1=x, x2=x, y1=top, y2=bottom, stroke=LINE,
                              stroke_width=1.2 if midnight else 0.6)  # fmt: skip
            label = f"{moment:%m-%d}" if midnight or step_us >= 24 * HOUR_US else f"{moment:%H:%M}"
            weight = "bold" if midnight else "normal"
            yield words(label, x, panels[-1][1] + 13, text_anchor="middle", fill=FAINT, font_weight=weight)

    def _holders(self, top: float) -> Iterator[str]:
        """Yield the strip that says who held the goods."""
        shipment = self._account.shipment
        names = list(dict.fromkeys(holding.holder for holding in shipment.holdings))
        end_us = self._from_us + self._length_us
        for holding in shipment.holdings:
            to_us = min(end_us if holding.to_us is None else holding.to_us, end_us)
            if to_us <= max(holding.from_us, self._from_us):
                continue
            place = names.index(holding.holder) % len(HOLDERS)
            yield self._band(holding.from_us, to_us, top, 14.0, fill=HOLDERS[place], stroke="#fff")
            x, wide = self._x(holding.from_us), self._x(to_us) - self._x(holding.from_us)
            label = party_name(holding.holder)
            if wide > 6.2 * len(label) + 6:
                fill = "#fff" if place % 2 == 0 else INK
                yield words(label, x + wide / 2, top + 10.5, text_anchor="middle", fill=fill, font_size=10)

    def _legend(self) -> str:
        parts, x = [], WIDTH - RIGHT
        for key, colour, opacity in (("legend gap", GAP, UNKNOWN), ("legend may", WARN, MAY),
                                     ("legend out", BREACH, OUT)):  # fmt: skip
            label = text(key, self._language)
            x -= 11.0 * sum(1.0 if ord(c) > 0x2E80 else 0.53 for c in label)
            parts.append(words(label, x, TOP - 7, fill=FAINT))
            x -= 16
            parts.append(
                element("rect", x=x, y=TOP - 16, width=12, height=9, fill=colour, fill_opacity=opacity)
            )
            x -= 12
        return "".join(parts)


class _Place(Protocol):
    """Where a value stands: what `y` is, for checkers of types."""

    def __call__(self, value: float) -> float: ...


def party_name(uri: str) -> str:
    """Return a party's URI without what all have."""
    return uri.removeprefix("https://").removeprefix("http://").strip("/")


def _near(bounds: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return the bounds that are worth showing: all without readings, else those not far from them."""
    if not values:
        return list(bounds)
    low, high = min(values), max(values)
    room = max(high - low, 4.0)
    return [bound for bound in bounds if low - room <= bound <= high + room]


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Return least, greatest and distance of round ticks around the values."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 1, high + 1
    rough = (high - low) / 5
    unit = 10.0 ** floor(log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return floor(low / step) * step, ceil(high / step) * step, step


def _thinned(run: Sequence[Reading]) -> list[Reading]:
    """Return what can be told apart: of each column the first, least, greatest and last, in order."""
    if len(run) <= 2 * COLUMNS:
        return list(run)
    kept: list[Reading] = []
    size = -(-len(run) // COLUMNS)
    for begin in range(0, len(run), size):
        column = run[begin : begin + size]
        least, most = min(column, key=_value), max(column, key=_value)
        kept += sorted({column[0], least, most, column[-1]})
    return kept


def _value(reading: Reading) -> Decimal:
    return reading.value
