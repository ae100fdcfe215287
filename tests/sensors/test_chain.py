"""The measuring chain: each error is as large as its data sheet says, and no larger; seeds are fixed."""

from math import exp, sqrt
from random import Random
from statistics import fmean, stdev

import pytest

from devices.sensors.chain import Chain, Sheet
from devices.world.model import TICK_S

FINE = 1e-9  # A quantisation that hides nothing.


def readings(sheet: Sheet, values: list[float], seed: int = 1, **others: float) -> list[float]:
    """Read every minute by itself."""
    chain = Chain(sheet, Random(seed), 1.0)
    found = []
    for value in values:
        chain.feel(value, others)
        reading = chain.read()
        assert reading is not None
        found.append(reading)
    return found


def test_a_perfect_instrument_reads_the_truth() -> None:
    """Without errors the reading is the value."""
    assert readings(Sheet(step=FINE), [0.0, 1.25, 1000.0]) == pytest.approx([0.0, 1.25, 1000.0])


@pytest.mark.parametrize(("native_s", "expected"), [(60.0, 2.0), (15.0, 1.0), (0.6, 0.2)])
def test_noise_falls_with_the_native_samples_averaged(native_s: float, expected: float) -> None:
    """A minute's mean of n native samples has the sheet's noise over the root of n, within 5 %."""
    found = readings(Sheet(step=FINE, noise=2.0, native_s=native_s), [100.0] * 4000)
    assert fmean(found) == pytest.approx(100.0, abs=4.0 * expected / sqrt(4000))
    assert stdev(found) == pytest.approx(expected, rel=0.05)


def test_an_interval_of_five_minutes_averages_five() -> None:
    """The noise of an interval's mean falls with its minutes too."""
    chain = Chain(Sheet(step=FINE, noise=2.0), Random(5), 1.0)
    found = []
    for _ in range(2000):
        for _ in range(5):
            chain.feel(50.0, {})
        found.append(chain.read() or 0.0)
    assert stdev(found) == pytest.approx(2.0 / sqrt(5.0), rel=0.06)


def test_relative_noise_grows_with_the_value() -> None:
    """A share of the value is added to the noise."""
    low, high = (
        stdev(readings(Sheet(step=FINE, noise=1.0, noise_share=0.1, low=-1e9), [v] * 3000))
        for v in (0.1, 90.0)
    )
    assert low == pytest.approx(1.0, rel=0.06)
    assert high == pytest.approx(10.0, rel=0.06)


def test_zero_and_gain_differ_between_instruments_and_stay() -> None:
    """Across 2,000 instruments offset and slope spread as the sheet says; within one they do not change."""
    sheet = Sheet(step=FINE, zero=3.0, gain=0.05, low=-1e9)
    zeros, gains = [], []
    for seed in range(2000):
        at_zero, at_hundred, again = readings(sheet, [0.0, 100.0, 0.0], seed)
        assert again == at_zero
        zeros.append(at_zero)
        gains.append((at_hundred - at_zero) / 100.0)
    assert fmean(zeros) == pytest.approx(0.0, abs=0.25)
    assert stdev(zeros) == pytest.approx(3.0, rel=0.06)
    assert fmean(gains) == pytest.approx(1.0, abs=0.005)
    assert stdev(gains) == pytest.approx(0.05, rel=0.06)


@pytest.mark.parametrize(("drift", "expected"), [(1.0, 4.0), (8.0, 32.0)])
def test_the_zero_walks_by_its_drift_in_a_day(drift: float, expected: float) -> None:
    """Over a day the zero's standard deviation reaches the sheet's drift, times how fast a station ages."""
    sheet = Sheet(step=FINE, drift=4.0, low=-1e9)
    ends = []
    for seed in range(250):
        chain = Chain(sheet, Random(seed), drift)
        for _ in range(1440):
            chain.feel(0.0, {})
        chain.read()
        chain.feel(0.0, {})
        ends.append(chain.read() or 0.0)
    assert stdev(ends) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("response_s", [20.0, 60.0, 240.0])
def test_a_step_is_followed_with_the_time_constant(response_s: float) -> None:
    """After a step from 0 to 1 the mean over minute n is the exponential's own mean over that minute."""
    found = readings(Sheet(step=FINE, response_s=response_s), [0.0, *[1.0] * 8])[1:]
    for minute, reading in enumerate(found):
        ends = [exp(-TICK_S * n / response_s) for n in (minute, minute + 1)]
        assert reading == pytest.approx(1.0 - response_s / TICK_S * (ends[0] - ends[1]), abs=1e-6)


def test_a_state_follows_by_what_has_passed() -> None:
    """A lagging state is read at the interval's beginning: 1 - 1/e of a step, one time constant after it."""
    found = readings(Sheet(step=FINE, response_s=60.0, combine="state"), [0.0, 1.0, 1.0])
    assert found == pytest.approx([0.0, 0.0, 1.0 - exp(-1.0)])


def test_a_state_is_that_of_the_first_minute() -> None:
    """Of an interval of several minutes a state tells the beginning, and is not averaged."""
    chain = Chain(Sheet(step=1.0, combine="state"), Random(1), 1.0)
    for value in (3.0, 1.0, 1.0):
        chain.feel(value, {})
    assert chain.read() == 3.0


def test_a_sum_adds_the_minutes() -> None:
    """Counts and rain add up."""
    chain = Chain(Sheet(step=1.0, combine="sum"), Random(1), 1.0)
    for value in (3.0, 1.0, 7.0):
        chain.feel(value, {})
    assert chain.read() == 11.0


def test_directions_average_around_the_circle() -> None:
    """The mean of 350 and 20 degrees is 5, not 185; and what rounds to 360 is 0."""
    chain = Chain(Sheet(step=1.0, combine="direction"), Random(1), 1.0)
    for value in (350.0, 20.0):
        chain.feel(value, {})
    assert chain.read() == 5.0
    chain.feel(359.7, {})
    assert chain.read() == 0.0


@pytest.mark.parametrize("step", [0.001, 0.05, 0.1, 0.25, 1.0, 100.0])
def test_readings_are_multiples_of_the_step(step: float) -> None:
    """Every reading lies on the step's grid, within half a step of what was felt, without float dirt."""
    draw = Random(3)
    values = [draw.uniform(0.0, 500.0) for _ in range(300)]
    for value, reading in zip(values, readings(Sheet(step=step), values), strict=True):
        assert abs(reading - value) <= step / 2 * (1 + 1e-9)
        assert reading / step == pytest.approx(round(reading / step), abs=1e-6)
        assert len(repr(reading)) <= 8


def test_below_the_detection_limit_half_of_it_is_given() -> None:
    """What lies below the limit, negative by noise too, reads as half of it; what lies above, as itself."""
    assert readings(Sheet(step=0.1, limit=2.0, low=0.0), [0.0, 1.9, 2.0, 2.1]) == [1.0, 1.0, 2.0, 2.1]
    noisy = readings(Sheet(step=0.1, limit=2.0, noise=3.0), [1.0] * 500)
    assert {value for value in noisy if value < 2.0} == {1.0}


def test_without_a_limit_what_is_below_zero_stays_there() -> None:
    """Frost and reversed flow are no nonsense: only a detection limit or the range changes them."""
    assert readings(Sheet(step=0.1, low=-40.0), [-18.3, 0.0, -41.0]) == [-18.3, 0.0, -40.0]


def test_the_range_ends_the_reading() -> None:
    """What exceeds the range is given as its end, and nothing that cannot be negative ever is."""
    assert readings(Sheet(step=0.1, high=50.0), [49.0, 51.0, 1e9]) == [49.0, 50.0, 50.0]
    assert min(readings(Sheet(step=0.1, noise=5.0), [0.0] * 500)) == 0.0


def test_cross_sensitivity_adds_its_share_of_the_other() -> None:
    """A hundred units of ozone add six on average to NO2, each instrument 0.6 to 1.4 of that and its own."""
    sheet = Sheet(step=FINE, cross={"o3": 0.06})
    added = [readings(sheet, [10.0, 10.0], seed, o3=100.0)[0] - 10.0 for seed in range(1000)]
    assert fmean(added) == pytest.approx(6.0, rel=0.03)
    assert min(added) >= 3.6
    assert max(added) <= 8.4
    assert readings(sheet, [10.0], 1) == [10.0]


def test_nothing_felt_is_nothing_read() -> None:
    """An interval without a value gives no reading, and forgetting drops a begun one and its lag."""
    chain = Chain(Sheet(step=FINE, response_s=60.0), Random(1), 1.0)
    assert chain.read() is None
    chain.feel(100.0, {})
    chain.forget()
    assert chain.read() is None
    chain.feel(5.0, {})
    assert chain.read() == pytest.approx(5.0)


def test_accuracy_holds_95_percent_of_fresh_instruments() -> None:
    """Of 4,000 fresh instruments 95 % read within the stated half-width near zero."""
    sheet = Sheet(step=0.1, noise=2.0, zero=1.0, native_s=15.0, low=-1e9)
    errors = [abs(readings(sheet, [0.0], seed)[0]) for seed in range(4000)]
    inside = sum(error <= sheet.accuracy(TICK_S) for error in errors) / len(errors)
    assert inside == pytest.approx(0.954, abs=0.015)
