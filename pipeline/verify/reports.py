"""What a monitor says: reports, and conditions, which are reported when they begin and when they end."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pipeline.wire.reasons import Reason


class Level(StrEnum):
    """What a report means to whoever reads it."""

    ALARM = "alarm"  # The log, or a signer, contradicts itself: there is evidence.
    WARNING = "warning"  # Something is late, lost or silent: perhaps only for now.


class Report(NamedTuple):
    """One thing to be told: `over` where it was told before and does not hold any more."""

    level: Level
    reason: Reason
    where: str
    detail: str
    over: bool = False


class Reports:
    """Collects reports until they are taken. A condition is reported when it begins and when it is over.

    Conditions belong to a topic; each is known by its reason and place.
    """

    def __init__(self, conditions: Iterable[tuple[str, Report]] = ()) -> None:
        self._conditions = {(topic, report.reason, report.where): report for topic, report in conditions}
        self._new: list[Report] = []

    @property
    def conditions(self) -> list[tuple[str, Report]]:
        """Return what holds, by topic."""
        return [(topic, report) for (topic, _, _), report in self._conditions.items()]

    def tell(self, report: Report) -> None:
        """Report something that has happened."""
        self._new.append(report)

    def hold(self, topic: str, now: Iterable[Report]) -> None:
        """Let exactly these conditions hold in a topic."""
        current = {(topic, report.reason, report.where): report for report in now}
        for key, report in list(self._conditions.items()):
            if key[0] == topic and key not in current:
                del self._conditions[key]
                self._new.append(report._replace(over=True))
        for key, report in current.items():
            if key not in self._conditions:
                self._new.append(report)
            self._conditions[key] = report

    def take(self) -> list[Report]:
        """Return what is new since the last time."""
        new, self._new = self._new, []
        return new
