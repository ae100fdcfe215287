"""The services: what each stage is given. Embedded or on servers, only what is opened differs.

A service runs until it is cancelled, or ends with the error that stops it; several may share a process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field

from pipeline.counts import Board
from pipeline.edges.clock import SystemClock
from pipeline.edges.files import LocalFiles, held_folder
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.folder import SHARDS, CityFolder, load_log_key, load_witness_keys
from pipeline.identity.authorities import Authorities, parse_authorities
from pipeline.log.note import NoteSigner
from pipeline.log.policy import Policy, parse_policy
from pipeline.ports import Bus, Inbox, PointStore, WitnessClient
from pipeline.ports import Publisher as MqttSender
from pipeline.stages import aggregator, bridge, courier, log, projector
from pipeline.stages.publisher import Publisher
from pipeline.stages.witness import Witness
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.topics import BLOCKS, LOG, REFUSED, STATE, STATEMENTS

COMPACTED = {STATE}
# A power cut may take statements and refusals that one broker has acknowledged: devices send them again.
SYNCED = {BLOCKS, LOG, STATE}
INBOX_TOPICS = ("statements/+", "registry/+")


Work = Callable[[int], Awaitable[None]]


def partitions(shards: int) -> Mapping[str, int]:
    """Return how many partitions each topic has."""
    return dict.fromkeys((STATEMENTS, BLOCKS, REFUSED, STATE), shards) | {LOG: 1}


PARTITIONS = partitions(SHARDS)


async def work_on_every_shard(work: Work) -> None:
    """Work on all shards here, where there is no other process to share them with."""

    async def run(shard: int) -> None:
        await work(shard)

    async with asyncio.TaskGroup() as group:
        for shard in range(SHARDS):
            group.create_task(run(shard))


@dataclass(frozen=True, slots=True)
class Site:
    """A city's folder and its bus, how its other edges are opened, and what one process does of it.

    Attributes:
        folder: Trust files, keys, log and state.
        bus: The bus.
        inbox: Opens the session that statements come in by.
        sender: Opens the session that receipts go out by.
        points: Opens the point store.
        shards: How many the log was begun with.
        share: Works on those shards that fall to this process.
        board: What the stages count.
        on_published: Hears the size of every published checkpoint.
    """

    folder: CityFolder
    bus: Bus
    inbox: Callable[[], AbstractAsyncContextManager[Inbox]]
    sender: Callable[[], AbstractAsyncContextManager[MqttSender]]
    points: Callable[[], AbstractAsyncContextManager[PointStore]]
    shards: int = SHARDS
    share: Callable[[Work], Awaitable[None]] = work_on_every_shard
    board: Board = field(default_factory=Board)
    on_published: Callable[[int], None] = lambda _size: None

    def held(self, service: str) -> AbstractContextManager[None]:
        """Hold what only one process may write: the service itself, or who makes its work again.

        Raises:
            InputError: Another process of this city holds it.
        """
        return held_folder(self.folder.state / "held" / service)

    def authorities(self) -> Authorities:
        """Read who may enrol what.

        Raises:
            InputError: There is no such file.
        """
        return parse_authorities(_read(self.folder.authorities.name, self.folder))

    def policy(self) -> Policy:
        """Read which witnesses there are.

        Raises:
            InputError: There is no such file.
        """
        return parse_policy(_read(self.folder.policy.name, self.folder))


def _read(name: str, folder: CityFolder) -> bytes:
    path = folder.root / name
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise InputError(str(path), problem, f"Make it: cityproof init --dir {folder.root}") from error


async def _bridge(site: Site) -> None:
    with site.board.running("bridge") as counts:
        async with site.inbox() as inbox:
            await bridge.run(site.bus, inbox, site.shards, counts=counts)


async def _aggregator(site: Site) -> None:
    authorities = site.authorities()

    async def seal(shard: int) -> None:
        with site.board.running("aggregator", str(shard)) as counts:
            await aggregator.run(site.bus, shard, site.shards, authorities, counts)

    await site.share(seal)


async def _log(site: Site) -> None:
    key = load_log_key(site.folder)
    with site.board.running("log") as counts:
        await log.run(site.bus, key.name, site.shards, key.signer, site.authorities(), counts)


async def _publisher(site: Site) -> None:
    key, policy = load_log_key(site.folder), site.policy()
    async with AsyncExitStack() as stack:
        counts = stack.enter_context(site.board.running("publisher"))
        stack.enter_context(site.held("publisher"))
        witnesses = await _open_witnesses(stack, site.folder, key, policy)
        files, state = LocalFiles(site.folder.log), LocalFiles(site.folder.state / "publisher")
        publisher = Publisher(key, policy, witnesses, files, state, site.on_published)
        await publisher.run(site.bus, site.shards, counts)


async def _courier(site: Site) -> None:
    with site.board.running("courier") as counts:
        receipts = SqliteReceiptIndex.open(site.folder.state / "receipts.db")
        async with receipts as index, site.sender() as sender:
            await courier.run(site.bus, site.shards, sender, index, counts)


async def _projector(site: Site) -> None:
    with site.board.running("projector") as counts, site.held("projector"):
        async with site.points() as points:
            await projector.run(site.bus, site.shards, site.authorities(), points, counts)


async def _open_witnesses(
    stack: AsyncExitStack, folder: CityFolder, key: NoteSigner, policy: Policy
) -> list[WitnessClient]:
    """Return the policy's witnesses: over HTTP where it names a URL, in this process where ours."""
    logs = {key.name: key.key()}
    witnesses: list[WitnessClient] = []
    remote = [(witness.name, url) for witness, url in policy.witnesses.values() if url]
    if remote:
        from pipeline.edges.http_client import HttpWitness, open_client

        client = await stack.enter_async_context(open_client())
        witnesses += [HttpWitness(name, url, client) for name, url in remote]
    own = [short for short, (_, url) in policy.witnesses.items() if not url]
    for short, signer in load_witness_keys(folder, own).items():
        memory, guard = LocalFiles(folder.witness_state(short)), LocalFiles(folder.witness_guard(short))
        witnesses.append(Witness(signer, logs, memory, guard, SystemClock()))
    return witnesses


SERVICES: Mapping[str, Callable[[Site], Awaitable[None]]] = {
    "bridge": _bridge,
    "aggregator": _aggregator,
    "log": _log,
    "publisher": _publisher,
    "courier": _courier,
    "projector": _projector,
}


async def run_services(site: Site, names: Collection[str] = SERVICES.keys()) -> None:
    """Run services until cancelled, or until one of them fails."""
    all_of_it, failed = asyncio.current_task(), False
    assert all_of_it is not None, "within a loop all work is a task's"

    async def run(name: str) -> None:
        nonlocal failed
        try:
            await SERVICES[name](site)
        except asyncio.CancelledError:
            if failed or all_of_it.cancelling():
                raise
        except BaseException:
            failed = True
            raise
        # A client library that gives up what is waited for cancels the wait. A task that ends by that looks
        # like one that was told to end, and nobody would hear of it.
        failed = True
        raise UnavailableError(name, "what it waited for was given up")

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(run(name))
