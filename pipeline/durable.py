"""Named durable steps: places where a test may end the process as a power cut would.

Stages and edges call `step("area.what")` right before and after something becomes durable. It does nothing,
unless the process was started with CITYPROOF_CRASH_AT=name:n: then the n-th call of that name kills it with
SIGKILL, so that nothing is flushed, closed or told to anyone. The variable is read once, at import; no code
and no configuration file can set it.
"""

import os
import signal
from itertools import count

_VARIABLE = "CITYPROOF_CRASH_AT"
_name, _, _times = os.environ.get(_VARIABLE, "").partition(":")
assert not _name or _times.isdecimal(), f"{_VARIABLE} must be NAME:N"
_nth = int(_times or 0)
_calls = count(1)


def step(name: str) -> None:
    """Mark a durable step. Safe to call from any thread."""
    if name == _name and next(_calls) == _nth:
        os.kill(os.getpid(), signal.SIGKILL)
