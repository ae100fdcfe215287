"""A key thief against a whole city: what is signed with a stolen key after its revocation is not taken in.

All stages run, in one process and on virtual time; nothing goes wrong but the theft.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from hashlib import sha256

from pipeline.log.block import decode_body
from pipeline.log.manifest import decode_manifest
from pipeline.verify.fsck import LogCheck
from pipeline.verify.point import verify_point
from pipeline.verify.prove import Prover
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.topics import BLOCKS, LOG
from tests.support.changes import NEW, revoke, rotate
from tests.support.city import AUTHORITIES, AUTHORITY_NAME, POLICY, SHARDS, Device, enrol
from tests.support.simulation import Simulation
from tests.support.virtual_time import run

START_S = 1_800_000_000


class City:
    """A city in which all is calm, and whoever sends something gets an answer."""

    def __init__(self) -> None:
        self.stages = Simulation(seed=7)
        self.owner = self.stages.devices[0]
        self.thief = Device(0)  # Has the owner's key, and knows how far the owner has come.

    async def answers(self, name: str, *raws: bytes) -> list[str]:
        """Send statements, and return what became of each: `receipt`, or the reason of the refusal."""
        sender = self.stages.senders[name]
        for raw in raws:
            sender.queue(raw)
            self.stages.inbox.deliver(sender.topic, raw)
        while sender.outbox:  # noqa: ASYNC110 - it costs no time, on a clock that jumps
            await asyncio.sleep(0.1)
        hashes = [sha256(raw).digest() for raw in raws]
        return ["receipt" if digest in sender.receipted else sender.parked[digest] for digest in hashes]

    async def state(self, *raws: bytes) -> None:
        """Have the authority state something, which is taken in."""
        assert set(await self.answers(AUTHORITY_NAME, *raws)) == {"receipt"}

    async def read(self, *raws: bytes) -> list[str]:
        """Send readings in the owner's name, whoever has signed them."""
        return await self.answers(self.owner.issuer, *raws)

    async def published(self) -> None:
        """Wait until a checkpoint has all that is in the log."""
        while self.stages.published[-1][0] < len(self.stages.bus.values(LOG)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)

    def refused(self) -> Counter[str]:
        """What the manifests count as refused."""
        bodies = [body for shard in range(SHARDS) for body in self.stages.bus.values(BLOCKS, shard)]
        refused: Counter[str] = Counter()
        for body in bodies:
            refused.update(decode_manifest(decode_body(body)[0]).refused)
        return refused

    def prove(self, sequence: int) -> bytes:
        """The proof of the owner's point of a sequence."""
        place = self.owner.issuer, "station-1", "no2", (START_S + 60 * sequence) * 1_000_000
        ref = self.stages.points.points[place].ref
        return Prover(self.stages.files.read, POLICY).prove(ref, "no2", place[3])


def with_city(story: Callable[[City], Awaitable[None]]) -> City:
    """Run a city until the story is told and all of it is published; fsck finds nothing wrong with it."""

    async def main() -> City:
        city = City()
        for name in city.stages._stages():
            city.stages.start(name)
        await city.state(enrol(city.owner, 0))
        await story(city)
        await city.published()
        city.stages.check()
        tasks = city.stages.tasks.values()
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return city

    city = run(main())
    assert list(LogCheck(city.stages.files.read, POLICY, AUTHORITIES).run()) == []
    return city


def test_what_a_thief_signs_after_the_revocation_is_refused_and_what_was_before_stays_valid() -> None:
    """Whatever sequence, epoch or time the thief states: revocation acts by the log's order alone.

    What was signed before is proved as ever. A proof that was made before the revocation shows more: by the
    witnesses' clocks it was in the log then, and so is nobody's who stole the key later.
    """
    answers: list[str] = []
    kept: list[bytes] = []

    async def story(city: City) -> None:
        assert await city.read(city.owner.read()) == ["receipt"]
        await city.published()
        kept.append(city.prove(0))
        await asyncio.sleep(10)
        await city.state(revoke(city.owner, sequence=1))
        past = encode_pack(city.owner.issuer, [Record("no2", "ug/m3", 99.0, START_S - 86_400.0)])
        answers.extend(
            await city.read(
                city.thief.read(sequence=1),
                city.thief.read(sequence=2, payload=past),
                city.thief.read(sequence=0, epoch=0, payload=past),
                city.owner.read(sequence=3),
            )
        )

    city = with_city(story)
    assert answers == ["key_revoked"] * 4
    assert city.refused() == {"key_revoked": 4}
    assert {place[3] for place in city.stages.points.points} == {START_S * 1_000_000}
    later, point = (verify_point(proof, POLICY, AUTHORITIES) for proof in (city.prove(0), *kept))
    assert later.record.value == point.record.value == 20.25
    assert later.manifest == point.manifest
    revoked_ms = decode_manifest(decode_body(city.stages.bus.values(BLOCKS, 0)[1])[0]).arrival_first_ms
    assert max(cosignature.time_s for cosignature in point.checkpoint.cosignatures) * 1000 < revoked_ms


def test_what_a_thief_signs_before_the_revocation_is_the_owners_word() -> None:
    """Nobody can tell them apart by it, and no revocation takes it back; the owner's next one tells.

    The two contradict one another: the owner's becomes evidence, and the key is convicted.
    """
    answers: list[str] = []

    async def story(city: City) -> None:
        answers.extend(await city.read(city.thief.read(records=2)))
        answers.extend(await city.read(city.owner.read()))
        await city.state(revoke(city.owner, sequence=1))
        answers.extend(await city.read(city.owner.read()))

    city = with_city(story)
    assert answers == ["receipt", "receipt", "key_revoked"]
    manifests = [decode_manifest(decode_body(b)[0]) for b in city.stages.bus.values(BLOCKS, city.owner.shard)]
    assert sum(len(manifest.equivocations) for manifest in manifests) == 1
    assert verify_point(city.prove(0), POLICY, AUTHORITIES).record.value == 20.25


def test_a_stolen_key_that_was_rotated_signs_the_owners_past_only() -> None:
    """From the new key's start on the old one is refused; the owner's backlog below it is taken in."""
    answers: list[str] = []

    async def story(city: City) -> None:
        await city.state(rotate(city.owner, starts=(1, 5), sequence=1))
        answers.extend(
            await city.read(
                city.thief.read(sequence=5),
                city.thief.read(sequence=0, epoch=2),
                city.owner.read(sequence=4),
            )
        )
        city.owner.signer = NEW
        answers.extend(await city.read(city.owner.read(sequence=5)))

    city = with_city(story)
    assert answers == ["key_span", "key_span", "receipt", "receipt"]
    assert [len(verify_point(city.prove(n), POLICY, AUTHORITIES).rotated_by) for n in (4, 5)] == [0, 1]


def test_a_thief_cannot_enrol_or_rotate_the_key() -> None:
    """That takes an authority's signature; the key alone speaks for nobody in the registry."""
    answers: list[str] = []

    async def story(city: City) -> None:
        answers.extend(
            await city.answers(
                AUTHORITY_NAME,
                rotate(city.owner, by=city.thief.signer, sequence=1),
                enrol(Device(1), 2, by=city.thief.signer),
            )
        )

    city = with_city(story)
    assert answers == ["authority_unknown"] * 2
    assert city.refused() == {"authority_unknown": 2}
