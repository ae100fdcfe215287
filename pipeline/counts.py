"""What the stages of a process count, for whoever watches them: nothing of it decides anything.

At every stage taken = given + refused + duplicates + waiting, in the stage's own unit:

| stage | taken | given | refused | duplicates |
|---|---|---|---|---|
| bridge | messages of MQTT | onto the bus | | |
| aggregator | messages of the bus | leaves | by reason | dropped |
| log | blocks | entries | | |
| publisher | entries | under a published checkpoint | | |
| courier | leaves, refusals, duplicates | receipts sent | refusals dealt with, by reason | dealt with |
| projector | records | points | rejected by the store | |

What is taken waits until it is settled; at rest nothing waits, or something was lost.
"""

import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

STALLED_S = 15.0


@dataclass(slots=True)
class Counts:
    """What one stage has counted since its process began."""

    taken: int = 0
    given: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    waiting: int = 0
    turned_s: float | None = None
    running: int = 0

    def turn(self) -> None:
        """Say that the stage has come round: it has been answered by what it reads from."""
        self.turned_s = time.monotonic()

    def take(self, number: int) -> None:
        """Count what has come in, which waits from now on."""
        self.taken += number
        self.waiting += number

    def settle(self, given: int = 0, duplicates: int = 0, refused: Mapping[str, int] | None = None) -> None:
        """Count what has become of something that waited."""
        self.given += given
        self.duplicates += duplicates
        self.waiting -= given + duplicates
        for reason, number in (refused or {}).items():
            self.refused[reason] += number
            self.waiting -= number


class Board:
    """The counts of all stages in a process, by stage and shard; a stage without shards has none."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Counts] = {}

    @contextmanager
    def running(self, stage: str, shard: str = "") -> Generator[Counts]:
        """Let a stage count for as long as it runs; whoever runs it next in this process counts on."""
        counts = self._all.setdefault((stage, shard), Counts())
        counts.turned_s = None
        # What it held when it ended comes again from where it came.
        counts.taken -= counts.waiting
        counts.waiting = 0
        counts.running += 1
        try:
            yield counts
        finally:
            counts.running -= 1

    def all(self) -> Mapping[tuple[str, str], Counts]:
        """Return the counts by stage and shard."""
        return self._all

    def unready(self, now_s: float) -> Sequence[str]:
        """Return which of the running stages have not begun yet, or are held up by what they hold.

        Args:
            now_s: Monotonic time.
        """
        return [
            f"{stage} {shard}".strip()
            for (stage, shard), counts in self._all.items()
            if counts.running
            and (counts.turned_s is None or (counts.waiting and now_s - counts.turned_s > STALLED_S))
        ]
