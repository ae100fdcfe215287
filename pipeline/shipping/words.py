"""Durations, temperatures and gaps as people read them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from pipeline.shipping.series import Gap

NAMED = 3  # More gaps than this are counted, not named.


def hundredths(value: Decimal) -> str:
    """Return a number as shown: to 0.01, half to even."""
    return str(value.quantize(Decimal("0.01"), ROUND_HALF_EVEN))


def duration(time_us: int) -> str:
    """Return a duration, as `1 d 2 h 30 min`; parts of seconds only below a minute."""
    if time_us < 60_000_000:
        return f"{Decimal(time_us) / 1_000_000:f} s"
    minutes, rest_us = divmod(time_us, 60_000_000)
    parts = (
        (minutes // 1440, "d"),
        (minutes // 60 % 24, "h"),
        (minutes % 60, "min"),
        (rest_us // 1_000_000, "s"),
    )
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def gap_words(gaps: Sequence[Gap]) -> str:
    """Return a clause that names the gaps and the statements missing in them; nothing for none."""
    if not gaps:
        return ""
    named = [_gap(gap) for gap in gaps[:NAMED]]
    more = [f"{len(gaps) - NAMED} more gaps"] if len(gaps) > NAMED else []
    return "; nothing is known " + ", ".join(named + more)


def _gap(gap: Gap) -> str:
    begin = datetime.fromtimestamp(gap.from_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = f"for {duration(gap.length_us)} from {begin}"
    if gap.new_epoch:
        words += " (the logger began a new epoch)"
    if gap.missing:
        ranges = [
            str(part.first) if part.first == part.last else f"{part.first}-{part.last}"
            for part in gap.missing
        ]
        words += f" (missing sequences {', '.join(ranges[:NAMED])}{' …' if len(ranges) > NAMED else ''})"
    return words
