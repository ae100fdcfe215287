"""An authority's desk: what a person has approved is signed, made durable, and sent until the log has it.

The outbox stands beside the key as `<key file>.outbox`, for a chain belongs to one key and must never be
lost. An authority whose key is on a machine without a network signs into a file, and another machine sends.
"""

import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Event

from devices.device import Device, new_epoch
from devices.fleet import Fleet, LogKey
from devices.keyfile import load_key
from devices.link import Arrival, Link
from devices.outbox import Outbox
from pipeline.log.merkle import hash_leaf
from pipeline.log.receipt import check_receipt
from pipeline.wire import cbor
from pipeline.wire.changes import Change
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.statement import Statement, parse_statement
from pipeline.wire.topics import parse_topic, receipts_topic, refusals_topic, registry_topic

TITLE = "cityproof statements 1"
WAIT_S = 30.0
RESEND_S = 5.0


class Desk:
    """An authority with its key and its outbox.

    Args:
        key: The authority's key file.

    Raises:
        InputError: It is unusable.
    """

    def __init__(self, key: Path) -> None:
        self.signer, self.authority = load_key(key)
        self._outbox = key.with_name(key.name + ".outbox")

    def state(
        self, broker: str, log: LogKey, changes: Sequence[Change], stopping: Event
    ) -> list[tuple[Change, str]]:
        """State changes in the log; return those that were refused, each with the reason.

        Raises:
            InputError: The broker or the log does not answer; what was signed is sent the next time.
        """
        with self._open() as outbox:
            fleet = Fleet(outbox, log, Random())
            fleet.join([(self.signer, self.authority, self.authority)], authority=True)
            with Link(broker, f"cityproof-desk-{self.authority}", fleet.subscriptions, Random()) as link:
                deadline_s = time.monotonic() + WAIT_S
                return fleet.state(link, self.authority, changes, deadline_s, stopping, lambda: None)

    def sign(self, changes: Iterable[Change]) -> list[bytes]:
        """Return changes as signed statements, for another machine to send."""
        with self._open() as outbox:
            chain = outbox.chain(self.authority)
            if chain is None:
                chain = new_epoch(time.time())
                outbox.begin({self.authority: chain})
            device = Device(self.signer, self.authority, self.authority, chain)
            signed = [device.sign_change(change) for change in changes]
            # A crash behind this leaves sequences that nobody sees: a gap, and never two under one.
            outbox.commit(signed)
        return [one.raw for one in signed]

    def _open(self) -> Outbox:
        """Open the outbox, which is for the same eyes as the key."""
        self._outbox.touch(mode=0o600)
        return Outbox(self._outbox)


def write_statements(path: Path, statements: Sequence[bytes]) -> None:
    """Write signed statements into a file for `cityproof device send`.

    Raises:
        InputError: It cannot be written.
    """
    try:
        path.write_bytes(cbor.encode([TITLE, list(statements)]))
    except OSError as error:
        problem = f"cannot write {path}: {error.strerror}"
        raise InputError("--out", problem, "Choose a folder you may write to.") from error


def read_statements(path: Path) -> list[Statement]:
    """Return the statements in a file; the log checks their signatures.

    Raises:
        InputError: It cannot be read, or is no such file.
        VerificationError: A statement in it is damaged.
    """
    remedy = "Name a file that `cityproof device approve --out` has written."
    try:
        data = path.read_bytes()
        fields = cbor.decode(data, size_max=len(data))
    except OSError as error:
        raise InputError(str(path), f"cannot read it: {error.strerror}", remedy) from error
    except VerificationError as error:
        raise InputError(str(path), f"it holds no statements: {error}", remedy) from error
    match fields:
        case [title, list() as statements] if title == TITLE and statements:
            return [parse_statement(raw) for raw in statements if isinstance(raw, bytes)]
    raise InputError(str(path), "it holds no statements", remedy)


def send(
    broker: str, log: LogKey, statements: Sequence[Statement], stopping: Event
) -> dict[bytes, str | None]:
    """Send signed statements until each is answered; return None or why it was refused, by leaf hash.

    Raises:
        InputError: Broker or log did not answer in time; the file is still there to be sent.
    """
    waiting = {hash_leaf(one.raw): one for one in statements}
    answers: dict[bytes, str | None] = {}
    topics = [
        topic(issuer)
        for issuer in {one.issuer for one in statements}
        for topic in (receipts_topic, refusals_topic)
    ]
    client = f"cityproof-send-{next(iter(waiting)).hex()[:16]}"
    deadline_s, due_s = time.monotonic() + WAIT_S, 0.0
    with Link(broker, client, topics, Random()) as link:
        while waiting and not stopping.is_set():
            now_s = time.monotonic()
            if now_s >= deadline_s:
                problem = link.problem or "no answer: is the log running?"
                raise InputError("--broker", problem, "Start the pipeline and run this again.")
            if link.ready.is_set() and now_s >= due_s:
                due_s = now_s + RESEND_S
                for one in waiting.values():
                    link.publish(registry_topic(one.issuer), one.raw)
            for arrival in link.receive(0.05, 64):
                for leaf_hash, why in _judge(arrival, log, waiting).items():
                    answers[leaf_hash] = why
                    del waiting[leaf_hash]
    return answers


def _judge(arrival: Arrival, log: LogKey, waiting: dict[bytes, Statement]) -> dict[bytes, str | None]:
    """Return what a message says of what waits; what it does not prove is nothing."""
    try:
        kind, issuer = parse_topic(arrival.topic)
        if kind == "refusals":
            digest, reason = decode_refusal(arrival.payload)
            return {
                leaf_hash: reason
                for leaf_hash, one in waiting.items()
                if one.issuer == issuer and sha256(one.raw).digest() == digest
            }
        receipts = decode_receipts(arrival.payload)
    except VerificationError:
        return {}
    places = {(one.issuer, one.epoch, one.sequence): leaf_hash for leaf_hash, one in waiting.items()}
    found: dict[bytes, str | None] = {}
    for epoch, sequence, receipt in receipts:
        leaf_hash = places.get((issuer, epoch, sequence))
        if leaf_hash is None:
            continue
        try:
            check_receipt(receipt, leaf_hash, origin=log.origin, public_key=log.public_key)
        except VerificationError:
            continue
        found[leaf_hash] = None
    return found
