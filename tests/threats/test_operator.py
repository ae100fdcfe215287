"""The operator: every bad history is refused by its own reason, where it can be, and by no other check."""

import pytest

from tests.threats.checks import CHECKS, refusals
from tests.threats.operator import (
    BAD_HISTORIES,
    HONEST,
    HONEST_LOG,
    MIDDLE,
    NOW_S,
    A,
    BadHistory,
    Log,
    Shown,
)


def test_an_honest_log_is_refused_by_nobody() -> None:
    """Whatever the bad ones are refused for is their doing: all checks look, and all pass."""
    shown = Shown(
        HONEST_LOG.files,
        before=Log(HONEST[:4], cosigned_s=NOW_S + 65).files,
        before_s=NOW_S + 70,
        receipts=[(A[1], HONEST_LOG.receipt(MIDDLE, 1), NOW_S + 62)],
        proofs=[HONEST_LOG.proof(MIDDLE, 1)],
    )
    assert refusals(shown) == {}


@pytest.mark.parametrize("bad", BAD_HISTORIES, ids=lambda bad: bad.name)
def test_a_bad_history_is_refused_by_its_own_reason(bad: BadHistory) -> None:
    """Exactly these checks refuse it, exactly here, for exactly this; every other one passes."""
    assert refusals(bad.make()) == {check: list(said) for check, said in bad.refused.items()}


def test_every_check_refuses_something() -> None:
    """None is there for show."""
    assert {check for bad in BAD_HISTORIES for check in bad.refused} == set(CHECKS)
