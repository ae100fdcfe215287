"""What a check of a server or setting has found, for `cityproof doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WRONG = "wrong"  # It can lose data, or let others in.
    UNKNOWN = "unknown"  # It could not be looked at.


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        about: A server, topic or folder.
        what: What was looked at, and what was found.
        verdict: How it ended.
        remedy: What to do, unless it is good.
    """

    about: str
    what: str
    verdict: Verdict
    remedy: str = ""


def expect(about: str, what: str, remedy: str, *, holds: bool) -> Check:
    """Return a check that is good if it holds."""
    return Check(about, what, Verdict.GOOD) if holds else Check(about, what, Verdict.WRONG, remedy)


def unknown(about: str, what: str, remedy: str) -> Check:
    """Return a check that could not be made."""
    return Check(about, what, Verdict.UNKNOWN, remedy)
