"""Times as people write and read them: ISO 8601."""

from datetime import UTC, datetime

from pipeline.wire.errors import InputError


def parse_time_us(text: str, option: str = "--at") -> int:
    """Return POSIX microseconds of an ISO 8601 time; without an offset it is UTC.

    Raises:
        InputError: It is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            option, f"{text!r} is not a time", "Write ISO 8601: 2026-03-02T08:00:00Z."
        ) from error
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def format_time(time_us: int) -> str:
    """Return a time as ISO 8601 UTC."""
    whole = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    return whole.isoformat().replace("+00:00", "Z")
