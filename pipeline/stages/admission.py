"""Who may write into a shard: devices and services by their keys, authorities into shard 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.identity.authorities import Authorities
from pipeline.identity.changes import check_change, decode_change
from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Registry
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.statement import (
    Statement,
    verify_statement,
)


class Admission(Protocol):
    """Who may write into a shard, and what."""

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the registry state that statements are checked against: blocks applied and root."""
        ...

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check the key, signature and content of statements, each with its arrival (POSIX ms).

        Returns why each is refused, or None.
        """
        ...

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Act on an admitted statement that has become a leaf."""
        ...

    def close_block(self) -> None:
        """Learn that the admitted statements are in a block."""
        ...


@dataclass(slots=True)
class ReadingAdmission:
    """Shards 1 and up: readings and whatever else enrolled keys may sign."""

    registry: Registry

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the followed registry's state."""
        return self.registry.blocks, self.registry.root

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check that the keys may sign, that they signed, and that the content is theirs to sign.

        One kind of check after the other for all statements: signatures one behind the other cost less than
        with other work between them, which drives their tables out of the processor's cache.
        """
        outcomes = [self._find_key(statement, arrival_ms) for statement, arrival_ms in arrivals]
        for index, (statement, _) in enumerate(arrivals):
            outcome = outcomes[index]
            if isinstance(outcome, KeyRecord):
                try:
                    verify_statement(statement, outcome.public_key)
                except VerificationError as error:
                    outcomes[index] = error.reason
        refusals: list[Reason | None] = []
        for outcome, (statement, _) in zip(outcomes, arrivals, strict=True):
            if isinstance(outcome, Reason):
                refusals.append(outcome)
                continue
            try:
                check_content(statement, outcome.kind)
            except VerificationError as error:
                refusals.append(error.reason)
            else:
                refusals.append(None)
        return refusals

    def _find_key(self, statement: Statement, arrival_ms: int) -> KeyRecord | Reason:
        try:
            return self.registry.check_key(statement, arrival_ms)
        except VerificationError as error:
            return error.reason

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Do nothing: a reading changes nobody's rights."""

    def close_block(self) -> None:
        """Do nothing: the registry moves when shard 0 does."""


@dataclass(slots=True)
class RegistryAdmission:
    """Shard 0: what authorities state; each statement acts on the next one at once."""

    registry: Registry
    authorities: Authorities

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the state before the open block."""
        return self.registry.blocks, self.registry.root

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check authorities' statements, also against those before them."""
        return [self._refusal(statement) for statement, _ in arrivals]

    def _refusal(self, statement: Statement) -> Reason | None:
        try:
            authority, change = check_change(statement, self.authorities)
            self.registry.check(change, authority)
        except VerificationError as error:
            return error.reason
        return None

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Do what the authority states."""
        self.registry.apply(decode_change(statement), leaf_hash)

    def close_block(self) -> None:
        """Make what the open block's statements did part of the named state."""
        self.registry.close_block()
        self.registry.forget()
