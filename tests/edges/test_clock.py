"""The machine's clock."""

import time

from pipeline.edges.clock import SYSTEM_CLOCK


def test_it_is_the_wall_clock() -> None:
    """POSIX seconds, between two looks at the system's clock."""
    before = time.time()
    assert before <= SYSTEM_CLOCK.now_s() <= time.time()
