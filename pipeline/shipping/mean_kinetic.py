"""Mean kinetic temperature: the constant temperature that would have aged a product as much as the trip did.

    MKT = (ΔH/R) / −ln(Σ wᵢ·exp(−ΔH/(R·Tᵢ)) / Σ wᵢ), T in kelvin, w a duration

ΔH/R is pinned to 10000 K (83.144 kJ/mol over 8.3144 J/(mol·K)); other values of R change the fifth digit.
Each exponential is taken in decimals and becomes an integer, and integers are summed: the result has the same
digits on every machine and in every order.

Source: Haynes (1971), J. Pharm. Sci. 60(6), doi:10.1002/jps.2600600629; USP <1079.2>.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from pipeline.shipping.series import Series

RATIO_K = 10_000
ZERO_CELSIUS_K = Decimal("273.15")
COLDEST_CEL = Decimal(-200)  # Liquid nitrogen; below, exponentials would need more digits.
_RESULT = Context(prec=34, rounding=ROUND_HALF_EVEN)
_INNER = Context(prec=44, rounding=ROUND_HALF_EVEN)  # Ten more: a constant temperature gives itself back.
_DIGITS = 110  # exp(−10000 K / 73.15 K) is 4e-60: 50 digits of it remain.


class Rates:
    """Ageing rates as integers, each temperature's computed once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Decimal, int] = {}

    def at(self, celsius: Decimal) -> int:
        """Return exp(−ΔH/(R·T)) times 10^110; `celsius` is not below −200."""
        rate = self._known.get(celsius)
        if rate is None:
            assert celsius >= COLDEST_CEL, "readings are checked before they are judged"
            kelvin = _INNER.add(celsius, ZERO_CELSIUS_K)
            exponential = _INNER.exp(_INNER.divide(-RATIO_K, kelvin))
            rate = int(_INNER.scaleb(exponential, _DIGITS))
            self._known[celsius] = rate
        return rate


def celsius_of(total: int, weight: int) -> Decimal:
    """Return the temperature in °C, 34 digits, whose rate is `total` / `weight`; both are positive."""
    mean = _INNER.scaleb(_INNER.divide(Decimal(total), Decimal(weight)), -_DIGITS)
    kelvin = _INNER.divide(-RATIO_K, _INNER.ln(mean))
    return _RESULT.subtract(kelvin, ZERO_CELSIUS_K)


def mean_kinetic_temperature(weighted: Iterable[tuple[Decimal, int]]) -> Decimal:
    """Return the MKT in °C, 34 digits, of (°C, duration) pairs; durations are integers of any one unit.

    Raises:
        ValueError: No duration in all, or a negative one.
    """
    rates, total, weight = Rates(), 0, 0
    for celsius, duration in weighted:
        if duration < 0:
            raise ValueError("a duration is negative")
        total += rates.at(celsius) * duration
        weight += duration
    if weight == 0:
        raise ValueError("mean kinetic temperature of no time at all")
    return celsius_of(total, weight)


@dataclass(frozen=True, slots=True)
class Span:
    """Time at one temperature, [from, to) in µs; `celsius` None: nobody knows which."""

    from_us: int
    to_us: int
    celsius: Decimal | None


def spans_of(series: Series, interval_us: int) -> list[Span]:
    """Return how long each temperature stands: until the next reading; the first also from the begin.

    Before a gap, and at the end if that is the last reading, a reading stands for as long as the one before
    it did, or for `interval_us` if it is alone; the rest of the gap is unknown. So readings at equal
    intervals weigh the same. `series` has a reading.
    """
    spans: list[Span] = []
    readings, last = series.readings, len(series.readings) - 1
    begin_us = series.from_us
    if 0 in series.gaps:
        spans.append(Span(begin_us, readings[0].time_us, None))
        begin_us = readings[0].time_us
    for index, reading in enumerate(readings):
        next_us, gap = series.edge_us(index + 1), series.gaps.get(index + 1)
        until_us = next_us
        alone = index == 0 or index in series.gaps
        step_us = 0 if alone else reading.time_us - readings[index - 1].time_us
        step_us = step_us or interval_us
        if gap:
            until_us = min(next_us, reading.time_us + step_us)
        elif index == last and next_us == reading.time_us:
            until_us += step_us
        spans.append(Span(begin_us, until_us, reading.value))
        if gap and until_us < next_us:
            spans.append(Span(until_us, next_us, None))
        begin_us = next_us
    return spans


@dataclass(frozen=True, slots=True)
class WorstWindow:
    """The window that has aged the product most.

    `proven_min_cel` counts unknown time as if it had aged nothing: MKT was at least that; None where all time
    is unknown.
    """

    from_us: int
    to_us: int
    proven_min_cel: Decimal | None


def worst_window(spans: Sequence[Span], window_us: int) -> WorstWindow:
    """Return the worst window of this length, or of the whole where that is shorter.

    `spans` are ascending and adjoin. The mean over a window that moves changes linearly until one of its ends
    passes from one span to the next, so only windows that begin or end there have to be tried.
    """
    rates = Rates()
    rate = [0 if span.celsius is None else rates.at(span.celsius) for span in spans]
    edges = [span.from_us for span in spans] + [spans[-1].to_us]
    sums = [0]
    for span, value in zip(spans, rate, strict=True):
        sums.append(sums[-1] + value * (span.to_us - span.from_us))
    begin_us, end_us = edges[0], edges[-1]
    length_us = min(window_us, end_us - begin_us)
    worst, worst_from_us = sums[-1] if length_us == end_us - begin_us else -1, begin_us
    if worst < 0:
        # The window's other end moves along with the edge: `at` is the span that it lies in.
        for offset_us in (length_us, -length_us):
            at = 0
            for edge_us, summed in zip(edges, sums, strict=True):
                other_us = edge_us + offset_us
                if not begin_us <= other_us <= end_us:
                    continue
                while at < len(spans) - 1 and edges[at + 1] <= other_us:
                    at += 1
                total = abs(sums[at] + rate[at] * (other_us - edges[at]) - summed)
                first_us = min(edge_us, other_us)
                if total > worst or (total == worst and first_us < worst_from_us):
                    worst, worst_from_us = total, first_us
    proven = celsius_of(worst, length_us) if worst > 0 else None
    return WorstWindow(worst_from_us, worst_from_us + length_us, proven)
