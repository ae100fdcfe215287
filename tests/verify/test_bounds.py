"""The bounds in time: at the bound is within it, one beyond is not, and without witnesses there is none."""

from dataclasses import replace
from math import inf

import pytest

from pipeline.log.checkpoint import Cosignature, OpenedCheckpoint, open_checkpoint
from pipeline.verify.bounds import check_age, check_arrival, latest_arrival_ms
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.city import POLICY, ForgedLog

LOG = ForgedLog()
MANIFEST = LOG.add(1, [b"statement"])
OPENED = open_checkpoint(LOG.publish(), POLICY)


def cosigned(*times_s: int) -> OpenedCheckpoint:
    """The checkpoint, cosigned at these times."""
    return replace(OPENED, cosignatures=tuple(Cosignature(f"witness{time}", time) for time in times_s))


def test_an_arrival_is_bounded_by_the_earliest_witness() -> None:
    """No later than its cosignature and the delay that is allowed."""
    opened = cosigned(100, 90, 110)
    assert latest_arrival_ms(opened, 10) == 100_000
    check_arrival(replace(MANIFEST, arrival_last_ms=100_000), opened, 10)
    with pytest.raises(VerificationError) as refused:
        check_arrival(replace(MANIFEST, arrival_last_ms=100_001), opened, 10)
    assert refused.value.reason is Reason.ARRIVAL_LATE
    assert refused.value.detail == "arrived at 100001 ms, cosigned so that 100000 ms is the latest"


def test_an_age_is_counted_from_the_latest_witness() -> None:
    """To the second."""
    opened = cosigned(100, 90, 110)
    check_age(opened, 10, 120)
    with pytest.raises(VerificationError) as refused:
        check_age(opened, 10, 121.5)
    assert refused.value.reason is Reason.CHECKPOINT_STALE
    assert refused.value.detail == "cosigned 11 s ago; 10 s are allowed"


def test_without_witnesses_nothing_is_bounded() -> None:
    """A policy that asks for none says nothing of time."""
    assert latest_arrival_ms(cosigned(), 10) == inf
    check_arrival(replace(MANIFEST, arrival_last_ms=2**52), cosigned(), 10)
    check_age(cosigned(), 10, 2**40)
