"""What a run leaves for others to read: the first send of each statement, status lines, and a summary."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from devices.device import Signed
from devices.fleet import Fleet
from devices.outbox import Outbox

STATUS_S = 1.0

Report = Callable[[dict[str, Any]], None]


class Journal:
    """The files `sends.csv` and `summary.json` of a fleet's folder, and a status every second.

    Args:
        folder: Where the files stand.
        report: Called with each status.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._due_s = 0.0
        self._started_s = time.time()
        self._sends = (folder / "sends.csv").open("a", encoding="ascii", buffering=1 << 16)
        if self._sends.tell() == 0:
            self._sends.write("leaf_hash,first_send_s,records\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sends.close()

    def first_sent(self, signed: Signed, time_s: float) -> None:
        """Note when a statement left for the first time; flushed with the next status."""
        self._sends.write(f"{signed.leaf_hash.hex()},{time_s:.6f},{signed.records}\n")

    def tick(self, phase: str, fleet: Fleet, link_problem: str, **more: Any) -> None:
        """Report the status if a second has passed since the last one."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + STATUS_S
            self.report(phase, fleet, link_problem, **more)

    def report(self, phase: str, fleet: Fleet, link_problem: str, **more: Any) -> None:
        """Report the status now."""
        self._sends.flush()
        status = {"phase": phase, "time_s": round(time.time(), 3), "link": link_problem or "connected"}
        self._report(status | more | {"in_flight": fleet.in_flight} | fleet.totals().describe())

    def summarise(self, fleet: Fleet, outbox: Outbox, **more: Any) -> dict[str, Any]:
        """Write and return the summary of a run.

        `ever` is what became of all that this outbox ever held, enrolments included.
        """
        self._sends.flush()
        summary = fleet.totals().describe() | {
            "started_s": round(self._started_s, 3),
            "ended_s": round(time.time(), 3),
            "devices": sum(not member.authority for member in fleet.members.values()),
            **more,
            "ever": asdict(outbox.totals()),
            "faulty": {
                issuer: [fault.name for fault in member.faults]
                for issuer, member in fleet.members.items()
                if member.faults
            },
            "by_device": {
                issuer: member.counts.describe()
                for issuer, member in fleet.members.items()
                if not member.authority
            },
        }
        draft = self._folder / "summary.json.new"
        draft.write_text(json.dumps(summary, indent=1), encoding="utf-8")
        draft.replace(self._folder / "summary.json")  # Whoever waits for the file sees all of it.
        return summary
