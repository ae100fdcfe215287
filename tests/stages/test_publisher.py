"""The publisher: files that follow from the log alone, no checkpoint without a quorum, no step that cannot be
repeated, and witnesses that are slow, gone, wrong, or right about us."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import decode_registry, encode_registry
from pipeline.log.checkpoint import Checkpoint, encode_checkpoint, open_checkpoint, sign_checkpoint
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint, parse_add_checkpoint
from pipeline.log.note import NoteSigner, parse_note
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.tiles import TileAppender, block_path
from pipeline.ports import WitnessAnswer, WitnessClient
from pipeline.stages import publisher
from pipeline.stages.publisher import STATE_PATH, Publisher, RolledBackError
from pipeline.stages.witness import Witness
from pipeline.verify.fsck import LogCheck
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from tests.support.city import (
    AUTHORITIES,
    LOG,
    ORIGIN,
    POLICY,
    SHARDS,
    WITNESSES,
    device_in,
    policy_text,
    seed,
)
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.memory_files import MemoryFiles
from tests.support.placed import PlacedLog, grown
from tests.support.virtual_time import run

TIME_S = 1_800_000_100


class FixedClock:
    """A clock that stands still, so that a cosignature made again has the same bytes."""

    def now_s(self) -> float:
        return TIME_S


class Client:
    """A witness as the publisher sees it: it may be gone, slow, or answer something else altogether."""

    def __init__(self, signer: NoteSigner, files: MemoryFiles | None = None) -> None:
        self.files = files or MemoryFiles()
        self.inner = Witness(signer, {ORIGIN: LOG.key()}, self.files, MemoryFiles(), FixedClock())
        self.name = signer.name
        self.gone = False
        self.delay_s = 0.0
        self.says: Callable[[WitnessAnswer], WitnessAnswer] = lambda answer: answer
        self.asked: list[tuple[int, int]] = []

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        asked = parse_add_checkpoint(request)
        size = int(parse_note(asked.note).text.split("\n")[1])
        self.asked.append((asked.old_size, size))
        if self.gone:
            raise UnavailableError(self.name, "add-checkpoint")
        await asyncio.sleep(self.delay_s)
        return self.says(await self.inner.add_checkpoint(request))


class City:
    """A bus with a log on it, a folder, and three witnesses of which two are the quorum."""

    def __init__(self, step: Callable[[], None] = lambda: None, survives: Callable[[], bool] = lambda: False):
        self.bus = MemoryBus(city_topics(SHARDS))
        self.files = MemoryFiles(survives, step)
        self.state = MemoryFiles(survives, step)
        self.clients = [Client(signer, MemoryFiles(survives, step)) for signer in WITNESSES]
        self.sizes: list[int] = []

    def publisher(self, policy: Policy = POLICY, clients: Sequence[WitnessClient] | None = None) -> Publisher:
        clients = self.clients if clients is None else clients
        return Publisher(LOG, policy, clients, self.files, self.state, self.sizes.append)

    def start(self, policy: Policy = POLICY) -> asyncio.Task[None]:
        return asyncio.create_task(self.publisher(policy).run(self.bus, SHARDS))

    def published(self, policy: Policy = POLICY) -> Checkpoint:
        """The checkpoint, verified."""
        return open_checkpoint(self.files.files["checkpoint"], policy).checkpoint

    def cosigners(self) -> list[str]:
        """The names on the checkpoint's lines, behind the log's own."""
        own, *others = parse_note(self.files.files["checkpoint"]).signatures
        assert own.name == ORIGIN
        return [line.name for line in others]


def expected_files(log: PlacedLog) -> dict[str, bytes]:
    """What must be there at the log's present size: every full tile, the partial ones, every body."""
    files = {block_path(shard, height): body for (shard, height), body in log.bodies.items()}
    return files | TileAppender().append(log.entries)


def with_city(test: Callable[[City], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a city of its own, on a clock that jumps."""

    async def main() -> None:
        await test(City())

    run(main())


def failure(task: asyncio.Task[None]) -> BaseException | None:
    """What ended a task; None if nothing did."""
    return task.exception() if task.done() else None


def test_what_is_published_follows_from_the_log() -> None:
    """Bodies, tiles and bundles as at once; a checkpoint over all entries, cosigned by every witness."""

    async def test(city: City) -> None:
        log = grown(city.bus)
        task = city.start()
        await asyncio.sleep(1)
        assert city.published().size == len(log.entries)
        assert city.cosigners() == [signer.name for signer in WITNESSES]
        assert {path: city.files.files.get(path) for path in expected_files(log)} == expected_files(log)
        check = LogCheck(city.files.read, POLICY, AUTHORITIES)
        assert list(check.run()) == []
        assert check.tally.size == len(log.entries)
        assert city.sizes == [len(log.entries)]
        task.cancel()

    with_city(test)


def test_a_log_that_grows_is_published_as_it_grows() -> None:
    """Every new size, beyond a full tile; the witnesses are asked from the size they have."""

    async def test(city: City) -> None:
        task = city.start()
        log = grown(city.bus, 0)
        device = device_in(1)
        for count in (1, 2, 260, 3):
            await asyncio.sleep(1)
            for _ in range(count):
                log.read(1, [device.read()])
        await asyncio.sleep(1)
        assert city.sizes == [2, 3, 5, 261, 265, 268]  # At most 256 at a time.
        assert city.clients[0].asked == [(0, 2), (2, 3), (3, 5), (5, 261), (261, 265), (265, 268)]
        wanted = expected_files(log)
        assert {path: city.files.files.get(path) for path in wanted} == wanted
        assert list(LogCheck(city.files.read, POLICY, AUTHORITIES).run()) == []
        task.cancel()

    with_city(test)


def test_without_a_quorum_nothing_is_published_until_it_is_back() -> None:
    """Bodies and tiles are there; the checkpoint waits, and names the newest size when it comes."""

    async def test(city: City) -> None:
        log = grown(city.bus, 1)
        for client in city.clients[:2]:
            client.gone = True
        task = city.start()
        await asyncio.sleep(30)
        assert "checkpoint" not in city.files.files
        assert set(expected_files(log)) <= set(city.files.files)
        log.read(1, [device_in(1).read(sequence=50)])
        await asyncio.sleep(30)
        assert city.sizes == []
        assert 10 < len(city.clients[0].asked) < 120  # Again and again, but not all the time.
        city.clients[1].gone = False
        await asyncio.sleep(10)
        assert city.sizes == [len(log.entries)]
        assert city.cosigners() == [WITNESSES[1].name, WITNESSES[2].name]
        task.cancel()

    with_city(test)


def test_a_slow_witness_delays_but_does_not_prevent() -> None:
    """After five seconds it counts as one that did not answer."""

    async def test(city: City) -> None:
        grown(city.bus)
        city.clients[0].delay_s = 60
        task = city.start()
        await asyncio.sleep(4.9)
        assert city.sizes == []
        await asyncio.sleep(0.2)
        assert len(city.sizes) == 1
        assert city.cosigners() == [WITNESSES[1].name, WITNESSES[2].name]
        task.cancel()

    with_city(test)


def test_a_witness_that_knows_another_size_is_asked_again_from_there() -> None:
    """409 with the size: a publisher that has just started knows of none."""

    async def test(city: City) -> None:
        log = grown(city.bus)
        task = city.start()
        await asyncio.sleep(1)
        task.cancel()
        log.read(1, [device_in(1).read(sequence=50)])
        size = len(log.entries)
        again = city.start()
        await asyncio.sleep(1)
        assert city.clients[0].asked[-2:] == [(0, size), (size - 1, size)]
        assert city.published().size == size
        again.cancel()

    with_city(test)


async def teach(client: Client, checkpoint: Checkpoint) -> None:
    """Let a witness cosign this first."""
    note = sign_checkpoint(checkpoint, LOG)
    assert (
        await client.inner.add_checkpoint(encode_add_checkpoint(AddCheckpoint(0, [], note)))
    ).status == 200


@pytest.mark.parametrize(
    ("size", "because"), [(100, "knows size 100, ours is 8"), (8, "another tree"), (5, "another tree")]
)
def test_a_witness_that_contradicts_us_stops_the_publisher(size: int, because: str) -> None:
    """It knows a larger tree, another root at our size, or one that ours does not extend: alarm."""

    async def test(city: City) -> None:
        grown(city.bus)
        await teach(city.clients[1], Checkpoint(ORIGIN, size, bytes(32)))
        task = city.start()
        await asyncio.sleep(60)
        stopped = failure(task)
        assert isinstance(stopped, RolledBackError)
        assert because in str(stopped)
        assert WITNESSES[1].name in str(stopped)
        assert "checkpoint" not in city.files.files

    with_city(test)


TEXT = "text/plain; charset=utf-8"
STRANGER = NoteSigner("x.example/witness", SeedSigner(seed("stranger")))


def lines(count: int) -> bytes:
    """Valid lines of a witness nobody asked for, each another."""
    text = encode_checkpoint(Checkpoint(ORIGIN, 8, bytes(32)))
    return "".join(STRANGER.cosign(text, TIME_S + n).line() for n in range(count)).encode()


@pytest.mark.parametrize(
    "says",
    [
        lambda _: WitnessAnswer(200, TEXT, b""),
        lambda _: WitnessAnswer(200, TEXT, b"\xff"),
        lambda _: WitnessAnswer(200, TEXT, b"no line\n"),
        lambda _: WitnessAnswer(200, TEXT, lines(1)),
        lambda _: WitnessAnswer(200, TEXT, lines(64)),
        lambda _: WitnessAnswer(200, TEXT, lines(65)),
        lambda a: WitnessAnswer(200, TEXT, a.body[:-20] + b"AAAAAAAAAAAAAAAAAAA\n"),
        lambda _: WitnessAnswer(409, "text/x.tlog.size", b"many\n"),
        lambda _: WitnessAnswer(409, "text/x.tlog.size", b"\xff"),
        lambda _: WitnessAnswer(409, "text/x.tlog.size", b"9" * 10_000),
        lambda _: WitnessAnswer(409, "text/x.tlog.size", b"-5\n"),
        lambda _: WitnessAnswer(409, "text/x.tlog.size", b"3\n"),
        *(lambda _, s=status: WitnessAnswer(s, TEXT, b"?\n") for status in (400, 403, 404, 429, 500, 302)),
    ],
)
def test_a_witness_gone_wrong_hides_no_others_cosignature(
    says: Callable[[WitnessAnswer], WitnessAnswer],
) -> None:
    """Whatever nonsense it answers, the other two are the quorum, and only valid lines are published."""

    async def test(city: City) -> None:
        log = grown(city.bus)
        city.clients[0].says = says
        task = city.start()
        await asyncio.sleep(10)
        assert failure(task) is None
        assert city.published().size == len(log.entries)
        assert city.cosigners() == [WITNESSES[1].name, WITNESSES[2].name]
        task.cancel()

    with_city(test)


def test_one_line_a_witness_is_published() -> None:
    """Though one answers with a thousand, with another's, or with the same as all others."""

    async def test(city: City) -> None:
        grown(city.bus)
        collected: list[bytes] = []

        def collect(answer: WitnessAnswer) -> WitnessAnswer:
            collected.append(answer.body)
            return WitnessAnswer(200, TEXT, b"".join(collected) * 20)

        for client in city.clients:
            client.says = collect
        task = city.start()
        await asyncio.sleep(1)
        assert sorted(city.cosigners()) == [signer.name for signer in WITNESSES]
        task.cancel()

    with_city(test)


def test_a_policy_may_ask_for_no_witness() -> None:
    """The log's own signature is then enough."""

    async def test(city: City) -> None:
        grown(city.bus)
        lonely = parse_policy(b"\n".join([policy_text().encode().split(b"\n")[0], b"quorum none", b""]))
        task = asyncio.create_task(city.publisher(lonely, []).run(city.bus, SHARDS))
        await asyncio.sleep(1)
        assert city.published(lonely).size == 8
        assert city.cosigners() == []
        task.cancel()

    with_city(test)


def test_damaged_files_of_our_own_stop_the_publisher() -> None:
    """It resumes from what it has checked, and signs nothing over what it has not."""

    async def test(city: City) -> None:
        grown(city.bus)
        task = city.start()
        await asyncio.sleep(1)
        task.cancel()
        city.files.files["tile/0/000.p/8"] = bytes(256)
        task = city.start()
        await asyncio.sleep(1)
        stopped = failure(task)
        assert isinstance(stopped, VerificationError)
        assert stopped.reason is Reason.ROOT_MISMATCH

    with_city(test)


class Crash(BaseException):
    """The power goes."""


def crash_at(step: int, *, survives: bool) -> tuple[bool, City]:
    """Publish a log in portions, with the power gone at this step of writing; then start again and finish.

    Returns whether that step was reached, and what is there at the end.
    """
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise Crash

    city = City(count, lambda: survives)

    async def main() -> None:
        log = PlacedLog(city.bus)
        device = device_in(1)
        log.enrol(device)
        task = city.start()
        for portion in range(3):
            log.enrol(device_in(2, portion))
            for _ in range(2):
                log.read(1, [device.read()])
            await asyncio.sleep(5)
            if task.done():
                with pytest.raises(Crash):
                    task.result()
                city.clients = [Client(c.inner._signer, c.files) for c in city.clients]
                task = city.start()
                await asyncio.sleep(5)
            assert city.published().size == 5 + 3 * portion
        task.cancel()

    run(main())
    return steps >= step, city


@pytest.mark.parametrize("survives", [False, True])
def test_after_a_crash_at_any_step_of_writing_the_files_are_the_same(
    survives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, within and after every write of publisher and witnesses: files and state end alike."""
    monkeypatch.setattr(publisher, "SNAPSHOT_EVERY", 2)
    _, calm = crash_at(10**6, survives=survives)
    step, reached = 0, True
    while reached:
        step += 1
        reached, city = crash_at(step, survives=survives)
        assert city.state.files == calm.state.files
        assert {path: city.files.files.get(path) for path in calm.files.files} == calm.files.files
        assert list(LogCheck(city.files.read, POLICY, AUTHORITIES).run()) == []
    assert step > 50
    assert decode_registry(calm.files.files["registry"]).blocks == 4


def test_the_registry_is_published_with_every_so_many_of_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was then, also where several blocks came at once; a restart needs no body from before it."""
    monkeypatch.setattr(publisher, "SNAPSHOT_EVERY", 3)

    async def test(city: City) -> None:
        log, expected = PlacedLog(city.bus), Registry()
        for number in range(8):
            log.enrol(device_in(1, number))
            if number < 6:
                expected.load_block([b"manifest", *log.leaves[-1]], ())
        task = city.start()
        await asyncio.sleep(1)
        task.cancel()
        assert city.files.files["registry"] == encode_registry(expected)
        for height in range(6):
            del city.files.files[block_path(0, height)]
        task = city.start()
        await asyncio.sleep(1)
        for number in (8, 9):
            log.enrol(device_in(1, number))
        await asyncio.sleep(1)
        assert failure(task) is None
        assert city.published().size == len(log.entries)
        for leaves in log.leaves[7:10]:
            expected.load_block([b"manifest", *leaves], ())
        assert city.files.files["registry"] == encode_registry(expected)
        task.cancel()

    with_city(test)


def test_the_state_names_size_root_and_place() -> None:
    """One small file; wiped with the rest, everything is made again from the bus."""

    async def test(city: City) -> None:
        log = grown(city.bus)
        task = city.start()
        await asyncio.sleep(1)
        before = dict(city.files.files)
        task.cancel()
        assert len(city.state.files[STATE_PATH]) < 60
        city.files.files.clear()
        city.state.files.clear()
        task = city.start()
        await asyncio.sleep(1)
        assert city.files.files == before
        assert city.published().size == len(log.entries)
        task.cancel()

    with_city(test)


def test_a_wiped_publisher_shows_witnesses_no_smaller_tree_than_they_know() -> None:
    """It makes hundreds of entries again in portions, and signs nothing before it is where it was."""

    async def test(city: City) -> None:
        log = grown(city.bus, 0)
        device = device_in(1)
        for _ in range(600):
            log.read(1, [device.read()])
        task = city.start()
        await asyncio.sleep(1)
        assert city.published().size == 602
        task.cancel()
        city.files.files.clear()
        city.state.files.clear()
        city.sizes.clear()
        task = city.start()
        await asyncio.sleep(1)
        assert failure(task) is None
        assert city.sizes == [602]
        task.cancel()

    with_city(test)


def test_checking_needs_no_more_than_what_is_published() -> None:
    """The folder alone, by who has the policy and the authorities file."""
    other = Authorities(AUTHORITIES.by_key, AUTHORITIES.bounds_s, bytes(32))

    async def test(city: City) -> None:
        grown(city.bus)
        task = city.start()
        await asyncio.sleep(1)
        findings = list(LogCheck(city.files.read, POLICY, other).run())
        assert [finding.reason for finding in findings] == [Reason.GENESIS_SHAPE.value]
        task.cancel()

    with_city(test)
