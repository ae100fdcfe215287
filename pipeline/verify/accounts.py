"""What became of every statement that each signer has published: nothing is left without an account.

published = stored + superseded + waiting + refused + missing, in statements. How many a signer has published
its sequences say: an epoch in which sequence n was seen has n + 1 of them. Pure: the caller reads.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum


class Fate(Enum):
    """What became of a statement that is in the log."""

    STORED = "stored"
    SUPERSEDED = "superseded"  # Later statements stand at all its places.
    WAITING = "waiting"
    MISSING = "missing"  # A point that should be in the store is not.


@dataclass(slots=True)
class _Sequences:
    """A set of numbers that are mostly in a row: ranges, each with its end outside."""

    starts: list[int] = field(default_factory=list[int])
    ends: list[int] = field(default_factory=list[int])

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.starts, number) - 1
        return at >= 0 and number < self.ends[at]

    def add(self, number: int) -> None:
        if number in self:
            return
        at = bisect_right(self.starts, number)
        joins_before = at > 0 and self.ends[at - 1] == number
        joins_behind = at < len(self.starts) and self.starts[at] == number + 1
        if joins_before and joins_behind:
            self.ends[at - 1] = self.ends.pop(at)
            self.starts.pop(at)
        elif joins_before:
            self.ends[at - 1] = number + 1
        elif joins_behind:
            self.starts[at] = number
        else:
            self.starts.insert(at, number)
            self.ends.insert(at, number + 1)

    @property
    def size(self) -> int:
        return sum(self.ends) - sum(self.starts)

    @property
    def end(self) -> int:
        return self.ends[-1] if self.ends else 0


@dataclass(frozen=True, slots=True)
class Account:
    """One signer's account, in statements. `equivocations` are beside it: they stand at taken sequences."""

    issuer: str
    published: int
    stored: int
    superseded: int
    waiting: int
    refused: int
    missing: int
    equivocations: int
    reasons: Counter[str]

    def balances(self) -> bool:
        """Tell whether everything published has one fate."""
        fates = self.stored + self.superseded + self.waiting + self.refused + self.missing
        return self.published == fates


@dataclass(slots=True)
class _Signer:
    logged: defaultdict[int, _Sequences] = field(default_factory=lambda: defaultdict(_Sequences))
    fates: Counter[Fate] = field(default_factory=Counter[Fate])
    refused: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    arrived: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    equivocations: int = 0


class Accounts:
    """Takes what the log, the refusals and the bus hold, and gives the account of each signer."""

    def __init__(self) -> None:
        self._signers: defaultdict[str, _Signer] = defaultdict(_Signer)

    def place(self, issuer: str, epoch: int, sequence: int, fate: Fate) -> None:
        """Take a statement that is in the log."""
        signer = self._signers[issuer]
        signer.logged[epoch].add(sequence)
        signer.fates[fate] += 1

    def contradict(self, issuer: str) -> None:
        """Take a statement that contradicts another one of its sequence."""
        self._signers[issuer].equivocations += 1

    def refuse(self, issuer: str, epoch: int, sequence: int, reason: str) -> None:
        """Take a statement that was refused; it may be in the log all the same, before or later."""
        self._signers[issuer].refused[epoch, sequence] = reason

    def arrive(self, issuer: str, epoch: int, sequence: int) -> None:
        """Take a statement that no block of the log accounts for yet."""
        self._signers[issuer].arrived.add((epoch, sequence))

    def all(self) -> Iterator[Account]:
        """Yield every signer's account, by name."""
        for issuer, signer in sorted(self._signers.items()):
            yield _account(issuer, signer)


def _account(issuer: str, signer: _Signer) -> Account:
    ends = {epoch: sequences.end for epoch, sequences in signer.logged.items()}
    for epoch, sequence in (*signer.refused, *signer.arrived):
        ends[epoch] = max(ends.get(epoch, 0), sequence + 1)
    refused = {
        identity: reason for identity, reason in signer.refused.items() if not _is_logged(signer, identity)
    }
    arrived = [i for i in signer.arrived if i not in refused and not _is_logged(signer, i)]
    published = sum(ends.values())
    logged = sum(sequences.size for sequences in signer.logged.values())
    unheard_of = published - logged - len(refused) - len(arrived)
    return Account(
        issuer,
        published,
        signer.fates[Fate.STORED],
        signer.fates[Fate.SUPERSEDED],
        signer.fates[Fate.WAITING] + len(arrived),
        len(refused),
        signer.fates[Fate.MISSING] + unheard_of,
        signer.equivocations,
        Counter(refused.values()),
    )


def _is_logged(signer: _Signer, identity: tuple[int, int]) -> bool:
    epoch, sequence = identity
    return epoch in signer.logged and sequence in signer.logged[epoch]
