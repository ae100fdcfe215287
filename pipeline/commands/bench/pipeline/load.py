"""What is sent: statements signed beforehand, or the same records unsigned as line protocol.

Messages are numbered; number n is the (n // devices)-th of device n % devices, so that a number follows from
what a statement says.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from multiprocessing import get_context
from typing import NamedTuple

from pipeline.edges.mqtt_packets import MESSAGE_IDS, publish_packet
from pipeline.log.merkle import hash_leaf
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.senml import Record, encode_pack, time_us
from pipeline.wire.statement import CONTENT_ENROLMENT, CONTENT_SENML, Statement, sign_statement
from pipeline.wire.topics import registry_topic, statements_topic

RECORDS = 10
START_S = 1_800_000_000.0
STEP_S = 60
SUBJECT = "station"
KIND = "air"
EPOCH = 1_800_000_000
QUANTITIES = ("no2", "o3", "so2", "pm2_5", "pm10")
PROCESSES = 2


class Outgoing(NamedTuple):
    """A message to be sent."""

    topic: str
    payload: bytes


def to_packets(messages: Sequence[Outgoing], first: int = 0) -> list[bytes]:
    """Return messages as MQTT packets, for a sender that has sent `first` before."""
    return [
        publish_packet(topic, number % MESSAGE_IDS + 1, payload)
        for number, (topic, payload) in enumerate(messages, first)
    ]


def issuer_of(device: int) -> str:
    """Return a device's name."""
    return f"urn:dev:ops:32473-bench-{device}"


def number_of(statement: Statement, devices: int) -> int:
    """Return which message a statement was."""
    return statement.sequence * devices + int(statement.issuer.rpartition("-")[2])


def records_of(device: int, sequence: int) -> list[Record]:
    """Return what a device measures: five quantities, twice."""
    start_s = START_S + STEP_S * sequence
    return [
        Record(
            QUANTITIES[i % len(QUANTITIES)],
            "ug/m3",
            round(20 + (device * 7 + sequence * 3 + i * i) % 600 / 10, 1),
            start_s + i // len(QUANTITIES) * STEP_S / 2,
        )
        for i in range(RECORDS)
    ]


@dataclass(slots=True)
class Chain:
    """A device's statements, one behind the other."""

    device: int
    sequence: int = 0
    previous: bytes = bytes(32)

    @property
    def signer(self) -> SeedSigner:
        """The device's key, which follows from its number."""
        return SeedSigner(sha256(b"bench %d" % self.device).digest())

    def sign(self, count: int) -> list[bytes]:
        """Return the next statements."""
        signer, issuer = self.signer, issuer_of(self.device)
        statements: list[bytes] = []
        for _ in range(count):
            raw = sign_statement(
                signer,
                issuer=issuer,
                subject=SUBJECT,
                content_type=CONTENT_SENML,
                epoch=EPOCH,
                sequence=self.sequence,
                previous=self.previous,
                payload=encode_pack(issuer, records_of(self.device, self.sequence)),
            )
            self.sequence += 1
            self.previous = hash_leaf(raw)
            statements.append(raw)
        return statements


def _sign(chains: Sequence[Chain], rounds: int) -> tuple[list[list[bytes]], Sequence[Chain]]:
    return [device.sign(rounds) for device in chains], chains


class Statements:
    """Signed statements of a fleet, one after the other of each device in turn."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self._chains: Sequence[Chain] = [Chain(device) for device in range(devices)]

    def sign(self, messages: int) -> list[Outgoing]:
        """Return at least so many messages more, signed by two processes."""
        rounds = -(-messages // self.devices)
        share = -(-self.devices // PROCESSES)
        shares = [self._chains[at : at + share] for at in range(0, self.devices, share)]
        with ProcessPoolExecutor(len(shares), get_context("spawn")) as pool:
            answers = list(pool.map(_sign, shares, [rounds] * len(shares)))
        self._chains = list(chain.from_iterable(chains for _, chains in answers))
        by_device = chain.from_iterable(statements for statements, _ in answers)
        topics = [statements_topic(issuer_of(device)) for device in range(self.devices)]
        by_round = zip(*by_device, strict=True)
        return [
            Outgoing(*sent)
            for sent in chain.from_iterable(zip(topics, raws, strict=True) for raws in by_round)
        ]


class Lines:
    """The same records, unsigned: line protocol in microseconds, a message's in one text."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self._number = 0

    def make(self, messages: int) -> list[Outgoing]:
        """Return so many messages more."""
        first, self._number = self._number, self._number + messages
        return [self._message(number) for number in range(first, self._number)]

    def _message(self, number: int) -> Outgoing:
        sequence, device = divmod(number, self.devices)
        issuer = issuer_of(device)
        lines = [
            f"{KIND},device={issuer},quantity={record.quantity},subject={SUBJECT} "
            f"value={record.value!r} {time_us(record)}"
            for record in records_of(device, sequence)
        ]
        return Outgoing(f"lines/{device}", "\n".join(lines).encode())


def enrolments(devices: int, authority: str, signer: SeedSigner) -> list[Outgoing]:
    """Return the statements by which an authority enrols the fleet."""
    topic, previous = registry_topic(authority), bytes(32)
    messages: list[Outgoing] = []
    for device in range(devices):
        raw = sign_statement(
            signer,
            issuer=authority,
            subject=issuer_of(device),
            content_type=CONTENT_ENROLMENT,
            epoch=1,
            sequence=device,
            previous=previous,
            payload=encode_enrolment(_enrolment(device, authority)),
        )
        previous = hash_leaf(raw)
        messages.append(Outgoing(topic, raw))
    return messages


def _enrolment(device: int, authority: str) -> Enrolment:
    signer, issuer = Chain(device).signer, issuer_of(device)
    return Enrolment(
        issuer=issuer,
        public_key=signer.public_key,
        department="bench",
        controller="bench",
        data_class="environment",
        kind=KIND,
        subject=SUBJECT,
        area="bench",
        longitude=121.5,
        latitude=31.2,
        height_m=3.0,
        accuracy={},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=0,
        possession=sign_possession(signer, authority, issuer),
    )
