"""The machine's clock."""

import time


class SystemClock:
    """`ports.Clock` of this machine."""

    def now_s(self) -> float:
        """Return POSIX seconds."""
        return time.time()


SYSTEM_CLOCK = SystemClock()
