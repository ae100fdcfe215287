"""What processes take, read from /proc: processor seconds and memory (Linux)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # Fields of /proc/<pid>/stat behind the name.


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS


def rss_bytes(pid: int) -> int:
    """Return the memory of a process that is resident now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(slots=True)
class Meter:
    """Watches processes by name."""

    pids: Mapping[str, int]
    rss: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def cpu(self) -> dict[str, float]:
        """Return each one's processor seconds so far."""
        return {name: cpu_s(pid) for name, pid in self.pids.items()}

    def look(self) -> None:
        """Note each one's memory."""
        for name, pid in self.pids.items():
            self.rss.setdefault(name, []).append(rss_bytes(pid))
