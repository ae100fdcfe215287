"""Errors say what happened in words, and carry what a caller acts on; reasons are one list of distinct
codes."""

import pickle
import re

import pytest

from pipeline.wire.errors import (
    FencedError,
    InputError,
    MissingError,
    PipelineError,
    UnavailableError,
    VerificationError,
)
from pipeline.wire.reasons import BY_CODE, Reason

ERRORS = [
    (VerificationError(Reason.PACK_UNIT, "record 3"), "pack_unit: record 3"),
    (VerificationError(Reason.OVERSIZE), "oversize: More bytes than the limit; refused unread."),
    (VerificationError(Reason.PACK_UNIT, "\x1b[31mrecord 3\n"), "pack_unit: ?[31mrecord 3?"),
    (UnavailableError("the broker", "publish"), "the broker did not answer: publish"),
    (MissingError("tile/0/000"), "log files did not answer: tile/0/000 is missing"),
    (
        InputError("--port", "99999 is no port", "Give one below 65536."),
        "--port: 99999 is no port. Give one below 65536.",
    ),
]


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_an_error_reads_as_a_sentence(error: PipelineError, text: str) -> None:
    """What a person sees; it survives the way between processes, with all its fields."""
    assert str(error) == text
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), vars(copied)) == (type(error), text, vars(error))


def test_errors_carry_what_callers_act_on() -> None:
    """Each branch of the tree has its fields."""
    refused = VerificationError(Reason.PACK_UNIT, "record 3")
    assert (refused.reason, refused.detail) == (Reason.PACK_UNIT, "record 3")
    missing = UnavailableError("the broker", "publish")
    assert (missing.service, missing.action) == ("the broker", "publish")
    absent = MissingError("tile/0/000")
    assert (absent.path, absent.service, absent.action) == (
        "tile/0/000",
        "log files",
        "tile/0/000 is missing",
    )
    assert (refused.args, missing.args) == ((Reason.PACK_UNIT, "record 3"), ("the broker", "publish"))
    wrong = InputError("--port", "99999 is no port", "Give one below 65536.")
    assert (wrong.place, wrong.problem, wrong.remedy) == (
        "--port",
        "99999 is no port",
        "Give one below 65536.",
    )
    for kind in (VerificationError, UnavailableError, InputError, FencedError):
        assert issubclass(kind, PipelineError)


def test_reasons_are_one_list_of_codes() -> None:
    """A code is its member's name in lower case; the meaning is one sentence; no two share either."""
    for name, reason in Reason.__members__.items():
        assert reason.value == name.lower() == str(reason)
        assert BY_CODE[reason.value] is reason
        assert re.fullmatch(r"[A-Z].*\.", reason.meaning)
        assert "\n" not in reason.meaning
    assert (
        len({reason.meaning for reason in Reason}) == len(Reason) == len(Reason.__members__) == len(BY_CODE)
    )
