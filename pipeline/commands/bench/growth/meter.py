"""What a piece of work costs: reads and writes, hashes, signatures verified, the processor's time."""

import gc
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import process_time
from types import FrameType
from typing import Any

from pipeline.commands.bench.growth.city import SparseCity

_CALLS = {"openssl_sha256": "hashes", "crypto_sign_open": "signatures"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What work took: files or messages read and written, hashes, signatures verified, seconds."""

    reads: int
    bytes_read: int
    writes: int
    bytes_written: int
    hashes: int
    signatures: int
    seconds: float = 0.0


class Meter:
    """Splits a run into named parts and says what each of them cost."""

    def __init__(self, sources: Sequence[Counter[str]]) -> None:
        self._calls: Counter[str] = Counter()
        self._sources = [*sources, self._calls]
        self._before: Counter[str] = Counter()
        self._since_s = 0.0
        self.parts: dict[str, tuple[Counter[str], float]] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count calls of the two functions that matter, at a cost in time."""
        calls = self._calls

        def hear(_frame: FrameType, event: str, called: Any) -> None:
            if event == "c_call" and (name := _CALLS.get(called.__name__)):
                calls[name] += 1

        sys.setprofile(hear)
        try:
            yield
        finally:
            sys.setprofile(None)

    def begin(self) -> None:
        """Begin a part."""
        self._before = self._total()
        self._since_s = process_time()

    def end(self, name: str) -> None:
        """End the part that was begun, and begin another."""
        spent_s = process_time() - self._since_s
        self.parts[name] = self._total() - self._before, spent_s
        self.begin()

    def _total(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for source in self._sources:
            total += source
        return total


# A run of some work on a city, whose parts it tells the meter.
Work = Callable[[SparseCity], tuple[list[Counter[str]], Callable[[Meter], None]]]


def measure(work: Work, city: SparseCity, runs: int) -> dict[str, Cost]:
    """Return what each part of the work costs: counted once, then timed, everything read being there."""
    sources, act = work(city)
    counted = Meter(sources)
    with counted.counting():
        act(counted)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        sources, act = work(city)
        meter = Meter(sources)
        gc.collect()
        act(meter)
        for name, (_, spent_s) in meter.parts.items():
            times[name].append(spent_s)
    return {
        name: Cost(
            counts["reads"],
            counts["bytes"],
            counts["writes"],
            counts["bytes_written"],
            counts["hashes"],
            counts["signatures"],
            median(times[name] or [0.0]),
        )
        for name, (counts, _) in counted.parts.items()
    }
