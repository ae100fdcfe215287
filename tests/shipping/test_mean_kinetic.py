"""Mean kinetic temperature: worked numbers, its two laws, and the worst window by trying all."""

import math
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shipping.mean_kinetic import Span, mean_kinetic_temperature, spans_of, worst_window
from pipeline.shipping.series import Reading, series_of

HOUR_US = 3_600_000_000
CELSIUS = st.decimals(min_value=-80, max_value=60, places=2)
WEIGHTED = st.lists(st.tuples(CELSIUS, st.integers(1, 10**9)), min_size=1, max_size=20)

WORKED = [
    ("eight readings", [(t, 1) for t in (4, 5, 6, 5, 14, 6, 5, 4)], "6.8286596511874462"),
    ("18 h at 5, 6 h at 15", [(5, 18), (15, 6)], "8.785926"),
    ("29 d at 22, 24 h at 40", [(22, 1)] * 29 * 24 + [(40, 1)] * 24, "23.599583"),
    ("three durations", [(5, 60), (14, 30), (6, 90)], "7.719436"),
]


def decimals(pairs: list[tuple[int, int]]) -> list[tuple[Decimal, int]]:
    return [(Decimal(celsius), weight) for celsius, weight in pairs]


@pytest.mark.parametrize(("pairs", "expected"), [pytest.param(*case[1:], id=case[0]) for case in WORKED])
def test_worked_numbers(pairs: list[tuple[int, int]], expected: str) -> None:
    """To the digits given."""
    found = mean_kinetic_temperature(decimals(pairs))

    assert found.quantize(Decimal(expected)) == Decimal(expected)


def test_a_constant_temperature_is_its_own_mean() -> None:
    """To all 34 digits."""
    assert mean_kinetic_temperature(decimals([(25, 1)] * 7)) == Decimal(25)


@given(WEIGHTED)
def test_it_is_never_below_the_arithmetic_mean(weighted: list[tuple[Decimal, int]]) -> None:
    """Warm times weigh more than cold ones; nor is it above the warmest."""
    total = sum(weight for _, weight in weighted)
    mean = sum((celsius * weight for celsius, weight in weighted), Decimal(0)) / total
    found = mean_kinetic_temperature(weighted)

    assert mean - Decimal("1e-25") <= found <= max(celsius for celsius, _ in weighted) + Decimal("1e-25")


@given(WEIGHTED, st.randoms(use_true_random=False))
def test_order_does_not_matter(weighted: list[tuple[Decimal, int]], draw: random.Random) -> None:
    """Not even in the last of 34 digits; nor does splitting a time in two."""
    shuffled = draw.sample(weighted, len(weighted))
    split = [(celsius, part) for celsius, weight in shuffled for part in (weight // 3, weight - weight // 3)]

    assert mean_kinetic_temperature(shuffled) == mean_kinetic_temperature(weighted)
    assert mean_kinetic_temperature(split) == mean_kinetic_temperature(weighted)


@given(WEIGHTED)
def test_it_agrees_with_floats(weighted: list[tuple[Decimal, int]]) -> None:
    """The formula as it stands, in binary floating point."""
    total = sum(weight for _, weight in weighted)
    rate = sum(w * math.exp(-10_000.0 / (float(t) + 273.15)) for t, w in weighted) / total

    assert float(mean_kinetic_temperature(weighted)) == pytest.approx(
        -10_000.0 / math.log(rate) - 273.15, abs=1e-8
    )


@pytest.mark.parametrize("pairs", [[], [(5, 0)]])
def test_no_time_has_no_temperature(pairs: list[tuple[int, int]]) -> None:
    """Rather an error than a number."""
    with pytest.raises(ValueError, match="no time at all"):
        mean_kinetic_temperature(decimals(pairs))


@pytest.mark.parametrize("seed", range(60))
def test_the_worst_window_is_the_worst_of_all(seed: int) -> None:
    """Every window that begins at a whole unit is tried, in floats; in unknown time nothing ages."""
    draw, spans, at = random.Random(seed), list[Span](), 0
    for _ in range(draw.randint(1, 9)):
        length = draw.randint(1, 6)
        celsius = draw.choice([None, Decimal(draw.randint(-20, 40)), Decimal(draw.randint(2, 8))])
        spans.append(Span(at, at + length, celsius))
        at += length
    units = [s.celsius for s in spans for _ in range(s.to_us - s.from_us)]
    rates = [0.0 if c is None else math.exp(-10_000.0 / (float(c) + 273.15)) for c in units]
    window = draw.randint(1, at + 3)
    length = min(window, at)
    worst = max(sum(rates[begin : begin + length]) / length for begin in range(at - length + 1))

    found = worst_window(spans, window)

    assert found.to_us - found.from_us == length
    assert sum(rates[found.from_us : found.to_us]) / length == pytest.approx(worst, rel=1e-12)
    if found.proven_min_cel is None:
        assert worst == 0.0
    else:
        assert float(found.proven_min_cel) == pytest.approx(-10_000.0 / math.log(worst) - 273.15, abs=1e-8)


def spans(hours: list[int], interval_h: int, begin: int, end: int) -> list[tuple[int, int, int | None]]:
    """Return the spans of readings at these hours, whose values are their numbers."""
    readings = [Reading(hour * HOUR_US, Decimal(number)) for number, hour in enumerate(hours)]
    known = series_of(readings, (begin * HOUR_US, end * HOUR_US), [], lambda *_: interval_h * HOUR_US)
    return [
        (span.from_us // HOUR_US, span.to_us // HOUR_US, None if span.celsius is None else int(span.celsius))
        for span in spans_of(known, interval_h * HOUR_US)
    ]


def test_equal_intervals_weigh_the_same() -> None:
    """The last reading stands for as long as the one before it."""
    assert spans([0, 1, 2], 1, 0, 2) == [(0, 1, 0), (1, 2, 1), (2, 3, 2)]


def test_what_nobody_read_is_unknown() -> None:
    """Before a gap a reading stands for its interval; a late begin and an early end are gaps."""
    assert spans([5, 6, 12, 13], 2, 0, 20) == [
        (0, 5, None),
        (5, 6, 0),
        (6, 7, 1),
        (7, 12, None),
        (12, 13, 2),
        (13, 14, 3),
        (14, 20, None),
    ]


def test_a_trip_longer_than_its_readings_but_without_a_gap() -> None:
    """First and last reading reach to begin and end."""
    assert spans([1, 2], 2, 0, 4) == [(0, 2, 0), (2, 4, 1)]
