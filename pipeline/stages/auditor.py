"""Auditor: compares a point store with the log, and states in the log what does not agree.

Its statements go the way of everybody's: signed, kept until a receipt covers them, sent over MQTT, checked at
the door by the key that an authority has enrolled for the role.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy
from pipeline.log.receipt import check_receipt, parse_receipt
from pipeline.log.tiles import CHECKPOINT_PATH, ReadFile, TileReader
from pipeline.ports import ChainState, Clock, Delivery, FindingOutbox, Inbox, Publisher
from pipeline.verify.audit import FindStored, StoreAudit
from pipeline.verify.store_watch import Store, StoreWatch
from pipeline.wire.errors import MissingError, UnavailableError, VerificationError
from pipeline.wire.finding import Finding, decode_finding, encode_finding
from pipeline.wire.keys import Signer
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_FINDING, parse_statement, sign_statement
from pipeline.wire.topics import parse_topic, statements_topic

SENT_AT_ONCE = 256
RESEND_S = 10.0
RECEIVE_MAX = 100
GATHER_S = 0.05
NO_STATEMENT = bytes(32)


class AuditedStore(Store, Protocol):
    """A point store as an auditor reads it, by place too."""

    @property
    def find(self) -> FindStored:
        """Return the function that looks places up."""
        ...


OpenStore = Callable[[], AbstractContextManager[AuditedStore]]


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs findings: an auditor's name, its key, and where its chain stands."""

    issuer: str
    signer: Signer
    chain: ChainState

    def sign(self, findings: Sequence[Finding]) -> tuple[list[bytes], ChainState]:
        """Return the statements and the chain behind them."""
        chain, statements = self.chain, list[bytes]()
        for finding in findings:
            raw = sign_statement(
                self.signer,
                issuer=self.issuer,
                subject=finding.place.subject,
                content_type=CONTENT_FINDING,
                epoch=chain.epoch,
                sequence=chain.sequence,
                previous=chain.previous,
                payload=encode_finding(finding),
            )
            statements.append(raw)
            chain = ChainState(chain.epoch, chain.sequence + 1, hash_leaf(raw))
        return statements, chain


class StoreAuditor:
    """The comparing part: opens log and store anew for every sweep.

    Args:
        read: The log's files.
        policy: What checkpoints must satisfy.
        open_store: Opens the store for one sweep.
        watch: What is known already.
    """

    def __init__(self, read: ReadFile, policy: Policy, open_store: OpenStore, watch: StoreWatch) -> None:
        self._read = read
        self._policy = policy
        self._open_store = open_store
        self._watch = watch

    @property
    def settled(self) -> int:
        """Return how far the store is known to have been written."""
        return self._watch.settled

    def _open_checkpoint(self) -> OpenedCheckpoint:
        note = self._read(CHECKPOINT_PATH)
        if note is None:
            raise MissingError(CHECKPOINT_PATH)
        return open_checkpoint(note, self._policy)

    def sweep(self, now_ms: int) -> list[Finding]:
        """Compare all that is published with what is stored; return what is new.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
            UnavailableError: A file of the log is missing, or does not answer.
        """
        opened = self._open_checkpoint()
        tiles = TileReader(self._read, opened.checkpoint)
        with self._open_store() as store:
            audit = StoreAudit(self._read, tiles, store.find, self._watch.settled)
            return self._watch.sweep(audit, store, opened, now_ms)


class Reporter:
    """The sending part: signs what was found, and sends it until its receipt is there."""

    def __init__(
        self, signatory: Signatory, outbox: FindingOutbox, sender: Publisher, policy: Policy
    ) -> None:
        self._signatory = signatory
        self._outbox = outbox
        self._sender = sender
        self._policy = policy
        self._sent: dict[bytes, float] = {}  # Leaf hash -> when it was sent last.
        self.refused: dict[bytes, Reason] = {}  # SHA-256 of a statement -> why it is not in the log.

    async def report(self, findings: Sequence[Finding]) -> None:
        """Sign findings and keep them, before the first byte is sent."""
        if findings:
            statements, chain = self._signatory.sign(findings)
            # A crash before this: nothing was sent, and what was found is found again. After it: the next
            # start sends it, with the same bytes.
            await self._outbox.add(statements, chain)
            self._signatory = Signatory(self._signatory.issuer, self._signatory.signer, chain)

    async def send(self) -> bool:
        """Send what is due; tell whether anything waits for its receipt."""
        waiting = await self._outbox.waiting(SENT_AT_ONCE)
        topic, now_s = statements_topic(self._signatory.issuer), monotonic()
        sent = {hash_leaf(raw): raw for raw in waiting}
        for leaf_hash, raw in sent.items():
            if now_s - self._sent.get(leaf_hash, now_s - RESEND_S) >= RESEND_S:
                await self._sender.publish(topic, raw)
                self._sent[leaf_hash] = now_s
        self._sent = {leaf_hash: at for leaf_hash, at in self._sent.items() if leaf_hash in sent}
        return bool(waiting)

    async def hear(self, deliveries: Sequence[Delivery]) -> None:
        """Take up receipts and refusals; whatever else comes is nobody's."""
        waiting = {
            (statement.epoch, statement.sequence): hash_leaf(statement.raw)
            for statement in map(parse_statement, await self._outbox.waiting(SENT_AT_ONCE))
        }
        for delivery in deliveries:
            try:
                kind, _ = parse_topic(delivery.topic)
                if kind == "refusals":
                    received, reason = decode_refusal(delivery.payload)
                    self.refused[received] = reason
                    continue
                for epoch, sequence, receipt in decode_receipts(delivery.payload):
                    if (epoch, sequence) in waiting:
                        await self._settle(epoch, sequence, receipt, waiting[epoch, sequence])
            except VerificationError:
                continue  # Not from the log: it can be sent by anybody, and is no reason to stop.

    async def _settle(self, epoch: int, sequence: int, receipt: bytes, leaf_hash: bytes) -> None:
        claimed = parse_receipt(receipt).origin
        log = next((key for key in self._policy.logs if key.name == claimed), None)
        if log is None:
            raise VerificationError(Reason.RECEIPT_ORIGIN, claimed)
        check_receipt(receipt, leaf_hash, origin=log.name, public_key=log.public_key)
        # A crash before this sends the statement again, and its receipt comes again.
        await self._outbox.settle(epoch, sequence, receipt)


async def open_signatory(issuer: str, signer: Signer, outbox: FindingOutbox, clock: Clock) -> Signatory:
    """Return who signs, where its outbox says that it stands; without one it begins an epoch."""
    chain = await outbox.chain() or ChainState(int(clock.now_s()), 0, NO_STATEMENT)
    return Signatory(issuer, signer, chain)


async def known_findings(outbox: FindingOutbox) -> list[Finding]:
    """Return what has been stated already."""
    return [decode_finding(parse_statement(raw).payload) for raw in await outbox.statements()]


class Auditor:
    """The stage: compares, states, and listens for receipts.

    Args:
        comparing: The comparing part.
        reporter: The sending part.
        outbox: What both keep.
        inbox: Where receipts and refusals come in.
        clock: The wall clock.
        on_found: Hears what is new, once it is kept.
    """

    def __init__(
        self,
        comparing: StoreAuditor,
        reporter: Reporter,
        outbox: FindingOutbox,
        inbox: Inbox,
        clock: Clock,
        on_found: Callable[[Sequence[Finding]], None],
    ) -> None:
        self._comparing = comparing
        self._reporter = reporter
        self._outbox = outbox
        self._inbox = inbox
        self._clock = clock
        self._on_found = on_found

    async def once(self, seconds: float) -> bool:
        """Compare once, and wait for receipts for so long; tell whether all are there.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
            UnavailableError: The log's files do not answer.
        """
        await self._sweep()
        return not await self._listen(seconds, until_settled=True)

    async def run(self, interval_s: float) -> None:
        """Compare again and again until cancelled; what does not answer is asked again.

        Raises:
            VerificationError: The log itself is wrong: run fsck.
        """
        while True:
            with suppress(UnavailableError):
                await self._sweep()
            await self._listen(interval_s)

    async def _sweep(self) -> None:
        settled = self._comparing.settled
        findings = await asyncio.to_thread(self._comparing.sweep, int(self._clock.now_s() * 1000))
        await self._reporter.report(findings)
        self._on_found(findings)
        if self._comparing.settled != settled:
            # A crash before this: at the next start, what is missing is held back until something later is
            # seen in the store again.
            await self._outbox.remember_settled(self._comparing.settled)

    async def _listen(self, seconds: float, *, until_settled: bool = False) -> bool:
        """Send what is due and hear what is said about it; tell whether anything waits still."""
        waiting = await self._reporter.send()
        try:
            async with asyncio.timeout(seconds):
                while waiting or not until_settled:
                    deliveries = await self._inbox.receive(RECEIVE_MAX, GATHER_S)
                    await self._reporter.hear(deliveries)
                    await self._inbox.acknowledge(deliveries)
                    waiting = await self._reporter.send()
        except TimeoutError:
            pass
        return waiting
