"""A witness that is not ours (transparency-dev/witness) cosigns our log, as our publisher asks it to."""

import asyncio
import subprocess
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.edges.http_client import HttpWitness, open_client
from pipeline.log.checkpoint import Checkpoint, OpenedCheckpoint, open_checkpoint, sign_checkpoint
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import Policy, parse_policy
from pipeline.stages.publisher import Publisher, RolledBackError
from pipeline.wire.keys import SeedSigner
from tests.interop.conftest import GoProgram
from tests.interop.go_keys import write_go_key
from tests.support.city import LOG, ORIGIN, SHARDS, device_in, seed
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.memory_files import MemoryFiles
from tests.support.placed import PlacedLog, grown

pytestmark = pytest.mark.needs("go")

NAME = "w.example/foreign"
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Foreign:
    """The running witness, and a policy whose quorum it is."""

    url: str
    policy: Policy


@pytest.fixture
def foreign(go_program: GoProgram, tmp_path: Path) -> Generator[Foreign]:
    signer = write_go_key(tmp_path / "witness.key", NAME, sha256(b"foreign witness").digest())
    vkeys = (encode_vkey(LOG.key()), encode_vkey(signer.key(TYPE_COSIGNATURE)))
    command = [go_program("witness"), str(tmp_path / "witness.key"), vkeys[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        policy = f"log {vkeys[0]}\nwitness foreign {vkeys[1]} {url}\nquorum foreign\n"
        yield Foreign(url, parse_policy(policy.encode()))
        process.kill()


class City:
    """A publisher on a bus, with what it has published."""

    def __init__(self, foreign: Foreign, bus: MemoryBus) -> None:
        self.foreign = foreign
        self.bus = bus
        self.files = MemoryFiles()
        self.state = MemoryFiles()
        self.published = asyncio.Event()
        self.size = 0

    def _note(self, size: int) -> None:
        self.size = size
        self.published.set()

    async def publish(self, size: int) -> OpenedCheckpoint:
        """Run a publisher until a checkpoint of this size is out; return it, opened by the policy."""
        async with asyncio.timeout(DEADLINE_S), open_client() as client:
            witness = HttpWitness(NAME, self.foreign.url, client)
            publisher = Publisher(LOG, self.foreign.policy, [witness], self.files, self.state, self._note)
            task = asyncio.create_task(publisher.run(self.bus, SHARDS))
            while self.size != size:
                self.published.clear()
                waiting = asyncio.create_task(self.published.wait())
                await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if task.done():
                    task.result()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return open_checkpoint(self.files.files["checkpoint"], self.foreign.policy)


def more(log: PlacedLog, blocks: int) -> None:
    """Grow a log by blocks of one reading."""
    device = device_in(1, 1)
    log.enrol(device)
    for _ in range(blocks - 1):
        log.read(device.shard, [device.read()])


async def test_it_cosigns_our_log_as_it_grows(foreign: Foreign) -> None:
    """From nothing; over a full tile, with our consistency proof; after a restart that forgot its size."""
    city = City(foreign, MemoryBus(city_topics(SHARDS)))
    log = grown(city.bus)
    opened = await city.publish(len(log.entries))
    assert [cosignature.witness for cosignature in opened.cosignatures] == ["foreign"]

    more(log, 300)
    assert (await city.publish(len(log.entries))).checkpoint.size == 308

    city.files.files.clear()
    city.state.files.clear()  # The next publisher asks from size 0, and is told where the witness stands.
    city.size = 0
    assert (await city.publish(308)).checkpoint.size == 308


async def test_it_stops_a_publisher_that_was_rolled_back(foreign: Foreign) -> None:
    """It names the larger size that it has: ours must stop, and does."""
    whole = City(foreign, MemoryBus(city_topics(SHARDS)))
    await whole.publish(len(grown(whole.bus).entries))

    shorter = City(foreign, MemoryBus(city_topics(SHARDS)))
    log = grown(shorter.bus, blocks=2)
    with pytest.raises(RolledBackError, match="knows size 8, ours is 4"):
        await shorter.publish(len(log.entries))


ROOTS = [sha256(b"root %d" % number).digest() for number in range(2)]


def request(
    old: int, size: int, *, root: bytes = ROOTS[0], proof: int = 0, signer: NoteSigner = LOG
) -> bytes:
    """An add-checkpoint request with a proof of that many hashes."""
    note = sign_checkpoint(Checkpoint(signer.name, size, root), signer)
    return encode_add_checkpoint(AddCheckpoint(old, [bytes(32)] * proof, note))


STRANGER = NoteSigner("town.example/log", SeedSigner(seed("stranger")))
IMPOSTOR = NoteSigner(ORIGIN, SeedSigner(seed("impostor")))


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"nonsense", 400, b""),
        (request(0, 5, signer=STRANGER), 404, b""),
        (request(4, 5, signer=IMPOSTOR), 500, b""),  # The specification has 403; ours waits after either.
        (request(3, 5, proof=2), 409, b"4\n"),
        (request(4, 4, root=ROOTS[1]), 409, b""),
        (request(4, 5, proof=2), 422, b""),
        (request(6, 5), 400, b""),
    ],
)
async def test_it_answers_as_our_publisher_expects(
    body: bytes, status: int, says: bytes, foreign: Foreign
) -> None:
    """All refusals but one have the status of tlog-witness; a split view has 409 without a size."""
    async with open_client() as client:
        witness = HttpWitness(NAME, foreign.url, client)
        assert (await witness.add_checkpoint(request(0, 4))).status == 200

        answer = await witness.add_checkpoint(body)

        assert (answer.status, answer.body) == (status, says)
        assert (answer.content_type == "text/x.tlog.size") == bool(says)
