"""What a monitor sees of signers: sequences that stay away, and clocks that go wrong.

Both are judged by what the log says of arrival. Neither accuses the log: it can hold only what came.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipeline.verify.reports import Level, Report
from pipeline.wire.reasons import Reason

Range = tuple[int, int]


@dataclass(slots=True)
class GapWatch:
    """Sequences that are missing, and since when: a statement may be late, which is no gap yet.

    Args:
        grace_s: How long a statement may be behind the next one of its signer.
    """

    grace_s: float
    since_ms: dict[tuple[str, int], dict[Range, int]] = field(
        default_factory=dict[tuple[str, int], dict[Range, int]]
    )

    def note(self, issuer: str, epoch: int, missing: list[Range], arrival_ms: int) -> None:
        """Take note of what is missing of an epoch now; a part of a gap is as old as the whole was."""
        known = self.since_ms.get((issuer, epoch), {})
        if list(known) == missing:
            return
        ages = {
            (first, last): next((t for (f, e), t in known.items() if f <= first and last <= e), arrival_ms)
            for first, last in missing
        }
        if ages:
            self.since_ms[issuer, epoch] = ages
        else:
            self.since_ms.pop((issuer, epoch), None)

    def reports(self, now_ms: float) -> Iterator[Report]:
        """Yield the gaps that have been there for too long."""
        for (issuer, epoch), gaps in self.since_ms.items():
            for (first, last), since_ms in gaps.items():
                if now_ms - since_ms > self.grace_s * 1000:
                    what = f"sequence {first}" if first == last else f"sequences {first} to {last}"
                    yield Report(
                        Level.WARNING, Reason.SEQUENCE_MISSING, f"{issuer} epoch {epoch} {what}", "not there"
                    )

    def rows(self) -> list[object]:
        """Return what to keep, for `of_rows`."""
        return [
            [issuer, epoch, [[*gap, since_ms] for gap, since_ms in gaps.items()]]
            for (issuer, epoch), gaps in self.since_ms.items()
        ]

    @classmethod
    def of_rows(cls, grace_s: float, rows: Any) -> "GapWatch":
        """Return the watch that kept these rows."""
        since_ms = {(i, e): {(first, last): since for first, last, since in gaps} for i, e, gaps in rows}
        return cls(grace_s, since_ms)


@dataclass(slots=True)
class ClockWatch:
    """Signers whose newest record and its arrival are further apart than is allowed.

    Args:
        skew_s: How far.
    """

    skew_s: float
    apart_s: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, issuer: str, newest_s: float, arrival_first_ms: int, arrival_last_ms: int) -> None:
        """Take note of a reading's newest record and of when its block's messages came in."""
        ahead_s, behind_s = newest_s - arrival_last_ms / 1000, arrival_first_ms / 1000 - newest_s
        if ahead_s > self.skew_s:
            self.apart_s[issuer] = round(ahead_s)
        elif behind_s > self.skew_s:
            self.apart_s[issuer] = -round(behind_s)
        else:
            self.apart_s.pop(issuer, None)

    def reports(self) -> Iterator[Report]:
        """Yield the clocks that are ahead, and what is late or of a clock that is behind."""
        for issuer, apart_s in self.apart_s.items():
            span = timedelta(seconds=abs(apart_s))
            detail = f"{span} ahead" if apart_s > 0 else f"{span} behind: a clock, or late"
            yield Report(Level.WARNING, Reason.CLOCK_SKEW, issuer, detail)
