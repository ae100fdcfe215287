"""What the stages count, as Prometheus reads it (text exposition format 0.0.4)."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.counts import Board

LABELS = ("stage", "shard")
COUNTERS: Mapping[str, str] = {
    "taken": "What came in: messages, blocks, entries or records, whatever the stage deals with.",
    "given": "What was handed on, durably.",
    "duplicates": "What stood in the log already.",
}


class _Stages(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each number that stages keep."""
        counts = self._board.all()
        for name, text in COUNTERS.items():
            family = CounterMetricFamily(f"cityproof_{name}", text, labels=LABELS)
            for of, each in counts.items():
                family.add_metric(of, getattr(each, name))
            yield family
        refused = CounterMetricFamily(
            "cityproof_refused", "What was refused, by its reason code.", labels=(*LABELS, "reason")
        )
        waiting = GaugeMetricFamily("cityproof_waiting", "Taken and not settled yet.", labels=LABELS)
        turned = GaugeMetricFamily(
            "cityproof_turned_seconds", "How long ago the stage came round last.", labels=LABELS
        )
        now_s = time.monotonic()
        for of, each in counts.items():
            for reason, number in each.refused.items():
                refused.add_metric((*of, reason), number)
            waiting.add_metric(of, each.waiting)
            if each.running and each.turned_s is not None:
                turned.add_metric(of, now_s - each.turned_s)
        yield from (refused, waiting, turned)


class Metrics:
    """The page `/metrics` of one process."""

    def __init__(self, board: Board) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Stages(board))
        ProcessCollector(registry=self._registry)

    def page(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)
