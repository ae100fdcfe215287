"""The auditor: what it finds is kept before it is sent, sent until a receipt covers it, and told once."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from pipeline.edges.sqlite_findings import SqliteFindings
from pipeline.log.block import seal, sign_block
from pipeline.log.merkle import hash_leaf
from pipeline.log.receipt import make_receipt
from pipeline.ports import ChainState, Delivery
from pipeline.stages import auditor as stage
from pipeline.verify.store_watch import StoreWatch
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.finding import Finding, decode_finding
from pipeline.wire.keys import SeedSigner
from pipeline.wire.messages import encode_receipts, encode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_FINDING, parse_statement, verify_statement
from pipeline.wire.topics import statements_topic
from tests.support.city import LOG, NOW_MS, ORIGIN, POLICY, ForgedLog, device_in, enrol, seed
from tests.support.stored_points import MemoryStore, project

AUDITOR = "https://audit.example/"
KEY = SeedSigner(seed("auditor"))


class Sender:
    """Takes what is published, and may fail to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.on_sent: Callable[[bytes], None] = lambda _raw: None
        self.broken = False

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.broken:
            raise UnavailableError("broker", "gone")
        self.sent.append((topic, payload))
        self.on_sent(payload)


class Inbox:
    """Messages that come in."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self.acknowledged = 0

    def put(self, topic: str, payload: bytes) -> None:
        self.queue.put_nowait(Delivery(topic, payload, 1, 1))

    async def receive(self, limit: int, gather_s: float) -> Sequence[Delivery]:
        assert limit > 0 <= gather_s
        return [await self.queue.get()]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += len(deliveries)


class Clock:
    """Stands still."""

    def now_s(self) -> float:
        return NOW_MS / 1000


class Scene:
    """A log, a store of it, and an auditor with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = ForgedLog()
        device = device_in(1)
        self.log.enrol(enrol(device, 0))
        for _ in range(3):
            self.log.add(1, [device.read(records=4)])
        self.log.publish(time_s=NOW_MS // 1000)
        self.store = MemoryStore()
        project(self.log, self.store)
        self.told: list[Finding] = []
        self.found = asyncio.Event()
        self.sender, self.inbox = Sender(), Inbox()

    @contextmanager
    def open_store(self) -> Iterator[MemoryStore]:
        yield self.store

    @asynccontextmanager
    async def auditor(self) -> AsyncGenerator[tuple[stage.Auditor, SqliteFindings, stage.Reporter]]:
        """Start one, with what the last one kept."""
        async with AsyncExitStack() as stack:
            outbox = await stack.enter_async_context(SqliteFindings.open(self.folder / "findings.db"))
            watch = StoreWatch(await stage.known_findings(outbox), await outbox.settled(), 60)
            comparing = stage.StoreAuditor(self.log.files.get, POLICY, self.open_store, watch)
            signatory = await stage.open_signatory(AUDITOR, KEY, outbox, Clock())
            reporter = stage.Reporter(signatory, outbox, self.sender, POLICY)
            yield (
                stage.Auditor(comparing, reporter, outbox, self.inbox, Clock(), self.hear),
                outbox,
                reporter,
            )

    def hear(self, findings: Sequence[Finding]) -> None:
        self.told += findings
        if findings:
            self.found.set()

    def alter(self, number: int) -> None:
        """Change the value of a point."""
        key = list(self.store.points)[number]
        old = self.store.points[key]
        self.store.points[key] = type(old)(old.value + 1, old.ref)

    def answer_all(self) -> None:
        """Answer what is sent with its receipt."""
        self.sender.on_sent = lambda raw: self.inbox.put("receipts/x", receipts(raw))


def receipts(raw: bytes, signer: SeedSigner | None = None) -> bytes:
    """The message that shows a statement to be in the log, in a block of its own."""
    log = ForgedLog()
    manifest = log.add(1, [raw])
    block = seal(manifest, [raw])
    signed = sign_block(signer or SeedSigner(seed("log")), ORIGIN, manifest, block.root, block.manifest_hash)
    statement = parse_statement(raw)
    receipt = make_receipt(signed, 2, 1, block.tree.path(1))
    return encode_receipts([(statement.epoch, statement.sequence, receipt)])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_a_finding_is_a_statement_of_the_auditor(scene: Scene) -> None:
    """Signed by its key, about the point's subject, each linked to the one before."""
    scene.answer_all()
    scene.alter(0)
    scene.alter(5)
    async with scene.auditor() as (auditor, outbox, _):
        assert await auditor.once(5)
        assert await outbox.waiting(10) == []
    assert [topic for topic, _ in scene.sender.sent] == [statements_topic(AUDITOR)] * 2
    first, second = (parse_statement(raw) for _, raw in scene.sender.sent)
    for statement in (first, second):
        verify_statement(statement, KEY.public_key)
        assert (statement.issuer, statement.subject) == (AUDITOR, "station-1")
        assert statement.content_type == CONTENT_FINDING
    assert (first.epoch, first.sequence, first.previous) == (NOW_MS // 1000, 0, bytes(32))
    assert (second.epoch, second.sequence, second.previous) == (first.epoch, 1, hash_leaf(first.raw))
    assert [decode_finding(statement.payload) for statement in (first, second)] == scene.told


async def test_what_was_not_receipted_is_sent_again_with_the_same_bytes(scene: Scene) -> None:
    """After a broker that failed, and a start anew; then never again."""
    scene.alter(0)
    scene.sender.broken = True
    async with scene.auditor() as (auditor, outbox, _):
        with pytest.raises(UnavailableError):
            await auditor.once(0.01)
        (kept,) = await outbox.waiting(10)
    scene.sender.broken = False
    async with scene.auditor() as (auditor, _, _):
        assert not await auditor.once(0.01), "no receipt has come"
    scene.answer_all()
    async with scene.auditor() as (auditor, _, _):
        assert await auditor.once(5)
    async with scene.auditor() as (auditor, outbox, _):
        assert await auditor.once(5)
        assert await outbox.statements() == [kept]
    assert [raw for _, raw in scene.sender.sent] == [kept, kept]
    assert len(scene.told) == 1, "it was found once"


async def test_the_chain_goes_on_over_restarts(scene: Scene) -> None:
    """The next statement follows on from the last one that was kept."""
    scene.answer_all()
    for number in range(3):
        scene.alter(number)
        async with scene.auditor() as (auditor, _, _):
            assert await auditor.once(5)
    statements = [parse_statement(raw) for _, raw in scene.sender.sent]
    assert [statement.sequence for statement in statements] == [0, 1, 2]
    assert [statement.previous for statement in statements[1:]] == [
        hash_leaf(statement.raw) for statement in statements[:2]
    ]


async def test_only_the_logs_receipt_counts(scene: Scene) -> None:
    """What anybody may publish settles nothing, and stops nothing."""
    scene.alter(0)
    async with scene.auditor() as (auditor, outbox, _):
        await auditor.once(0.01)
        (raw,) = await outbox.waiting(10)
        scene.inbox.put("receipts/x", b"nonsense")
        scene.inbox.put("nowhere", b"")
        scene.inbox.put("receipts/x", receipts(raw, SeedSigner(seed("another log"))))
        assert not await auditor.once(0.05)
        assert scene.inbox.acknowledged == 3
        scene.inbox.put("receipts/x", receipts(raw))
        assert await auditor.once(5)
    assert LOG.name == ORIGIN


async def test_a_refusal_is_heard(scene: Scene) -> None:
    """Such as that nobody has enrolled the auditor yet; it sends again later."""
    scene.alter(0)
    async with scene.auditor() as (auditor, _, reporter):
        scene.inbox.put("refusals/x", encode_refusal(bytes(32), Reason.KEY_UNKNOWN))
        assert not await auditor.once(0.05)
        assert reporter.refused == {bytes(32): Reason.KEY_UNKNOWN}


async def test_it_goes_on_while_files_do_not_answer_and_stops_at_a_wrong_log(scene: Scene) -> None:
    """One passes; the other is for fsck."""
    whole = dict(scene.log.files)
    async with scene.auditor() as (auditor, _, _):
        del scene.log.files["block/1/001"]
        work = asyncio.ensure_future(auditor.run(0.01))
        await asyncio.sleep(0)
        assert not work.done()
        scene.log.files |= whole
        scene.alter(0)
        await scene.found.wait()
        scene.log.files["block/1/001"] = whole["block/1/000"]
        with pytest.raises(VerificationError):
            await work


async def test_an_outbox_keeps_all_or_nothing(tmp_path: Path) -> None:
    """A sequence that is taken cannot be taken again; the chain stays where it was."""
    scene = Scene(tmp_path)
    scene.alter(0)
    async with scene.auditor() as (auditor, outbox, _):
        await auditor.once(0.01)
        (raw,) = await outbox.statements()
        chain = await outbox.chain()
        assert chain == ChainState(NOW_MS // 1000, 1, hash_leaf(raw))
        with pytest.raises(Exception, match="UNIQUE"):
            await outbox.add([raw], ChainState(7, 7, bytes(32)))
        assert await outbox.chain() == chain
        assert await outbox.settled() > 0
