"""The judgement of whole trips: by the profiles that come along, in words, in any order, and fast."""

import random
import time
from collections.abc import Sequence
from decimal import Decimal

import pytest

from pipeline.commands.shipment_files import builtin_profiles, load_profile
from pipeline.shipping.profile import Severity
from pipeline.shipping.series import Missing, Reading, Trip
from pipeline.shipping.verdict import Finding, Judgement, Verdict, decide, judge

MINUTE_US = 60_000_000
HOUR = 60


def trip(minutes: int, step: int, *changes: tuple[int, int, float], usual: float = 5.0) -> Trip:
    """Return temperatures every `step` minutes; each change sets those of [from, to) to a value."""
    readings = []
    for sequence, minute in enumerate(range(0, minutes + 1, step)):
        value = next((value for begin, end, value in changes if begin <= minute < end), usual)
        readings.append(Reading(minute * MINUTE_US, Decimal(str(value)), 7, sequence))
    return Trip({"temperature": tuple(readings)})


def without(whole: Trip, *ranges: tuple[int, int]) -> Trip:
    """Return the trip without the readings of these minutes."""
    kept = [
        reading
        for reading in whole.readings["temperature"]
        if not any(begin <= reading.time_us // MINUTE_US < end for begin, end in ranges)
    ]
    return Trip({"temperature": tuple(kept)}, *whole.span_us())


def finding(judgement: Judgement, rule: str) -> Finding:
    (found,) = [one for one in judgement.findings if one.rule == rule]
    return found


@pytest.mark.parametrize(
    ("profile", "changes", "verdict"),
    [
        ("eu-gdp-2-8", [], "in_limits"),
        ("eu-gdp-2-8", [(60, 65, 8.1)], "breach"),
        ("eu-gdp-2-8", [(60, 65, 8.0), (90, 95, 2.0)], "in_limits"),
        ("china-gsp-2-8", [(60, 65, 1.9)], "breach"),
        ("usp-controlled-cold", [(60, 480, 14.9)], "breach"),  # By its mean kinetic temperature alone.
        ("usp-controlled-cold", [(60, 120, 14.9)], "in_limits"),
        ("usp-controlled-cold", [(60, 65, 15.1)], "breach"),
        ("who-q-tag-1", [(60, 120, 45.0)], "undetermined"),  # 55 min proven, 65 possible.
        ("who-q-tag-1", [(60, 125, 45.0)], "breach"),
        ("who-q-tag-1", [(60, 115, 45.0)], "undetermined"),
        ("who-q-tag-1", [(60, 110, 45.0)], "in_limits"),
        ("who-q-tag-1", [(60, 125, -0.5)], "breach"),
        ("who-q-tag-1", [(0, 300, 30.0), (400, 720, 31.0)], "breach"),
        ("who-q-tag-2", [(0, 610, 10.0), (615, 1300, 11.0)], "breach"),
        ("who-q-tag-1", [(0, 610, 10.0), (615, 1300, 11.0)], "in_limits"),
    ],
)
def test_profiles_in_use(profile: str, changes: Sequence[tuple[int, int, float]], verdict: str) -> None:
    """A day at 5 °C with these changes, read every five minutes."""
    day = trip(1435, 5, *changes)

    assert judge(day, load_profile(profile)).verdict == verdict


def test_a_day_of_heat_in_a_month() -> None:
    """29 days at 22 and one at 40 °C: MKT 23.60 passes, and hourly readings cannot tell 23 h from 25 h."""
    readings = trip(30 * 24 * HOUR - 1, HOUR, (10 * 24 * HOUR, 11 * 24 * HOUR, 40.0), usual=22.0)
    judgement = judge(readings, load_profile("usp-controlled-room"))

    assert judgement.worst is not None
    assert judgement.worst.proven_min_cel is not None
    assert judgement.worst.proven_min_cel.quantize(Decimal("1e-6")) == Decimal("23.599583")
    assert finding(judgement, "mean_kinetic").verdict is Verdict.IN_LIMITS
    assert judgement.verdict is Verdict.UNDETERMINED
    assert judgement.reasons == (
        "temperature > 30 °C: for 23 h proven, 1 d 1 h possible; the limit is 1 d at one time",
    )


def test_eighteen_hours_at_five_and_six_at_fifteen() -> None:
    """The mean kinetic temperature 8.79 fails 2-8 °C, which the excursion alone would not."""
    judgement = judge(
        trip(24 * HOUR - 5, 5, (18 * HOUR, 24 * HOUR, 15.0)), load_profile("usp-controlled-cold")
    )

    assert judgement.verdict is Verdict.BREACH
    assert judgement.reasons == ("mean kinetic temperature: 8.79 °C over the worst 1 d; the limit is 8 °C",)


def test_a_dead_logger_leaves_it_open() -> None:
    """A reading ends a breach: readings that stop prove nothing, and the words name the gap."""
    died = without(trip(600, 5), (300, 601))
    judgement = judge(died, load_profile("eu-gdp-2-8"))

    assert judgement.verdict is Verdict.UNDETERMINED
    assert judgement.reasons[1] == (
        "temperature > 8 °C: in no reading, but for 5 h 5 min possible in gaps; no reading may be; "
        "nothing is known for 5 h 5 min from 1970-01-01T04:55:00Z"
    )


def test_missing_statements_are_named() -> None:
    """Also where the interval would allow it: who may drop a statement could drop the bad ones."""
    held = trip(24 * HOUR, 5)
    lost = without(held, (60, 65), (120, 130))

    judgement = judge(lost, load_profile("who-q-tag-2"))

    assert [gap.missing for _, gap in judgement.gaps] == [(Missing(7, 12, 12),), (Missing(7, 24, 25),)]
    assert "(missing sequences 12)" in judge(lost, load_profile("eu-gdp-2-8")).reasons[0]


def test_a_new_epoch_is_a_gap() -> None:
    """A logger that lost its state cannot say what it had signed before."""
    first, *others = trip(60, 5).readings["temperature"]
    began_anew = [reading._replace(epoch=8, sequence=at) for at, reading in enumerate(others)]
    judgement = judge(Trip({"temperature": (first, *began_anew)}), load_profile("eu-gdp-2-8"))

    assert [gap.new_epoch for _, gap in judgement.gaps] == [True]
    assert "(the logger began a new epoch)" in judgement.reasons[0]


def test_statements_of_other_quantities_are_no_gaps() -> None:
    """Light is in every second statement only; the sequences between are there."""
    temperature = trip(60, 5).readings["temperature"]
    readings = {"temperature": temperature, "humidity": temperature[::2]}
    judgement = judge(Trip(readings), load_profile("fresh-food"))

    assert [quantity for quantity, _ in judgement.gaps] == ["light", "shock"]


def test_a_quantity_that_nobody_recorded_is_open() -> None:
    """Humidity was promised and not measured: undetermined, not kept."""
    judgement = judge(trip(10 * HOUR, 5, usual=2.0), load_profile("fresh-food"))

    assert finding(judgement, "humidity < 85 % together").verdict is Verdict.UNDETERMINED
    assert judgement.verdict is Verdict.UNDETERMINED


def test_out_of_range_asks_for_closer_readings() -> None:
    """China's GSP wants 2 min then: five between readings out of range prove no duration."""
    judgement = judge(trip(60, 5, (20, 40, 9.0)), load_profile("china-gsp-2-8"))
    (excursion,) = judgement.excursions

    assert excursion.proven_min_us == 0
    assert excursion.possible_max_us == 25 * MINUTE_US
    assert len(excursion.gaps) == 5
    assert judgement.verdict is Verdict.BREACH


def test_an_excursion_says_what_is_proven() -> None:
    """Start, end, peak, and the gap in its middle: it goes on, but that time is not proven."""
    held = without(trip(600, 5, (100, 200, 9.0), (200, 205, 12.5)), (120, 140))
    (excursion,) = judge(held, load_profile("eu-gdp-2-8")).excursions
    minutes = [
        us // MINUTE_US
        for us in (
            excursion.after_us, excursion.first_us, excursion.last_us, excursion.before_us,
            excursion.proven_min_us, excursion.unbroken_us, excursion.possible_max_us,
        )
    ]  # fmt: skip

    assert minutes == [95, 100, 200, 205, 75, 60, 110]
    assert (excursion.peak, excursion.ended, len(excursion.gaps)) == (Decimal("12.5"), True, 1)


def test_one_that_no_reading_ended() -> None:
    """Out of limits at the last reading: it may have lasted to the trip's end."""
    (excursion,) = judge(trip(60, 5, (50, 61, 9.0)), load_profile("eu-gdp-2-8")).excursions

    assert not excursion.ended


@pytest.mark.parametrize("seed", range(20))
def test_order_of_arrival_does_not_matter(seed: int) -> None:
    """The same readings in another order give the same judgement, in every part."""
    draw = random.Random(seed)
    changes = [(begin, begin + 50, draw.uniform(-5.0, 20.0)) for begin in range(0, 600, 50)]
    held = without(trip(600, 5, *changes), (100, 130))
    readings = held.readings["temperature"]
    shuffled = Trip({"temperature": tuple(draw.sample(readings, len(readings)))}, *held.span_us())

    for profile in builtin_profiles():
        assert judge(shuffled, profile) == judge(held, profile)


def test_a_notice_never_decides() -> None:
    """A breach outweighs what is open, both outweigh what is kept, and a notice counts for neither."""
    kept, breach, open_ = Verdict.IN_LIMITS, Verdict.BREACH, Verdict.UNDETERMINED

    def decided(*found: tuple[Severity, Verdict]) -> Verdict:
        return decide([Finding("rule", severity, verdict, "") for severity, verdict in found])

    assert decided((Severity.NOTICE, breach), (Severity.MAJOR, kept)) is kept
    assert decided((Severity.MAJOR, open_), (Severity.MAJOR, kept), (Severity.NOTICE, breach)) is open_
    assert decided((Severity.MAJOR, open_), (Severity.CRITICAL, breach)) is breach


def test_a_freeze_is_counted() -> None:
    """Thawed once after it was frozen: the deep-frozen profile allows none."""
    judgement = judge(trip(600, 5, (100, 200, 3.0), usual=-20.0), load_profile("deep-frozen"))

    assert judgement.cycles == (1, 1)
    assert finding(judgement, "freeze_thaw").verdict is Verdict.BREACH


@pytest.mark.serial
def test_a_hundred_thousand_points_in_two_seconds() -> None:
    """By the profile with the most to compute, values to a hundredth, with gaps."""
    draw, value = random.Random(3), 22.0
    readings = []
    for sequence in range(100_000):
        value = min(max(value + draw.gauss(0.0, 0.3), 10.0), 42.0)
        if draw.random() > 0.01:
            readings.append(Reading(sequence * MINUTE_US, Decimal(f"{value:.2f}"), 0, sequence))
    held = Trip({"temperature": tuple(readings)})
    profile = load_profile("usp-controlled-room")

    started_s = time.process_time()
    judgement = judge(held, profile)
    elapsed_s = time.process_time() - started_s

    assert len(judgement.gaps) > 900
    assert elapsed_s < 2.0
