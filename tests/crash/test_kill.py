"""kill -9 at every named durable step: after a restart nothing receipted is missing, and nothing is twice.

A child process runs all stages on the real embedded stores, between an inbox that delivers what has no
receipt yet and a sender that keeps receipts in a file, as devices would. It dies at one named step, another
child goes on in the same folder, and what both left is then judged by what was signed.
"""

import asyncio
import os
import signal
import sqlite3
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import durable
from pipeline.embedded import run_stages
from pipeline.folder import AUTHORITY, CityFolder, open_city
from pipeline.identity.authorities import parse_authorities
from pipeline.log.block import decode_body
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import parse_policy
from pipeline.log.receipt import check_receipt
from pipeline.ports import Delivery
from pipeline.stages import aggregator
from pipeline.verify.fsck import LogCheck
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.messages import decode_receipts
from pipeline.wire.possession import sign_possession
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_ENROLMENT, CONTENT_SENML, sign_statement
from pipeline.wire.topics import parse_topic, registry_topic, statements_topic

# Two devices in every shard.
ISSUERS = [f"urn:dev:ops:32473-crash-{number}" for number in (0, 1, 2, 3, 7, 9, 11, 25)]
CLOSE_AFTER_S = 0.03  # Many small blocks, quickly.
ROUNDS = 12
DEADLINE_S = 40.0

WRITERS = [*(f"bus.aggregator-{shard}" for shard in range(5)), "bus.bridge", "bus.log"]
STEPS = [
    *(f"{writer}.{moment}" for writer in WRITERS for moment in ("inserted", "commit", "committed")),
    *(
        f"{name}.{moment}"
        for name in ("points", "receipts")
        for moment in ("inserted", "commit", "committed")
    ),
    *(
        f"files.{folder}.{moment}"
        for folder in ("log", "publisher", "eeb")
        for moment in ("draft", "rename", "sync", "synced")
    ),
]


class Sent:
    """Everything that is ever sent: enrolments, then readings, by identity."""

    def __init__(self, authority: SeedSigner) -> None:
        self.enrolments: dict[tuple[str, int, int], bytes] = {}
        self.readings: dict[tuple[str, int, int], bytes] = {}
        for number, issuer in enumerate(ISSUERS):
            signer = SeedSigner(bytes([number + 1]) * 32)
            self.enrolments[AUTHORITY, 1, number] = _sign(
                authority,
                AUTHORITY,
                issuer,
                CONTENT_ENROLMENT,
                number,
                encode_enrolment(_enrolment(issuer, signer)),
            )
            for sequence in range(ROUNDS):
                record = Record("no2", "ug/m3", 20.0 + sequence, 1_800_000_000.0 + 60 * sequence)
                payload = encode_pack(issuer, [record])
                self.readings[issuer, 1, sequence] = _sign(
                    signer, issuer, "st", CONTENT_SENML, sequence, payload
                )


def _sign(
    signer: SeedSigner, issuer: str, subject: str, content: int | str, sequence: int, payload: bytes
) -> bytes:
    return sign_statement(
        signer,
        issuer=issuer,
        subject=subject,
        content_type=content,
        epoch=1,
        sequence=sequence,
        previous=bytes(32),
        payload=payload,
    )


def _enrolment(issuer: str, signer: SeedSigner) -> Enrolment:
    return Enrolment(
        issuer=issuer,
        public_key=signer.public_key,
        department="eeb",
        controller="eeb",
        data_class="environment",
        kind="air",
        subject="st",
        area="a",
        longitude=121.0,
        latitude=31.0,
        height_m=3.0,
        accuracy={},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=0,
        possession=sign_possession(signer, AUTHORITY, issuer),
    )


class Receipts:
    """A sender that keeps receipts in a file as devices would: durable before the courier is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: set[tuple[str, int, int]] = {identity for identity, _ in read_receipts(path)}
        self._file = path.open("ab", buffering=0)

    async def publish(self, topic: str, payload: bytes) -> None:
        if not topic.startswith("receipts/"):
            raise AssertionError(f"nothing here is refused: {topic}")
        name = topic.encode()
        frame = len(name).to_bytes(4, "big") + name + len(payload).to_bytes(4, "big") + payload
        self._file.write(frame)
        os.fsync(self._file.fileno())
        issuer = parse_topic(topic)[1]
        self.known |= {(issuer, receipt.epoch, receipt.sequence) for receipt in decode_receipts(payload)}


def read_receipts(path: Path) -> list[tuple[tuple[str, int, int], bytes]]:
    """Every whole receipt that was kept; a torn last frame was never told to anyone."""
    data = path.read_bytes() if path.exists() else b""
    found: list[tuple[tuple[str, int, int], bytes]] = []
    at = 0
    while at < len(data):
        parts: list[bytes] = []
        for _ in range(2):
            size = int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        if at > len(data):
            break
        issuer = parse_topic(parts[0].decode())[1]
        found += [((issuer, r.epoch, r.sequence), r.receipt) for r in decode_receipts(parts[1])]
    return found


class Resending:
    """An inbox that delivers, again and again, what has no receipt; devices wait for their enrolment's."""

    def __init__(self, sent: Sent, receipts: Receipts) -> None:
        self._sent = sent
        self._receipts = receipts
        self._turn = 0

    async def receive(self, limit: int, gather_s: float) -> Sequence[Delivery]:  # noqa: ARG002
        await asyncio.sleep(0.01)
        enrolled = self._receipts.known >= self._sent.enrolments.keys()
        wanted = self._sent.readings if enrolled else self._sent.enrolments
        self._turn += 1
        due = [
            identity for identity in wanted if identity not in self._receipts.known and self._is_due(identity)
        ]
        topic_of = statements_topic if enrolled else registry_topic
        return [Delivery(topic_of(identity[0]), wanted[identity], 0, 0) for identity in due[:limit]]

    def _is_due(self, identity: tuple[str, int, int]) -> bool:
        """One sequence a turn, so that there are many blocks; everything again every dozen turns."""
        return self._turn % ROUNDS == identity[2] % ROUNDS

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        pass


async def live(root: Path) -> None:
    """Run until everything has its receipt, is published and is stored."""
    folder, keys = open_city(root)
    sent = Sent(keys.authority)
    receipts = Receipts(root / "receipts")
    everything = sent.enrolments.keys() | sent.readings.keys()
    published: list[int] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        run_stages(folder, Resending(sent, receipts), receipts, published.append) as stages,
    ):
        while True:
            if stages.task.done():
                stages.task.result()
            counts = await stages.points.counts()
            placed = await stages.bus.last("log", 0)
            size = 0 if placed is None else placed.offset + 1
            stored = counts.stored + counts.superseded
            if (
                receipts.known >= everything
                and stored == len(sent.readings)
                and published
                and published[-1] == size
            ):
                return
            await asyncio.sleep(0.02)


def run_child(root: Path, crash_at: str = "", nth: int = 1) -> int:
    """Run `live` in a forked child; return its exit status, negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            durable._name, durable._nth = crash_at, nth
            aggregator.CLOSE_AFTER_S = CLOSE_AFTER_S
            asyncio.run(live(root))
            status = 0
        except BaseException:  # noqa: BLE001 - the child says what happened, and ends
            traceback.print_exc()
        finally:
            os._exit(status)
    _, code = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(code)


def judge(root: Path, before: dict[str, bytes]) -> None:
    """Every receipt holds, each statement is one leaf, fsck is clean, what was appended is unchanged."""
    folder = CityFolder(root)
    policy = parse_policy(folder.policy.read_bytes())
    authorities = parse_authorities(folder.authorities.read_bytes())
    _, keys = open_city(root)
    sent = Sent(keys.authority)
    statements = sent.enrolments | sent.readings

    leaves: Counter[bytes] = Counter()
    for path in (folder.log / "block").rglob("*"):
        if path.is_file():
            leaves.update(hash_leaf(raw) for raw in decode_body(path.read_bytes())[1:])
    assert leaves == Counter(hash_leaf(raw) for raw in statements.values())

    for identity, receipt in read_receipts(root / "receipts"):
        leaf_hash = hash_leaf(statements[identity])
        check_receipt(receipt, leaf_hash, origin=keys.log.name, public_key=keys.log.signer.public_key)

    def read(path: str) -> bytes | None:
        file = folder.log / path
        return file.read_bytes() if file.is_file() else None

    check = LogCheck(read, policy, authorities)
    assert list(check.run()) == []
    assert check.tally.statements == len(statements)
    after = entries_of(root)
    assert {offset: after.get(offset) for offset in before} == before, (
        "an entry changed after it was appended"
    )


def entries_of(root: Path) -> dict[str, bytes]:
    """The log's entries, and every block body by its shard and height, as the bus has them."""
    database = root / "state" / "bus.db"
    if not database.exists():
        return {}
    with closing(sqlite3.connect(database)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if "message" not in tables and "messages" not in tables:
            return {}
    return asyncio.run(_read_entries(database))


async def _read_entries(database: Path) -> dict[str, bytes]:
    from pipeline.edges.sqlite_bus import BusView

    found: dict[str, bytes] = {}
    async with BusView.attach(database) as bus:
        for topic, partitions in (("log", 1), ("blocks", 5)):
            async with bus.reader(topic, range(partitions)) as reader:
                while messages := await reader.read(1000, 0.0):
                    found.update({f"{topic}/{m.partition}/{m.offset}": m.value for m in messages})
    return found


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_durable_step(step: str, tmp_path: Path) -> None:
    """Killed there, the next start on the same folder loses nothing and repeats nothing."""
    assert run_child(tmp_path, step) == -signal.SIGKILL, f"step {step} was never reached"
    before = entries_of(tmp_path)
    assert run_child(tmp_path) == 0
    judge(tmp_path, before)


def test_enough_steps_are_named() -> None:
    """At least thirty durable steps have a name."""
    assert len(set(STEPS)) >= 30
