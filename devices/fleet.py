"""A fleet: devices that share one outbox and one link, as a gateway's or a simulator's do.

One turn takes what has come in, makes everything new durable in one transaction, and sends what is due. The
order of these steps is what keeps the promise: nothing is sent that is not durable, nothing is deleted
without a verified receipt.
"""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from threading import Event

from devices.counts import Counts
from devices.device import Chain, Device, Signed, new_epoch
from devices.faults import Fault, Injection
from devices.link import Arrival, Link
from devices.outbox import Outbox, Stored
from devices.schedule import Schedule, Waiting
from pipeline.log.merkle import hash_leaf
from pipeline.log.receipt import check_receipt
from pipeline.wire.admission import Admission, encode_admission
from pipeline.wire.changes import Change
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import Signer
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import Rotation
from pipeline.wire.topics import parse_topic, receipts_topic, refusals_topic, registry_topic, statements_topic

WINDOW = 96
LOADED_MAX = 2048
ARRIVALS_AT_ONCE = 512
SENDS_AT_ONCE = 64

Identity = tuple[str, int, int]

# Reasons that an authority can remove: it may have enrolled or admitted what was refused, meanwhile.
RETRIED = tuple(
    reason.value
    for reason in (Reason.KEY_UNKNOWN, Reason.KEY_NOT_YET_VALID, Reason.KEY_REVOKED, Reason.KEY_SPAN)
)

DATA_CLASSES = {  # Sensor kind or role: who may read it is decided by class.
    "air": "environment",
    "weather": "environment",
    "water": "water",
    "traffic": "traffic",
    "cold": "shipments",
    "auditor": "finding",
}


@dataclass(frozen=True, slots=True)
class LogKey:
    """The log whose receipts count: its origin and its public key."""

    origin: str
    public_key: bytes


@dataclass(slots=True)
class Member:
    """One signer of the fleet: where it publishes, what is wrong with it, what became of its statements."""

    device: Device
    topic: str
    authority: bool
    faults: Sequence[Fault] = ()
    counts: Counts = field(default_factory=Counts)


class Fleet:
    """Signers, one outbox, one link.

    Args:
        outbox: Where every statement is made durable.
        log: Whose receipts end a statement's stay in the outbox.
        random: Spreads resends.
        window: How many statements may be in flight.
        first_sent: Called with each reading that is sent for the first time, and the POSIX time in seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        log: LogKey,
        random: Random,
        *,
        window: int = WINDOW,
        first_sent: Callable[[Signed, float], None] = lambda _signed, _time_s: None,
    ) -> None:
        self._outbox = outbox
        self._log = log
        self._window = window
        self._first_sent = first_sent
        self._schedule = Schedule(random, in_flight_max=window)
        self._generation = 0
        self._last_row = 0
        self._more_rows = True
        self._by_digest: dict[bytes, Waiting] = {}
        self._by_identity: dict[Identity, Waiting] = {}
        self._clones: dict[Identity, list[Waiting]] = {}
        self._overtaken: set[str] = set()
        self.members: dict[str, Member] = {}

    def join(self, signers: Iterable[tuple[Signer, str, str]], *, authority: bool = False) -> None:
        """Add signers, given as (signer, issuer, subject); those without state begin an epoch, durably."""
        fresh: dict[str, Chain] = {}
        for signer, issuer, subject in signers:
            chain = self._outbox.chain(issuer)
            if chain is None:
                chain = fresh[issuer] = new_epoch(time.time())
            topic = registry_topic(issuer) if authority else statements_topic(issuer)
            self.members[issuer] = Member(Device(signer, issuer, subject, chain), topic, authority)
        self._outbox.begin(fresh)

    @property
    def subscriptions(self) -> list[str]:
        """The topics on which answers to the members come."""
        return [topic(issuer) for issuer in self.members for topic in (receipts_topic, refusals_topic)]

    @property
    def room(self) -> bool:
        """Whether fewer statements than the window admits are in flight or could be."""
        return self._schedule.pressing < self._window and not self._more_rows

    @property
    def idle(self) -> bool:
        """Whether everything has been answered."""
        return self._schedule.size == 0 and not self._more_rows

    @property
    def in_flight(self) -> int:
        """How many statements were sent and have no answer yet."""
        return self._schedule.in_flight

    def totals(self) -> Counts:
        """Return the counts of all members that are no authorities."""
        totals = Counts()
        for member in self.members.values():
            if not member.authority:
                totals.add(member.counts)
        return totals

    def turn(
        self,
        link: Link,
        signed: Sequence[Signed] = (),
        *,
        notes: Mapping[str, bytes] | None = None,
        wait_s: float = 0.0,
    ) -> None:
        """Take what came in, make it and the new statements durable, and send what is due."""
        receipted, parked = self._judge(link.receive(wait_s, ARRIVALS_AT_ONCE))
        if signed or receipted or parked or notes:
            # What a crash leaves behind on either side of this commit is written there.
            self._outbox.commit(
                signed,
                receipted=receipted.values(),
                parked=[(row, why) for row, (_, why) in parked.items()],
                notes=notes,
            )
            self._more_rows |= bool(signed)
        for stored in receipted.values():
            counts = self.members[stored.signed.issuer].counts
            if self._forget(stored.signed):
                counts.receipted += stored.signed.records
            elif stored.parked and counts.parked[stored.parked]:
                counts.parked[stored.parked] -= stored.signed.records
                counts.receipted += stored.signed.records
        for stored, why in parked.values():
            if self._forget(stored.signed):
                self.members[stored.signed.issuer].counts.parked[why] += stored.signed.records
        self._begin_again()
        now_s = time.monotonic()
        self._load(now_s)
        self._send(link, now_s)

    def _begin_again(self) -> None:
        """Begin new epochs for devices under whose sequences other bytes stand: their state was not the last.

        An outbox that was restored from a copy comes here, and so does a device whose key was copied.
        """
        fresh: dict[str, Chain] = {}
        for issuer in self._overtaken:
            device = self.members[issuer].device
            receipted = self._outbox.receipted(issuer)
            device.chain = new_epoch(time.time(), before=device.chain.epoch, receipted=receipted)
            fresh[issuer] = device.chain
        if fresh:
            self._outbox.begin(fresh)
            self._overtaken.clear()

    def enrol(
        self,
        link: Link,
        authority: str,
        enrolments: Iterable[Enrolment],
        deadline_s: float,
        stopping: Event,
        turned: Callable[[], None],
    ) -> None:
        """Have an authority of the fleet enrol the devices it has not enrolled before, and wait for receipts.

        Args:
            link: The session.
            authority: The authority's name.
            enrolments: The devices.
            deadline_s: Monotonic time at which the wait for answers is given up.
            stopping: Ends the wait without an error.
            turned: Called after each turn.

        Raises:
            InputError: An enrolment was refused, or monotonic time `deadline_s` came before all answers.
        """
        settled = frozenset({Reason.KEY_KNOWN.value})  # Known already: only the outbox was lost.
        refused = self.state(link, authority, enrolments, deadline_s, stopping, turned, settled)
        _require_none("an enrolment", authority, refused)

    def rotate(
        self,
        link: Link,
        authority: str,
        rotations: Iterable[Rotation],
        deadline_s: float,
        stopping: Event,
        turned: Callable[[], None],
    ) -> None:
        """Have an authority of the fleet state the rotations it has not stated before, as `enrol` does."""
        settled = frozenset({Reason.KEY_ENDED.value, Reason.KEY_KNOWN.value})
        refused = self.state(link, authority, rotations, deadline_s, stopping, turned, settled)
        _require_none("a rotation", authority, refused)

    def state(
        self,
        link: Link,
        authority: str,
        changes: Iterable[Change],
        deadline_s: float,
        stopping: Event,
        turned: Callable[[], None],
        settled: Container[str] = (),
    ) -> list[tuple[Change, str]]:
        """Have an authority of the fleet state what it has not stated before, and wait for receipts.

        Args:
            link: The session.
            authority: The authority's name.
            changes: What it states.
            deadline_s: Monotonic time at which the wait for answers is given up.
            stopping: Ends the wait without an error.
            turned: Called after each turn.
            settled: Reasons of refusals that say it is so already.

        Returns:
            What was refused, each with the reason.

        Raises:
            InputError: Monotonic time `deadline_s` came before all answers.
        """
        stated: list[tuple[Change, bytes]] = []
        fresh: list[Signed] = []
        notes: dict[str, bytes] = {}
        for change in changes:
            name = _note_of(change)
            leaf_hash = self._outbox.note(name)
            held = self._outbox.find_leaf(authority, leaf_hash) if leaf_hash else None
            if leaf_hash is None or (held and held.parked and held.parked not in settled):
                fresh.append(self.members[authority].device.sign_change(change))
                leaf_hash = notes[name] = fresh[-1].leaf_hash
            stated.append((change, leaf_hash))
        self.turn(link, fresh, notes=notes)
        while not stopping.is_set() and (not link.ready.is_set() or self._outbox.is_waiting(authority)):
            if time.monotonic() >= deadline_s:
                problem = link.problem or f"no answer to what {authority} states: is the log running?"
                raise InputError(
                    "--broker", problem, "Start the pipeline and run this again; nothing is lost."
                )
            self.turn(link, wait_s=0.05)
            turned()
        answers = ((change, self._outbox.find_leaf(authority, leaf_hash)) for change, leaf_hash in stated)
        return [
            (change, held.parked)
            for change, held in answers
            if held and held.parked and held.parked not in settled
        ]

    def _load(self, now_s: float) -> None:
        """Take statements from the outbox into the schedule: new ones, at the start those of earlier runs."""
        if not self._more_rows:
            return
        limit = LOADED_MAX - self._schedule.size
        rows = self._outbox.load(self._last_row, limit) if limit > 0 else []
        self._more_rows = len(rows) >= limit
        for stored in rows:
            self._last_row = stored.row
            signed = stored.signed
            if signed.issuer not in self.members:
                raise InputError(
                    "--dir",
                    f"its outbox still holds statements of {signed.issuer}",
                    "Finish that run, or use another.",
                )
            due_s = now_s
            for fault in self.members[signed.issuer].faults:
                due_s = max(due_s, fault.release_s(now_s))
            waiting = Waiting(signed, stored.row, due_s)
            self._by_identity[signed.issuer, signed.epoch, signed.sequence] = waiting
            self._schedule_waiting(waiting)

    def _send(self, link: Link, now_s: float) -> None:
        if link.generation != self._generation:
            self._generation = link.generation
            self._schedule.reconnected(now_s)
        if not link.ready.is_set():
            return
        for waiting in self._schedule.due(now_s, SENDS_AT_ONCE):
            member = self.members[waiting.signed.issuer]
            if not link.publish(member.topic, waiting.signed.raw):
                return  # The connection has just ended, or is full: what was due comes again.
            if waiting.sent:
                member.counts.resent += 1
            else:
                waiting.sent = True
                self._count_first(member, waiting, now_s)

    def _count_first(self, member: Member, waiting: Waiting, now_s: float) -> None:
        counts, signed = member.counts, waiting.signed
        if waiting.row is not None:
            counts.published += signed.records
            counts.statements += 1
            if not member.authority:
                self._first_sent(signed, time.time())
            for fault in member.faults:
                for injection in fault.beside(signed, member.device.signer):
                    self._inject(injection, signed, now_s)
        elif waiting.expected is not None:
            counts.published += signed.records
            counts.injected[waiting.expected] += signed.records
        else:
            counts.duplicates += signed.records
            self._schedule.remove(waiting)  # Nobody waits for an answer to bytes that were sent before.

    def _inject(self, injection: Injection, beside: Signed, now_s: float) -> None:
        raw = injection.raw
        signed = Signed(beside.issuer, beside.epoch, beside.sequence, hash_leaf(raw), raw, injection.records)
        waiting = Waiting(signed, None, now_s + injection.after_s, injection.reason)
        if injection.reason is None:
            self._schedule.add(waiting)
            return
        if injection.reason is Reason.EQUIVOCATION:
            self._clones.setdefault((signed.issuer, signed.epoch, signed.sequence), []).append(waiting)
        self._schedule_waiting(waiting)

    def _schedule_waiting(self, waiting: Waiting) -> None:
        self._by_digest[sha256(waiting.signed.raw).digest()] = waiting
        self._schedule.add(waiting)

    def _forget(self, signed: Signed) -> bool:
        """Stop sending a statement of the outbox; True if this process had sent it."""
        waiting = self._by_identity.pop((signed.issuer, signed.epoch, signed.sequence), None)
        if waiting is None:
            return False
        self._drop(waiting)
        return waiting.sent

    def _drop(self, waiting: Waiting) -> None:
        del self._by_digest[sha256(waiting.signed.raw).digest()]
        self._schedule.remove(waiting)

    def _judge(self, arrivals: Iterable[Arrival]) -> tuple[dict[int, Stored], dict[int, tuple[Stored, str]]]:
        """Return what the arrivals say: rows that receipts cover, rows that were refused and why."""
        receipted: dict[int, Stored] = {}
        parked: dict[int, tuple[Stored, str]] = {}
        for arrival in arrivals:
            issuer = ""
            try:
                kind, issuer = parse_topic(arrival.topic)
                if issuer not in self.members:
                    continue
                if kind == "receipts":
                    for epoch, sequence, receipt in decode_receipts(arrival.payload):
                        self._judge_receipt((issuer, epoch, sequence), receipt, receipted)
                elif kind == "refusals":
                    self._judge_refusal(issuer, *decode_refusal(arrival.payload), parked)
            except VerificationError as error:
                if issuer in self.members:
                    self.members[issuer].counts.unheeded[error.reason] += 1
        for row in receipted:
            parked.pop(row, None)  # A refusal is unsigned, a receipt is not.
        return receipted, parked

    def _judge_receipt(self, identity: Identity, receipt: bytes, receipted: dict[int, Stored]) -> None:
        counts = self.members[identity[0]].counts
        for clone in self._clones.get(identity, ()):
            if self._covers(receipt, clone.signed):  # The first other bytes became a leaf, as evidence.
                self._answer_injected(clone, Reason.EQUIVOCATION)
                return
        stored = self._outbox.find(*identity)
        if stored is None:
            counts.unheeded["not held"] += 1
        elif self._covers(receipt, stored.signed):
            receipted[stored.row] = stored
        else:
            counts.unheeded["not a receipt for these bytes"] += 1

    def _judge_refusal(
        self, issuer: str, digest: bytes, reason: str, parked: dict[int, tuple[Stored, str]]
    ) -> None:
        waiting = self._by_digest.get(digest)
        if waiting is None or waiting.signed.issuer != issuer:
            self.members[issuer].counts.unheeded["not held"] += 1
        elif waiting.row is None:
            self._answer_injected(waiting, reason)
        else:
            parked[waiting.row] = Stored(waiting.row, waiting.signed, reason), reason
            epoch = self.members[issuer].device.chain.epoch
            if reason == Reason.EQUIVOCATION and waiting.signed.epoch == epoch:
                self._overtaken.add(issuer)

    def _answer_injected(self, waiting: Waiting, reason: str) -> None:
        signed = waiting.signed
        self.members[signed.issuer].counts.answered[reason] += signed.records
        self._drop(waiting)
        if waiting.expected is Reason.EQUIVOCATION:
            identity = (signed.issuer, signed.epoch, signed.sequence)
            self._clones[identity].remove(waiting)
            if not self._clones[identity]:
                del self._clones[identity]

    def _covers(self, receipt: bytes, signed: Signed) -> bool:
        try:
            check_receipt(receipt, signed.leaf_hash, origin=self._log.origin, public_key=self._log.public_key)
        except VerificationError:
            return False
        return True


def _note_of(change: Change) -> str:
    """Return the name under which the outbox remembers that a change was stated."""
    match change:
        case Enrolment() | Rotation():  # Either brings a key into the registry, and only once.
            return f"enrolment {change.public_key.hex()}"
        case Revocation():
            return f"revocation {change.issuer} {change.kid.hex()}"
        case Admission():
            return f"admission {sha256(encode_admission(change)).hexdigest()}"


def _require_none(what: str, authority: str, refused: Iterable[tuple[Change, str]]) -> None:
    for _, why in refused:
        raise InputError("--enrol", f"{what} by {authority} is refused: {why}", "Check the authorities file.")
