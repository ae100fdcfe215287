"""Sealing: statements checked and put into blocks, unsigned yet. Pure: messages go in, appends come out."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.log.block import seal
from pipeline.log.chain import ChainTip
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.sequences import Place, SignerSequences
from pipeline.ports import Append, Message
from pipeline.stages.admission import Admission
from pipeline.stages.envelopes import Duplicate, Refused, refusal_of, unwrap_arrival, wrap_outcomes
from pipeline.stages.snapshots import SNAPSHOT_EVERY, Snapshot, wrap_snapshot
from pipeline.wire.cbor import STATEMENT_SIZE_MAX
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import (
    Statement,
    StatementParser,
    records_in,
    shard_of,
)
from pipeline.wire.topics import BLOCKS, REFUSED

STATEMENTS_MAX = 1024
BODY_BYTES_MAX = 900_000
REFUSED_MAX = 4096
REFUSED_BYTES_MAX = 4_000_000
REGISTRY_SHARD = 0
REFUSED_BUT_KNOWN = (None, Reason.KEY_REVOKED, Reason.KEY_SPAN)  # Of what may be in the log in spite of it.


@dataclass(slots=True)
class Checked:
    """A message and what is known of it alone: its statement and leaf hash, or why it is refused."""

    message: Message
    statement: Statement | None
    leaf_hash: bytes
    refusal: Reason | None


@dataclass(slots=True)
class _OpenBlock:
    first: Message
    last: Message
    leaves: list[bytes] = field(default_factory=list[bytes])
    hashes: list[bytes] = field(default_factory=list[bytes])
    body_bytes: int = 0
    equivocations: list[int] = field(default_factory=list[int])
    refused: list[Refused] = field(default_factory=list[Refused])
    refused_bytes: int = 0
    duplicates: list[Duplicate] = field(default_factory=list[Duplicate])


class Sealer:
    """The pure part: messages in, sealed blocks out. Same messages, same cuts, same bytes."""

    def __init__(
        self,
        shard: int,
        shards: int,
        topic_id: bytes,
        admission: Admission,
        signers: SignerSequences,
        tip: ChainTip,
        block_offset: int = 0,
    ) -> None:
        self.shard = shard
        self.shards = shards
        self.topic_id = topic_id
        self.admission = admission
        self.signers = signers
        self.tip = tip
        self.block_offset = block_offset
        self._parse = StatementParser().parse
        self._latest_ms = tip.arrival_ms
        self._issuers: set[str] = set()  # Of this shard, and admitted before: as many as keys are enrolled.
        self._open: _OpenBlock | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether messages wait for their block."""
        return self._open is not None

    @property
    def is_full(self) -> bool:
        """Tell whether the open block must be sealed before another message."""
        block = self._open
        return block is not None and (
            len(block.leaves) >= STATEMENTS_MAX
            or block.body_bytes >= BODY_BYTES_MAX - STATEMENT_SIZE_MAX
            or len(block.refused) + len(block.duplicates) >= REFUSED_MAX
            or block.refused_bytes >= REFUSED_BYTES_MAX
        )

    def outcomes(self) -> tuple[int, int, Counter[str]]:
        """Return what the open block's messages became: leaves, duplicates, refusals by reason."""
        block = self._open
        assert block is not None, "nothing is open"
        return len(block.leaves), len(block.duplicates), Counter(item.reason for item in block.refused)

    def step(self, message: Message) -> None:
        """Check a message and take it into the open block."""
        for checked in self.check(self.in_time([message])):
            self.take(checked)

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return messages with times that do not run backwards, as those of a block must not.

        Kafka's times do when its clock is set back, or when another broker takes over. Whoever takes the
        shard over has the same times: they follow from the last block and from the messages behind it.
        """
        kept: list[Message] = []
        for message in messages:
            if message.timestamp_ms < self._latest_ms:
                message = message._replace(timestamp_ms=self._latest_ms)  # noqa: PLW2901 - the same message
            self._latest_ms = message.timestamp_ms
            kept.append(message)
        return kept

    def check(self, messages: Sequence[Message]) -> list[Checked]:
        """Check messages as far as that does not depend on those before them.

        In shard 0 it does: an enrolment is checked in full when it is taken.
        """
        parsed = [self._parse_message(message) for message in messages]
        if self.shard != REGISTRY_SHARD:
            self._admit([checked for checked in parsed if checked.refusal is None])
        return parsed

    def take(self, checked: Checked) -> None:
        """Take a checked message into the open block: as a leaf, a duplicate, or a refusal."""
        message = checked.message
        block = self._open
        if block is None:
            block = self._open = _OpenBlock(message, message)
        block.last = message
        place = self._place(checked)
        if place is None:
            assert checked.refusal is not None, "what has no place has a reason"
            refused = _refused(message, checked.statement, checked.refusal)
            block.refused.append(refused)
            block.refused_bytes += len(refused.head)
            return
        assert checked.statement is not None, "what has no statement is refused"
        if place is Place.DUPLICATE:
            block.duplicates.append(_duplicate(message, checked.statement))
            return
        raw = checked.statement.raw
        block.leaves.append(raw)
        block.hashes.append(checked.leaf_hash)
        block.body_bytes += len(raw) + 4
        if place is Place.EQUIVOCATION:
            block.equivocations.append(len(block.leaves))

    def _parse_message(self, message: Message) -> Checked:
        if unread := refusal_of(message.value):
            return Checked(message, None, b"", unread)
        raw = message.value[1:]
        try:
            statement = self._parse(raw)
        except VerificationError as error:
            return Checked(message, None, b"", error.reason)
        issuer = statement.issuer
        if issuer not in self._issuers and self.shard not in (REGISTRY_SHARD, shard_of(issuer, self.shards)):
            return Checked(message, statement, b"", Reason.SHARD_WRONG)
        return Checked(message, statement, hash_leaf(raw), None)

    def _admit(self, due: Sequence[Checked]) -> None:
        arrivals = [(item.statement, item.message.timestamp_ms) for item in due if item.statement is not None]
        for item, refusal in zip(due, self.admission.admit(arrivals), strict=True):
            item.refusal = refusal

    def _place(self, checked: Checked) -> Place | None:
        """Find a statement's place among its signer's others; None, with the reason set, if it is refused."""
        statement = checked.statement
        if statement is None or checked.refusal not in REFUSED_BUT_KNOWN:
            return None
        issuer, epoch, sequence = statement.issuer, statement.epoch, statement.sequence
        if checked.refusal is not None or self.shard == REGISTRY_SHARD:
            # Admission refuses what stands in the log already once its key is known, or is over.
            if self.signers.find(issuer, epoch, sequence) == checked.leaf_hash:
                return Place.DUPLICATE
            if checked.refusal is None:
                self._admit([checked])
            if checked.refusal is not None:
                return None
        try:
            place = self.signers.place(issuer, epoch, sequence, checked.leaf_hash)
        except VerificationError as error:
            checked.refusal = error.reason
            return None
        if place is Place.NEW:
            self.admission.accept(statement, checked.leaf_hash)
            self._issuers.add(issuer)
        return place

    def seal(self) -> list[Append]:
        """Close the open block and return everything that must be appended in one transaction."""
        block = self._open
        assert block is not None, "nothing to seal"
        accepted, duplicates, refused = self.outcomes()
        registry_blocks, registry_root = self.admission.state
        snapshot = self.signers.to_bytes() if (self.tip.height + 1) % SNAPSHOT_EVERY == 0 else None
        manifest = Manifest(
            shard=self.shard,
            height=self.tip.height,
            previous=self.tip.root,
            topic_id=self.topic_id,
            offset_first=block.first.offset,
            offset_last=block.last.offset,
            arrival_first_ms=block.first.timestamp_ms,
            arrival_last_ms=block.last.timestamp_ms,
            accepted=accepted,
            duplicates=duplicates,
            refused=dict(sorted(refused.items())),
            refused_hash=hashlib.sha256(b"".join(item.sha256 for item in block.refused)).digest(),
            registry_blocks=registry_blocks,
            registry_root=registry_root,
            equivocations=tuple(block.equivocations),
            state_hash=None if snapshot is None else hashlib.sha256(snapshot).digest(),
        )
        sealed = seal(manifest, block.leaves, block.hashes)
        appends = [Append(BLOCKS, self.shard, sealed.body)]
        appends += [Append(REFUSED, self.shard, v) for v in wrap_outcomes(block.refused, block.duplicates)]
        if snapshot is not None:
            appends += wrap_snapshot(self.shard, Snapshot(self.tip.height, self.block_offset, snapshot))
        self.admission.close_block()
        self.tip = self.tip.after(manifest, sealed.root)
        self._open = None
        return appends


def _refused(message: Message, statement: Statement | None, reason: Reason) -> Refused:
    arrival = unwrap_arrival(message.value)
    return Refused(
        mqtt_topic=message.key.decode(),
        sha256=arrival.sha256 or hashlib.sha256(arrival.head).digest(),
        reason=reason.value,
        records=records_in(statement) if statement else 1,
        length=arrival.length,
        arrival_ms=message.timestamp_ms,
        head=arrival.head,
    )


def _duplicate(message: Message, statement: Statement) -> Duplicate:
    return Duplicate(
        message.key.decode(),
        statement.issuer,
        statement.epoch,
        statement.sequence,
        records_in(statement),
    )
