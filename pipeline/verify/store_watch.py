"""Comparing a point store with the log again and again: what is new among what is wrong, as findings.

Pure: the caller opens log and store, and tells the time. A finding is told once for as long as it stays as it
is; what was mended and is altered again is told again.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple, Protocol

from pipeline.log.checkpoint import OpenedCheckpoint
from pipeline.verify.audit import LEAVES_PER_ENTRY, PointFinding, PointPlace, StoreAudit, StoredPoint
from pipeline.wire.finding import COUNTER_MAX, Finding, FoundPlace, as_label
from pipeline.wire.reasons import Reason

BEYOND_MAX = 10_000
FINDINGS_MAX = 1000  # Of one look: of a store that was emptied the log need not hear all at once.


class Store(Protocol):
    """A point store as an auditor reads it."""

    def count_below(self, ref: int) -> int:
        """Return how many points name a leaf before this one."""
        ...

    def scan(self) -> Iterable[StoredPoint]:
        """Yield every point."""
        ...

    def beyond(self, ref: int, limit: int) -> Sequence[StoredPoint]:
        """Return points, up to a limit, that name this leaf or one behind it."""
        ...

    def writers(self) -> Sequence[str]:
        """Return who could write, as far as that can be known."""
        ...


class _Key(NamedTuple):
    """What makes a finding the same as one before."""

    reason: Reason
    place: FoundPlace
    stored: float | str | None
    ref: tuple[int, int] | None


class StoreWatch:
    """What is known to be wrong in a store.

    Args:
        known: Findings of an earlier life, which are not told again.
        settled: The largest ref that was known to be in the store.
        patience_s: How long an entry may have no checkpoint above it.
    """

    def __init__(self, known: Iterable[Finding], settled: int, patience_s: int) -> None:
        self._known = {_key(finding) for finding in known}
        self._patience_s = patience_s
        self._beyond_since_ms: dict[PointPlace, int] = {}
        self._looked_ms: int | None = None
        self.settled = settled

    def sweep(self, audit: StoreAudit, store: Store, opened: OpenedCheckpoint, now_ms: int) -> list[Finding]:
        """Compare store and log once; return what is new: so many at once, and the rest the next time.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
            UnavailableError: A file of the log is missing.
        """
        credentials = tuple(map(as_label, store.writers()))
        new: dict[_Key, Finding] = {}
        still: set[_Key] = set()
        unexpected = 0

        def take(each: PointFinding) -> None:
            finding = _finding(each, opened, now_ms, self._looked_ms, credentials)
            key = _key(finding)
            if key in self._known:
                still.add(key)
            elif len(new) < FINDINGS_MAX:
                new.setdefault(key, finding)

        for found in audit.run():
            unexpected += found.reason is Reason.POINT_UNEXPECTED
            take(found)
        limit = opened.checkpoint.size * LEAVES_PER_ENTRY
        if store.count_below(limit) != audit.matched + unexpected:
            for found in audit.check_stored(store.scan()):
                take(found)
        for found in self._judge_beyond(store.beyond(limit, BEYOND_MAX), opened, now_ms):
            take(found)
        self._known = still | new.keys()
        self._looked_ms, self.settled = now_ms, audit.settled
        return list(new.values())

    def _judge_beyond(
        self, points: Sequence[StoredPoint], opened: OpenedCheckpoint, now_ms: int
    ) -> Iterable[PointFinding]:
        """Yield points of entries that a checkpoint should have above them by now, if there were any such."""
        since_ms = {point.place: self._beyond_since_ms.get(point.place, now_ms) for point in points}
        self._beyond_since_ms = since_ms
        cosigned_s = max((cosignature.time_s for cosignature in opened.cosignatures), default=0)
        for point in points:
            if (cosigned_s - self._patience_s) * 1000 > since_ms[point.place]:
                value = point.value
                yield PointFinding(point.place, Reason.POINT_UNEXPECTED, None, value.value, value.ref)


def _finding(
    found: PointFinding,
    opened: OpenedCheckpoint,
    now_ms: int,
    looked_ms: int | None,
    credentials: tuple[str, ...],
) -> Finding:
    place, entry = found.place, divmod(found.ref, LEAVES_PER_ENTRY)
    time_us = max(-COUNTER_MAX, min(place.time_us, COUNTER_MAX))
    names = (as_label(place.device), as_label(place.subject), as_label(place.quantity))
    return Finding(
        reason=found.reason,
        place=FoundPlace(*names, time_us),
        signed=found.signed,
        stored=_stored(found.stored),
        ref=entry if 0 <= entry[0] <= COUNTER_MAX else None,
        noticed_ms=now_ms,
        unnoticed_ms=looked_ms,
        size=opened.checkpoint.size,
        root=opened.checkpoint.root,
        credentials=credentials,
    )


def _stored(value: object) -> float | str | None:
    """Return what a store says as a finding can carry it: whoever writes into a file writes anything."""
    if value is None or (isinstance(value, float) and isfinite(value)):
        return value
    return as_label(str(value))


def _key(finding: Finding) -> _Key:
    return _Key(finding.reason, finding.place, finding.stored, finding.ref)
