"""The operator: every bad history is refused by its own reason, where it can be, and by no other check."""

import asyncio
from collections.abc import Mapping
from random import Random

import pytest

from pipeline.log.checkpoint import (
    Checkpoint,
    add_signatures,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint
from pipeline.log.merkle import consistency_path
from pipeline.log.note import parse_note, parse_signatures
from pipeline.log.tiles import TileReader
from pipeline.stages.witness import Witness
from pipeline.verify.audit import PointPlace, StoreAudit, StoredValue
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.support.city import LOG, ORIGIN, POLICY, WITNESSES
from tests.support.memory_files import MemoryFiles
from tests.support.stored_points import MemoryStore, project
from tests.support.virtual_time import run
from tests.threats.checks import CHECKS, refusals
from tests.threats.operator import (
    BAD_HISTORIES,
    COSIGNED_S,
    HONEST,
    HONEST_LOG,
    LAST,
    MIDDLE,
    NOW_S,
    A,
    BadHistory,
    C,
    Files,
    Log,
    Shown,
    Step,
    altered,
)


def test_an_honest_log_is_refused_by_nobody() -> None:
    """Whatever the bad ones are refused for is their doing: all checks look, and all pass."""
    shown = Shown(
        HONEST_LOG.files,
        before=Log(HONEST[:4], cosigned_s=NOW_S + 65).files,
        before_s=NOW_S + 70,
        receipts=[(A[1], HONEST_LOG.receipt(MIDDLE, 1), NOW_S + 62)],
        proofs=[HONEST_LOG.proof(MIDDLE, 1)],
    )
    assert refusals(shown) == {}


@pytest.mark.parametrize("bad", BAD_HISTORIES, ids=lambda bad: bad.name)
def test_a_bad_history_is_refused_by_its_own_reason(bad: BadHistory) -> None:
    """Exactly these checks refuse it, exactly here, for exactly this; every other one passes."""
    assert refusals(bad.make()) == {check: list(said) for check, said in bad.refused.items()}


def test_every_check_refuses_something() -> None:
    """None is there for show."""
    assert {check for bad in BAD_HISTORIES for check in bad.refused} == set(CHECKS)


def test_a_statement_that_was_receipted_cannot_be_left_out_unnoticed() -> None:
    """Each of the log's statements, left out of an otherwise perfect log: its receipt convicts, and names it.

    The receipts of the blocks that follow the wrong one in its shard are broken too: these are other blocks.
    """
    for number, step in enumerate(HONEST[1:], 1):
        for leaf, dropped in enumerate(step.statements, 1):
            others = [raw for raw in step.statements if raw != dropped]
            files = Log(altered(number, statements=others)).files
            receipt = HONEST_LOG.receipt(number, leaf)
            said = refusals(Shown(files, receipts=[(dropped, receipt, NOW_S)]))["receipt audit"]
            height = sum(one.shard == step.shard for one in HONEST[:number])
            assert said == [f"receipt_broken block/{step.shard}/{height:03} leaf {leaf}"]


def test_a_receipt_may_run_ahead_of_the_checkpoint_for_as_long_as_is_promised() -> None:
    """60 seconds are promised: at 60 nothing is said, at 61 it is. An honest log is never accused."""
    receipts = [(A[2], HONEST_LOG.receipt(LAST, 1), NOW_S + 122)]
    said = [
        refusals(Shown(Log(HONEST[:LAST], cosigned_s=NOW_S + 122 + s).files, receipts=receipts))
        for s in (60, 61)
    ]
    assert said == [{}, {"receipt audit": ["receipt_broken block/1/002 leaf 1"]}]


def clock_behind(steps: list[Step]) -> Log:
    """A log whose operator's clock goes an hour behind before its last block."""
    return Log([*steps[:-1], Step(2, [C[2]], steps[-1].at_s - 3600)])


def test_a_clock_an_hour_behind_is_noticed() -> None:
    """Times must advance within a shard; where nothing came before, the monitor has seen it missing since."""
    advances = {"block_times block/2/002"}
    assert set(refusals(Shown(clock_behind(list(HONEST)).files))["fsck"]) == advances
    quiet = [step for step in HONEST if step.shard != 2]
    before = Log(quiet, cosigned_s=NOW_S + 125)
    after = Log([*quiet, Step(2, [C[0]], 122 - 3600)])
    shown = Shown(after.files, before=before.files, before_s=NOW_S + 125, now_s=COSIGNED_S)
    said = refusals(shown)
    assert said.keys() == {"monitor"}
    assert said["monitor"][0] == "cosign_late block/2/000"


async def _race(fork: Files, other: Files, random: Random) -> list[bytes]:
    """Ask all witnesses, which know the first four entries, for both at once; return what each has got."""
    known = Log(HONEST[:3])
    witnesses = [
        Witness(key, {ORIGIN: LOG.key()}, MemoryFiles(), MemoryFiles(), _Clock()) for key in WITNESSES
    ]
    for witness in witnesses:
        assert (await witness.add_checkpoint(_request(known.files, 0))).status == 200
    notes = [sign_checkpoint(_checkpoint(files), LOG) for files in (fork, other)]
    asked = [(which, witness) for witness in witnesses for which in (0, 1)]
    random.shuffle(asked)
    requests = [_request(files, 4) for files in (fork, other)]
    answers = await asyncio.gather(*(witness.add_checkpoint(requests[which]) for which, witness in asked))
    for (which, _), answer in zip(asked, answers, strict=True):
        if answer.status == 200:
            notes[which] = add_signatures(notes[which], parse_signatures(answer.body))
    return notes


class _Clock:
    def now_s(self) -> float:
        return float(COSIGNED_S)


def _checkpoint(files: Mapping[str, bytes]) -> Checkpoint:
    return parse_checkpoint(parse_note(files["checkpoint"]).text)


def _request(files: Mapping[str, bytes], old: int) -> bytes:
    checkpoint = _checkpoint(files)
    path = consistency_path(old, checkpoint.size, TileReader(files.get, checkpoint).read_hash) if old else []
    return encode_add_checkpoint(AddCheckpoint(old, path, sign_checkpoint(checkpoint, LOG)))


@pytest.mark.parametrize("larger", [False, True])
def test_of_two_views_at_most_one_is_cosigned_by_a_quorum(larger: bool) -> None:
    """Two roots at one size, or at two, sent to all witnesses at once, in any order: a quorum is for one."""
    more = [Step(2, [C[2]], 122)] if larger else []
    fork = Log([*altered(LAST, statements=[A[2]]), *more]).files
    winners = set()
    for seed in range(20):
        accepted = []
        for which, note in enumerate(run(_race(HONEST_LOG.files, fork, Random(seed)))):
            try:
                open_checkpoint(note, POLICY)
                accepted.append(which)
            except VerificationError as refused:
                assert refused.reason is Reason.QUORUM_MISSING  # noqa: PT017 - either may win
        assert len(accepted) == 1
        winners.update(accepted)
    assert winners == {0, 1}, "the order decides"


@pytest.mark.parametrize("attack", ["alter", "delete", "insert"])
def test_a_point_that_was_altered_deleted_or_inserted_is_the_one_that_fails(attack: str) -> None:
    """Every point of the store in turn: that one, and it alone, by its reason."""
    store = MemoryStore()
    project(HONEST_LOG, store)
    assert len(store.points) == sum(len(step.statements) for step in HONEST[1:])
    assert list(audited(store)) == []
    for key, value in list(store.points.items()):
        place = key[1]
        attacked = MemoryStore(dict(store.points))
        if attack == "alter":
            attacked.points[key] = StoredValue(value.value + 0.5, value.ref)
            expected = (place, Reason.POINT_ALTERED)
        elif attack == "delete":
            del attacked.points[key]
            expected = (place, Reason.POINT_MISSING)
        else:
            place = PointPlace(place.device, place.subject, place.quantity, place.time_us + 1)
            attacked.points["air", place] = value
            expected = (place, Reason.POINT_UNEXPECTED)
        assert audited(attacked) == [expected]


def audited(store: MemoryStore) -> list[tuple[PointPlace, Reason]]:
    """What an audit of a store finds."""
    files = HONEST_LOG.files
    tiles = TileReader(files.get, open_checkpoint(files["checkpoint"], POLICY).checkpoint)
    audit = StoreAudit(files.get, tiles, store.find)
    findings = [*audit.run(), *audit.check_stored(store.scan())]
    return [(finding.place, finding.reason) for finding in findings]
