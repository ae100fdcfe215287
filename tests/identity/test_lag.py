"""A block must know every registry block that stands before it and came long enough before."""

from dataclasses import replace

import pytest

from pipeline.identity.lag import RegistryLag
from pipeline.log.manifest import Manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.city import NOW_MS, ForgedLog

PLAIN = ForgedLog().add(0, [])


def block(registry_blocks: int, arrival_ms: int) -> Manifest:
    """A manifest that names so many registry blocks, whose last message came then."""
    return replace(PLAIN, registry_blocks=registry_blocks, arrival_last_ms=arrival_ms)


@pytest.mark.parametrize(("late_ms", "lags"), [(-1, False), (0, False), (60_000, False), (60_001, True)])
def test_the_first_block_that_is_not_known_decides(late_ms: int, lags: bool) -> None:
    """At the bound to the millisecond; whoever knows it may come as late as it likes."""
    lag = RegistryLag(60)
    for registry_blocks in range(3):
        lag.check(block(registry_blocks, NOW_MS * 2))  # Nothing stands before it.
    lag.add(block(0, NOW_MS - 70_000))
    lag.add(block(1, NOW_MS))
    lag.add(block(2, NOW_MS + 5))
    later = block(1, NOW_MS + late_ms)
    if lags:
        with pytest.raises(VerificationError) as refused:
            lag.check(later)
        assert refused.value.reason is Reason.REGISTRY_LAG
    else:
        lag.check(later)
    lag.check(block(3, NOW_MS * 2))
    lag.check(block(7, NOW_MS * 2))
