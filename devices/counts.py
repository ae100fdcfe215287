"""What a fleet has sent and heard, counted in records, so that nothing goes missing without a name."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counts:
    """What one signer has sent and heard in this process, in records.

    Attributes:
        published: Records over the distinct byte strings sent, a fault's included; undecodable ones count 1.
        receipted: Records of statements that a verified receipt covers.
        duplicates: Records of byte strings that a fault sent again.
        statements: Statements sent, each once.
        resent: How often a statement was sent again for want of an answer.
        injected: Expected reason -> records of a fault's bytes that must be refused for it.
        answered: Reason -> records of a fault's bytes that were refused, as heard.
        parked: Reason -> records of the signer's own statements that were refused.
        unheeded: Why an answer changed nothing -> how many.
    """

    published: int = 0
    receipted: int = 0
    duplicates: int = 0
    statements: int = 0
    resent: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    parked: Counter[str] = field(default_factory=Counter)
    unheeded: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        """Records that were sent and have no answer yet."""
        return self.published - self.receipted - self.answered.total() - self.parked.total()

    def add(self, other: "Counts") -> None:
        """Add another signer's counts to these."""
        for name in ("published", "receipted", "duplicates", "statements", "resent"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("injected", "answered", "parked", "unheeded"):
            getattr(self, name).update(getattr(other, name))

    def describe(self) -> dict[str, Any]:
        """Return the counts as JSON; `refused` is what must be refused, `answered` what was, as heard."""
        return {
            "published": self.published,
            "receipted": self.receipted,
            "waiting": self.waiting,
            "refused": dict(sorted(self.injected.items())),
            "answered": dict(sorted(self.answered.items())),
            "parked": {reason: records for reason, records in sorted(self.parked.items()) if records},
            "duplicates": self.duplicates,
            "statements": self.statements,
            "resent": self.resent,
            "unheeded": dict(sorted(self.unheeded.items())),
        }
