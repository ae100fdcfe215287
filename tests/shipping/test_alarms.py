"""Alarms: what is usual warns nobody, what leads over a limit does; the time allowed counts."""

from decimal import Decimal
from itertools import count

import pytest

from pipeline.shipping.alarms import Alarm, AlarmWatch
from pipeline.shipping.live import LiveTrip
from pipeline.shipping.profile import Interval, Limit, Profile, Recording, Severity, Words
from pipeline.shipping.series import Reading

MINUTE_US = 60_000_000
SAW = (4.2, 4.6, 5.0, 5.4, 5.8, 5.4, 5.0, 4.6)  # A compressor that switches on and off.


def profile(single_s: int | None = 0, cumulative_s: int | None = None) -> Profile:
    """At most 8 °C, for so long."""
    return Profile(
        name="test",
        title=Words(en="test", zh="测试"),
        source="a test",
        recording=Recording(trips=(Interval(interval_s=300),)),
        limit=(
            Limit(
                quantity="temperature",
                when=">",
                value=Decimal(8),
                severity=Severity.CRITICAL,
                single_s=single_s,
                cumulative_s=cumulative_s,
            ),
        ),
        digest="0" * 64,
    )


class Run:
    """Readings, a minute apart, to one watch."""

    def __init__(self, limits: Profile) -> None:
        self.watch = AlarmWatch("a shipment", ("a logger",), LiveTrip(limits, 0))
        self._minutes = count()

    def read(self, *values: float) -> list[tuple[str, int]]:
        """What these give rise to, each with its minute."""
        found: list[Alarm] = []
        for value in values:
            minute = next(self._minutes)
            reading = Reading(minute * MINUTE_US, Decimal(str(value)), 1, minute)
            found += self.watch.take([("temperature", reading)], "a holder")
        return [(alarm.phase.value, alarm.time_us // MINUTE_US) for alarm in found]


def test_what_is_usual_warns_nobody() -> None:
    """Up and down for a day, though every rise would lead over the limit within half an hour."""
    assert Run(profile()).read(*SAW * 180) == []


def test_too_little_is_known_at_first() -> None:
    """Within the first hour a rise is no warning: it may be what is usual."""
    assert Run(profile()).read(*[round(4 + 0.1 * n, 1) for n in range(40)]) == []


@pytest.mark.parametrize(("step", "lead_min"), [(0.05, 20), (0.1, 9), (0.2, 3)])
def test_a_rise_out_of_what_is_usual_warns_before(step: float, lead_min: int) -> None:
    """The slower it rises, the longer before; once."""
    run = Run(profile())
    run.read(*SAW * 30)
    (warned, begun) = run.read(*[round(5 + step * n, 2) for n in range(int(3.2 / step) + 2)])
    assert (warned[0], begun[0]) == ("warning", "begun")
    assert begun[1] - warned[1] >= lead_min


def test_the_time_allowed_counts() -> None:
    """An hour beyond is allowed: a warning half an hour before it is used up, the alarm when it is."""
    run = Run(profile(single_s=3600))
    run.read(*SAW * 30)
    assert run.read(*[9.0] * 62) == [("warning", 270), ("begun", 300)]
    assert run.read(5.0) == [("ended", 302)]


def test_times_together_count() -> None:
    """Two times half an hour, and the second one reaches what is allowed together."""
    run = Run(profile(single_s=None, cumulative_s=3000))
    run.read(*SAW * 30)
    assert run.read(*[9.0] * 31, 5.0) == [("warning", 260)]
    assert [phase for phase, _ in run.read(*[9.0] * 31)] == ["warning", "begun"]


def test_a_gap_proves_nothing() -> None:
    """Readings outside on both sides of a gap: what lies between them reaches no limit."""
    watch = AlarmWatch("a shipment", ("a logger",), LiveTrip(profile(single_s=3600), 0))
    readings = [
        ("temperature", Reading(minute * MINUTE_US, Decimal(9), 1, minute)) for minute in (0, 1, 100, 101)
    ]
    assert [alarm.phase for alarm in watch.take(readings, None)] == []


def test_names_are_the_same_for_what_is_found_twice() -> None:
    """And others for another excursion, limit, phase, shipment."""
    first, again = Run(profile()), Run(profile())
    names = [
        [
            alarm.id
            for minute, value in enumerate((5, 9, 5, 9, 5))
            for alarm in run.watch.take(
                [("temperature", Reading(minute * MINUTE_US, Decimal(value), 1, minute))], None
            )
        ]
        for run in (first, again)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0]) == 4
    assert {len(name) for name in names[0]} == {len("alarm_") + 32}
