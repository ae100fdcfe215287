"""A fleet's turns: durable before sent, deleted on a verified receipt alone, parked only what is held."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import cast

import pytest

from devices.device import Device, Signed
from devices.faults import Fault, Injection
from devices.fleet import Fleet, LogKey
from devices.link import Arrival, Link
from devices.outbox import Outbox
from pipeline.wire.keys import SeedSigner, Signer
from pipeline.wire.messages import encode_receipts, encode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record
from pipeline.wire.statement import parse_statement
from pipeline.wire.topics import receipts_topic, refusals_topic
from tests.devices.fakes import ORIGIN, FakeLink, Receipts

A, B = "urn:dev:ops:32473-test-a", "urn:dev:ops:32473-test-b"


class Rig:
    """A fleet of two devices on an outbox, a link without a network, and a log that gives receipts."""

    def __init__(self, path: Path) -> None:
        self.receipts = Receipts()
        self.outbox = Outbox(path)
        self.link = FakeLink()
        log = LogKey(ORIGIN, self.receipts.signer.public_key)
        self.first_sent: list[Signed] = []
        self.fleet = Fleet(
            self.outbox, log, Random(1), first_sent=lambda signed, _time_s: self.first_sent.append(signed)
        )
        self.fleet.join([(SeedSigner(bytes(32)), A, "station/a"), (SeedSigner(b"\x01" * 32), B, "station/b")])
        self.value = 0.0

    def device(self, issuer: str) -> Device:
        return self.fleet.members[issuer].device

    def sign(self, issuer: str, records: int = 1) -> Signed:
        self.value += 1.0
        return self.device(issuer).sign_records(
            [Record("pm2_5", "ug/m3", self.value, 1_700_000_000.0 + number) for number in range(records)]
        )

    def turn(self, *signed: Signed) -> None:
        self.fleet.turn(cast("Link", self.link), signed)

    def receipt(self, signed: Signed, receipt: bytes) -> None:
        message = encode_receipts([(signed.epoch, signed.sequence, receipt)])
        self.link.arrivals.append(Arrival(receipts_topic(signed.issuer), message))

    def refuse(self, issuer: str, raw: bytes, reason: Reason) -> None:
        refusal = encode_refusal(sha256(raw).digest(), reason)
        self.link.arrivals.append(Arrival(refusals_topic(issuer), refusal))

    def held(self, signed: Signed) -> bool:
        return self.outbox.find(signed.issuer, signed.epoch, signed.sequence) is not None


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "outbox.db")
    yield rig
    rig.outbox.close()


def test_a_statement_is_durable_before_it_is_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment the link is handed a statement, the outbox file holds it."""
    seen: list[bool] = []

    def publish(topic: str, payload: bytes) -> bool:
        statement = parse_statement(payload)
        stored = rig.outbox.find(statement.issuer, statement.epoch, statement.sequence)
        seen.append(stored is not None and stored.signed.raw == payload and not rig.outbox._db.in_transaction)
        return True

    monkeypatch.setattr(rig.link, "publish", publish)
    rig.turn(rig.sign(A), rig.sign(B), rig.sign(A))
    assert seen == [True, True, True]


def test_a_receipt_ends_the_stay_in_the_outbox(rig: Rig) -> None:
    """A verified receipt deletes its statement and no other."""
    first, second = rig.sign(A), rig.sign(A)
    rig.turn(first, second)
    rig.receipt(first, *rig.receipts.sign([first.raw]))
    rig.turn()
    assert not rig.held(first)
    assert rig.held(second)
    assert rig.fleet.totals().receipted == 1
    assert rig.fleet.totals().waiting == 1


def test_one_message_may_hold_true_and_false_receipts(rig: Rig) -> None:
    """A false receipt does not keep the true ones beside it from counting."""
    first, second = rig.sign(A), rig.sign(A)
    rig.turn(first, second)
    (true,) = rig.receipts.sign([second.raw])
    message = encode_receipts([(first.epoch, 0, true), (first.epoch, 7, true), (second.epoch, 1, true)])
    rig.link.arrivals.append(Arrival(receipts_topic(A), message))
    rig.turn()
    assert rig.held(first)
    assert not rig.held(second)
    unheeded = dict(rig.fleet.totals().unheeded)
    assert unheeded == {"not held": 1, "not a receipt for these bytes": 1}


def false_receipts(rig: Rig, signed: Signed, other: Signed) -> dict[str, bytes]:
    (true,) = rig.receipts.sign([signed.raw])
    return {
        "of another leaf": rig.receipts.sign([other.raw])[0],
        "of another log's key": Receipts(b"\x08" * 32).sign([signed.raw])[0],
        "of another origin": rig.receipts.sign([signed.raw], origin="log.test/other")[0],
        "with a flipped bit": true[:-1] + bytes([true[-1] ^ 1]),
        "cut short": true[:-1],
        "no receipt": b"receipt",
        "empty": b"",
    }


@pytest.mark.parametrize(
    "kind",
    [
        "of another leaf",
        "of another log's key",
        "of another origin",
        "with a flipped bit",
        "cut short",
        "no receipt",
        "empty",
    ],
)
def test_a_false_receipt_deletes_nothing(rig: Rig, kind: str) -> None:
    """What claims to be a receipt and is none for these bytes by this log leaves the statement waiting."""
    signed, other = rig.sign(A), rig.sign(B)
    rig.turn(signed, other)
    rig.receipt(signed, false_receipts(rig, signed, other)[kind])
    rig.turn()
    assert rig.held(signed)
    assert rig.held(other)
    assert rig.fleet.totals().receipted == 0
    assert rig.fleet.totals().unheeded == {"not a receipt for these bytes": 1}


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\x81\x01", b"\xff" * 100, b"\x9f"], ids=bytes.hex)
@pytest.mark.parametrize("topic", [receipts_topic, refusals_topic])
def test_malformed_answers_change_nothing(rig: Rig, topic: type, payload: bytes) -> None:
    """An answer that does not decode is counted and otherwise ignored."""
    signed = rig.sign(A)
    rig.turn(signed)
    rig.link.arrivals.append(Arrival(topic(A), payload))
    rig.turn()
    assert rig.held(signed)
    assert rig.fleet.totals().unheeded.total() == 1


def test_answers_to_others_are_ignored(rig: Rig) -> None:
    """A receipt under the topic of a stranger, or of another device of the fleet, deletes nothing."""
    signed = rig.sign(A)
    rig.turn(signed)
    (true,) = rig.receipts.sign([signed.raw])
    message = encode_receipts([(signed.epoch, signed.sequence, true)])
    for issuer in (B, "urn:dev:ops:32473-test-c"):
        rig.link.arrivals.append(Arrival(receipts_topic(issuer), message))
        rig.refuse(issuer, signed.raw, Reason.KEY_UNKNOWN)
    rig.link.arrivals.append(Arrival("weather/today", message))
    rig.turn()
    stored = rig.outbox.find(A, signed.epoch, signed.sequence)
    assert stored is not None
    assert stored.parked is None


def test_a_refused_statement_is_parked_and_sent_no_more(rig: Rig) -> None:
    """A refusal of bytes that are held parks them with the reason; the next start does not send them."""
    signed = rig.sign(A)
    rig.turn(signed)
    rig.refuse(A, signed.raw, Reason.KEY_UNKNOWN)
    rig.turn()
    stored = rig.outbox.find(A, signed.epoch, signed.sequence)
    assert stored is not None
    assert stored.parked == "key_unknown"
    assert rig.fleet.idle
    assert rig.outbox.load(0, 10) == []
    assert rig.fleet.totals().parked == {"key_unknown": 1}


def test_a_refusal_of_bytes_not_held_changes_nothing(rig: Rig) -> None:
    """A refusal parks only these very bytes: not those of another digest under the same device."""
    signed = rig.sign(A)
    rig.turn(signed)
    rig.refuse(A, signed.raw + b"\x00", Reason.KEY_UNKNOWN)
    rig.turn()
    stored = rig.outbox.find(A, signed.epoch, signed.sequence)
    assert stored is not None
    assert stored.parked is None
    assert rig.fleet.totals().unheeded == {"not held": 1}


@pytest.mark.parametrize("together", [True, False])
def test_a_receipt_outweighs_a_refusal(rig: Rig, together: bool) -> None:
    """A refusal is unsigned: a true receipt, with it or after it, deletes what it had parked."""
    signed = rig.sign(A)
    rig.turn(signed)
    rig.refuse(A, signed.raw, Reason.SEQUENCE_OLD)
    if not together:
        rig.turn()
    rig.receipt(signed, *rig.receipts.sign([signed.raw]))
    rig.turn()
    assert not rig.held(signed)
    totals = rig.fleet.totals()
    assert (totals.receipted, totals.parked.total(), totals.waiting) == (1, 0, 0)


def test_an_overtaken_device_begins_a_new_epoch(rig: Rig) -> None:
    """Told that other bytes stand under its sequence a device begins an epoch, linked to its last receipt."""
    first, second, third = rig.sign(A), rig.sign(A), rig.sign(A)
    rig.turn(first, second, third)
    rig.receipt(first, *rig.receipts.sign([first.raw]))
    rig.refuse(A, second.raw, Reason.EQUIVOCATION)
    rig.turn()
    fourth = rig.sign(A)
    rig.turn(fourth)
    statement = parse_statement(fourth.raw)
    assert statement.epoch > first.epoch
    assert (statement.sequence, statement.previous) == (0, first.leaf_hash)
    rig.refuse(A, third.raw, Reason.EQUIVOCATION)  # Of the epoch that has ended: news to nobody.
    rig.turn()
    rig.turn()
    assert (rig.sign(A).epoch, rig.device(A).chain.sequence) == (fourth.epoch, 2)


def test_a_restart_sends_what_waits(rig: Rig, tmp_path: Path) -> None:
    """What has no receipt is sent again by the next process, byte for byte, and the chain goes on."""
    first, second = rig.sign(A), rig.sign(B)
    rig.turn(first, second)
    rig.outbox.close()
    again = Rig(tmp_path / "outbox.db")
    again.turn()
    assert [raw for _, raw in again.link.published] == [first.raw, second.raw]
    third = again.sign(A)
    assert (third.epoch, third.sequence) == (first.epoch, 1)
    assert parse_statement(third.raw).previous == first.leaf_hash
    again.outbox.close()


def test_nothing_is_sent_without_a_connection(rig: Rig) -> None:
    """While the link is not ready statements stay in the outbox; nothing is counted as published."""
    rig.link.ready.clear()
    signed = rig.sign(A)
    rig.turn(signed)
    assert rig.link.published == []
    assert rig.fleet.totals().published == 0
    rig.link.ready.set()
    rig.turn()
    assert [raw for _, raw in rig.link.published] == [signed.raw]
    assert rig.first_sent == [signed]


class Echo(Fault):
    """Sends the bytes it is given beside every statement."""

    def __init__(self, injections: list[Injection]) -> None:
        super().__init__(Random(1))
        self.injections = injections

    def beside(self, _signed: Signed, _signer: Signer) -> list[Injection]:
        return self.injections


def test_injected_bytes_are_counted_by_expected_reason(rig: Rig) -> None:
    """Bytes of a fault count as published and, by reason, as refused; the same bytes again as duplicates."""
    signed = rig.sign(A, records=3)
    noise = Injection(b"noise", Reason.CBOR_TRUNCATED)
    rig.fleet.members[A].faults = [Echo([noise, Injection(signed.raw, None)])]
    rig.turn(signed)
    rig.turn()
    totals = rig.fleet.totals()
    assert (totals.published, totals.duplicates, totals.injected) == (4, 3, {"cbor_truncated": 1})
    assert totals.waiting == 4
    rig.refuse(A, noise.raw, Reason.CBOR_TRUNCATED)
    rig.receipt(signed, *rig.receipts.sign([signed.raw]))
    rig.turn()
    totals = rig.fleet.totals()
    assert (totals.receipted, totals.answered, totals.waiting) == (3, {"cbor_truncated": 1}, 0)
    assert rig.fleet.idle


def test_a_receipt_for_a_clone_deletes_nothing(rig: Rig) -> None:
    """A clone's bytes under the same identity are answered by their own receipt; ours go on waiting."""
    signed = rig.sign(A)
    clone = Device(SeedSigner(bytes(32)), A, "station/a", rig.device(A).chain)
    clone.chain = type(clone.chain)(signed.epoch, signed.sequence, bytes(32))
    other = clone.sign_records([Record("pm2_5", "ug/m3", 99.0, 1_700_000_000.0)])
    rig.fleet.members[A].faults = [Echo([Injection(other.raw, Reason.EQUIVOCATION)])]
    rig.turn(signed)
    rig.turn()
    rig.receipt(signed, *rig.receipts.sign([other.raw]))
    rig.turn()
    assert rig.held(signed)
    totals = rig.fleet.totals()
    assert (totals.answered, totals.receipted, totals.waiting) == ({"equivocation": 1}, 0, 1)
    rig.receipt(signed, *rig.receipts.sign([signed.raw]))
    rig.turn()
    assert not rig.held(signed)
    assert rig.fleet.idle


def test_a_new_connection_brings_what_is_in_flight_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reconnect what has no answer is sent again within seconds, before its own back-off ends."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    first, second = rig.sign(A), rig.sign(A)
    rig.turn(first, second)
    rig.receipt(first, *rig.receipts.sign([first.raw]))
    rig.turn()
    rig.link.generation += 1
    rig.turn()
    clock[0] += 2.5
    rig.turn()
    assert [raw for _, raw in rig.link.published] == [first.raw, second.raw, second.raw]
    assert rig.fleet.totals().published == 2
    assert rig.fleet.totals().resent == 1


def test_a_long_backlog_is_sent_in_order_and_in_bounded_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog larger than what may be loaded is sent whole, in signing order, a part at a time."""
    monkeypatch.setattr("devices.fleet.LOADED_MAX", 10)
    rig.link.ready.clear()
    backlog = [rig.sign(A) for _ in range(55)]
    rig.turn(*backlog)
    assert rig.fleet._schedule.size == 10
    assert rig.fleet.room is False
    rig.link.ready.set()
    for _ in range(20):
        rig.turn()
        for _, raw in rig.link.published[-10:]:
            signed = next(one for one in backlog if one.raw == raw)
            rig.receipt(signed, *rig.receipts.sign([raw]))
    assert [raw for _, raw in rig.link.published] == [one.raw for one in backlog]
    assert rig.fleet.idle
    assert rig.outbox.totals().waiting == 0
