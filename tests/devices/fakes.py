"""Stand-ins for what devices speak to: a log that gives true receipts, a link without a network, a broker."""

import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from devices.link import Arrival
from pipeline.log.block import seal, sign_block
from pipeline.log.manifest import Manifest
from pipeline.log.note import TYPE_ED25519, NoteKey, encode_vkey
from pipeline.log.receipt import make_receipt
from pipeline.wire.enrolment import Enrolment, decode_enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner, encode_key_file
from pipeline.wire.messages import encode_receipts, encode_refusal
from pipeline.wire.possession import check_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import (
    Rotation,
    SequencePlace,
    check_rotation_signatures,
    decode_rotation,
)
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import (
    CONTENT_ENROLMENT,
    CONTENT_ROTATION,
    parse_statement,
    record_count,
    verify_statement,
)
from pipeline.wire.topics import parse_topic, receipts_topic, refusals_topic

ORIGIN = "log.test/devices"


class Receipts:
    """A log that gives true receipts for whatever it is handed."""

    def __init__(self, seed: bytes = b"\x07" * 32) -> None:
        self.signer = SeedSigner(seed)
        self._height = 0

    def sign(self, statements: list[bytes], origin: str = ORIGIN) -> list[bytes]:
        """Seal the statements into a block, sign it, and return the receipt of each."""
        manifest = Manifest(
            shard=1,
            height=self._height,
            previous=bytes(32),
            topic_id=bytes(16),
            offset_first=0,
            offset_last=len(statements),
            arrival_first_ms=0,
            arrival_last_ms=0,
            accepted=len(statements),
            duplicates=0,
            refused={},
            refused_hash=bytes(32),
            registry_blocks=0,
            registry_root=bytes(32),
        )
        self._height += 1
        sealed = seal(manifest, statements)
        raw = sign_block(self.signer, origin, manifest, sealed.root, sealed.manifest_hash)
        size = len(statements) + 1
        return [make_receipt(raw, size, leaf, sealed.tree.path(leaf)) for leaf in range(1, size)]


class FakeLink:
    """A link that keeps what is published, and hands out what a test puts into `arrivals`."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.ready.set()
        self.generation = 1
        self.problem = ""
        self.published: list[tuple[str, bytes]] = []
        self.waited_s = 0.0
        self.arrivals: list[Arrival] = []

    def publish(self, topic: str, payload: bytes) -> bool:
        self.published.append((topic, payload))
        return True

    def receive(self, wait_s: float, limit: int) -> list[Arrival]:
        self.waited_s += wait_s
        taken, self.arrivals = self.arrivals[:limit], self.arrivals[limit:]
        return taken


class FakeLog:
    """A log behind a broker: it refuses, seals and receipts as an aggregator and a courier would.

    `published` counts the records of distinct byte strings, `stored` keeps those that became leaves and are
    no evidence, `refused` counts the others by reason.
    """

    def __init__(self, folder: Path) -> None:
        self.receipts = Receipts()
        self.stored: dict[tuple[str, int, int], bytes] = {}
        self.refused: Counter[str] = Counter()
        self.seen: set[bytes] = set()
        self.published = 0
        self.duplicates = 0
        self.enrolled: dict[tuple[str, bytes], bytes] = {}
        self.enrolments: list[Enrolment] = []
        self.spans: dict[bytes, tuple[SequencePlace, SequencePlace | None]] = {}
        self.lose: Callable[[str, bytes], bool] = lambda _topic, _raw: False
        self._open: list[tuple[str, int, int, bytes]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.authority = SeedSigner(b"\x21" * 32)
        self.authority_key = folder / "authority.key"
        self.authority_key.write_text(encode_key_file(b"\x21" * 32, "https://authority.example/ecology"))
        self.authority_key.chmod(0o600)
        self.policy = folder / "policy.txt"
        vkey = encode_vkey(NoteKey(ORIGIN, TYPE_ED25519, self.receipts.signer.public_key))
        self.policy.write_text(f"log {vkey}\nquorum none\n")

    def start(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="fake-log")
        self._client.on_message = self._arrived
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.subscribe([("statements/+", 1), ("registry/+", 1)])
        self._client.loop_start()
        assert ready.wait(10)
        self._thread = threading.Thread(target=self._seal_forever)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _arrived(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        raw = bytes(message.payload)
        if self.lose(message.topic, raw):
            return
        name = parse_topic(message.topic)[1]
        with self._lock:
            known = sha256(raw).digest() in self.seen
            if not known:
                self.seen.add(sha256(raw).digest())
            try:
                self._admit(raw, known)
            except VerificationError as error:
                if not known:
                    self.refused[error.reason] += record_count(raw)
                    self.published += record_count(raw)
                refusal = encode_refusal(sha256(raw).digest(), error.reason)
                self._client.publish(refusals_topic(name), refusal, qos=1)

    def _admit(self, raw: bytes, known: bool) -> None:
        statement = parse_statement(raw)
        identity = (statement.issuer, statement.epoch, statement.sequence)
        if statement.content_type == CONTENT_ENROLMENT:
            verify_statement(statement, self.authority.public_key)
            enrolment = decode_enrolment(statement.payload)
            check_possession(enrolment.possession, statement.issuer, enrolment.issuer, enrolment.public_key)
            self.enrolments.append(enrolment)
            self.enrolled[enrolment.issuer, _kid(enrolment.public_key)] = enrolment.public_key
            self._open.append((*identity, raw))
            return
        if statement.content_type == CONTENT_ROTATION:
            verify_statement(statement, self.authority.public_key)
            self._rotate(decode_rotation(statement.payload), statement.issuer)
            self._open.append((*identity, raw))
            return
        public_key = self.enrolled.get((statement.issuer, statement.kid))
        if public_key is None:
            raise VerificationError(Reason.KEY_UNKNOWN)
        place = statement.epoch, statement.sequence
        starts, ends = self.spans.get(public_key, ((0, 0), None))
        if place < starts or (ends is not None and place >= ends):
            raise VerificationError(Reason.KEY_SPAN)
        verify_statement(statement, public_key)
        records = len(decode_pack(statement.payload, statement.issuer))
        first = self.stored.setdefault(identity, raw)
        self.duplicates += known
        if first != raw and known:
            raise VerificationError(Reason.EQUIVOCATION)
        if not known:
            self.published += records
        if first != raw:
            self.refused[Reason.EQUIVOCATION] += records
        self._open.append((*identity, raw))

    def _rotate(self, rotation: Rotation, authority: str) -> None:
        old = self.enrolled[rotation.issuer, rotation.old_kid]
        starts, ends = self.spans.get(old, ((0, 0), None))
        if ends is not None:
            raise VerificationError(Reason.KEY_ENDED)
        check_rotation_signatures(rotation, authority, old)
        self.enrolled[rotation.issuer, _kid(rotation.public_key)] = rotation.public_key
        self.spans[old] = starts, rotation.starts
        self.spans[rotation.public_key] = rotation.starts, None

    def _seal_forever(self) -> None:
        while not self._stopping.wait(0.05):
            with self._lock:
                batch, self._open = self._open[:1000], self._open[1000:]
            if not batch:
                continue
            by_issuer: dict[str, list[tuple[int, int, bytes]]] = {}
            for (issuer, epoch, sequence, _), receipt in zip(
                batch, self.receipts.sign([raw for *_, raw in batch]), strict=True
            ):
                by_issuer.setdefault(issuer, []).append((epoch, sequence, receipt))
            for issuer, items in by_issuer.items():
                self._client.publish(receipts_topic(issuer), encode_receipts(items), qos=1)


def _kid(public_key: bytes) -> bytes:
    return sha256(public_key).digest()[:8]


class Broker:
    """An amqtt broker on a free loopback port, in a process of its own that is stopped by SIGKILL."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        child = Path(__file__).with_name("broker_child.py")
        command = [sys.executable, str(child), str(self.port)]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
