"""When each waiting statement is sent: in order at first, then again and again until it is answered.

Pure: the caller gives the time and the randomness. In flight is what was sent and has no answer yet; it is
bounded, per issuer and in all, so that an issuer nobody answers cannot starve the others. What is in flight
keeps its place when it is due again: a resend needs no new room.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from devices.device import Signed
from pipeline.wire.reasons import Reason

RESEND_FIRST_S = 5.0
RESEND_MAX_S = 120.0
RECONNECT_SPREAD_S = 2.0
IN_FLIGHT_PER_ISSUER = 32


def backoff_s(
    attempt: int, random: Random, *, first_s: float = RESEND_FIRST_S, most_s: float = RESEND_MAX_S
) -> float:
    """Return the wait after attempt 0, 1, …: doubling, bounded, spread over ±25 % so that herds disperse."""
    return min(most_s, first_s * 2.0 ** min(attempt, 32)) * random.uniform(0.75, 1.25)


@dataclass(slots=True, eq=False)
class Waiting:
    """Something to be sent until it is answered: a statement of the outbox, or bytes that a fault made.

    `row` is the outbox's row, None for a fault's bytes; these are refused for `expected`, or dropped as a
    duplicate where that is None. `attempts` counts how often it was due; `sent`: the link took it once.
    """

    signed: Signed
    row: int | None
    due_s: float
    expected: Reason | None = None
    attempts: int = 0
    sent: bool = False
    done: bool = False


_Entry = tuple[float, int, Waiting]


class Schedule:
    """What waits, and when each is due. All times are those of one monotonic clock, in seconds."""

    def __init__(self, random: Random, *, in_flight_max: int) -> None:
        self._random = random
        self._in_flight_max = in_flight_max
        self._order = 0
        self._held: list[_Entry] = []  # To be sent first at a later time.
        self._ready: list[_Entry] = []  # To be sent first as soon as there is room.
        self._full: dict[str, deque[_Entry]] = {}  # Ready, but their issuer has its share in flight.
        self._sent: dict[int, Waiting] = {}  # In flight, by id().
        self._again: list[_Entry] = []  # In flight, by the time to send it again.
        self._share: dict[str, int] = {}

    @property
    def in_flight(self) -> int:
        """How many were sent and have no answer."""
        return len(self._sent)

    @property
    def pressing(self) -> int:
        """How many are in flight or could be, were there room; those held back on purpose are not counted."""
        return len(self._sent) + len(self._ready) + sum(map(len, self._full.values()))

    @property
    def size(self) -> int:
        """How many wait in all."""
        return self.pressing + len(self._held)

    def add(self, waiting: Waiting) -> None:
        """Take something to be sent first no earlier than its `due_s`."""
        heapq.heappush(self._held, self._entry(waiting))

    def remove(self, waiting: Waiting) -> None:
        """Forget what was answered, and make room for the next of its issuer."""
        waiting.done = True
        if self._sent.pop(id(waiting), None) is None:
            return  # Never sent: its entry falls out when it comes to the top.
        issuer = waiting.signed.issuer
        self._share[issuer] -= 1
        if not self._share[issuer]:
            del self._share[issuer]
        if full := self._full.get(issuer):
            heapq.heappush(self._ready, full.popleft())
            if not full:
                del self._full[issuer]

    def due(self, now_s: float, limit: int) -> Iterator[Waiting]:
        """Yield up to `limit` things to send now; each is scheduled again in case no answer comes."""
        while limit > 0 and (waiting := self._next_again(now_s) or self._next_first(now_s)):
            waiting.due_s = now_s + backoff_s(waiting.attempts, self._random)
            waiting.attempts += 1
            heapq.heappush(self._again, self._entry(waiting))
            limit -= 1
            yield waiting

    def reconnected(self, now_s: float) -> None:
        """Make everything in flight due soon: what a lost connection swallowed comes again."""
        for waiting in self._sent.values():
            waiting.due_s = now_s + self._random.uniform(0.0, RECONNECT_SPREAD_S)
        self._again = [self._entry(waiting) for waiting in self._sent.values()]
        heapq.heapify(self._again)

    def _next_again(self, now_s: float) -> Waiting | None:
        while self._again and self._again[0][0] <= now_s:
            waiting = heapq.heappop(self._again)[2]
            if not waiting.done:
                return waiting
        return None

    def _next_first(self, now_s: float) -> Waiting | None:
        while self._held and self._held[0][0] <= now_s:
            heapq.heappush(self._ready, heapq.heappop(self._held))
        while self._ready and len(self._sent) < self._in_flight_max:
            entry = heapq.heappop(self._ready)
            waiting, issuer = entry[2], entry[2].signed.issuer
            if waiting.done:
                continue
            if self._share.get(issuer, 0) >= IN_FLIGHT_PER_ISSUER:
                self._full.setdefault(issuer, deque()).append(entry)
                continue
            self._share[issuer] = self._share.get(issuer, 0) + 1
            self._sent[id(waiting)] = waiting
            return waiting
        return None

    def _entry(self, waiting: Waiting) -> _Entry:
        self._order += 1
        return waiting.due_s, self._order, waiting
