"""A witness: each answer of tlog-witness v1.0.0 (and 422 at size 0, of a later draft), races, restarts."""

import asyncio
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.log.checkpoint import (
    Checkpoint,
    add_signatures,
    encode_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint
from pipeline.log.merkle import consistency_path
from pipeline.log.note import NoteKey, NoteSigner, parse_note, parse_signatures, verified
from pipeline.ports import WitnessAnswer
from pipeline.stages.witness import Decision, Witness, decide
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.keys import SeedSigner
from tests.support.city import seed
from tests.support.memory_files import MemoryFiles
from tests.support.virtual_time import run

ORIGIN = "city.example/log"
LOG = NoteSigner(ORIGIN, SeedSigner(seed("log")))
OTHER_LOG = NoteSigner("town.example/log", SeedSigner(seed("other log")))
LOGS = {ORIGIN: LOG.key(), "town.example/log": OTHER_LOG.key()}
WITNESS = NoteSigner("w.example/witness", SeedSigner(seed("witness")))
KEY = NoteKey(WITNESS.name, 4, WITNESS.signer.public_key)
NOW_S = 1_800_000_000
LEAVES = [sha256(b"\0%d" % n).digest() for n in range(40)]
FORKED = [*LEAVES[:5], *(sha256(b"\0x%d" % n).digest() for n in range(35))]


def root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def checkpoint(size: int, leaves: list[bytes] = LEAVES, origin: str = ORIGIN) -> Checkpoint:
    """The tree at this size."""
    return Checkpoint(origin, size, root(leaves[:size]))


def proof(old: int, new: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    """The consistency proof between two sizes."""

    def read_hash(level: int, index: int) -> bytes:
        return root(leaves[index << level : (index + 1) << level])

    return consistency_path(old, new, read_hash) if old else []


def request(
    old: int,
    new: Checkpoint,
    path: list[bytes] | None = None,
    *,
    signer: NoteSigner = LOG,
    leaves: list[bytes] = LEAVES,
) -> bytes:
    """A request that is right unless told otherwise."""
    signer = NoteSigner(new.origin, signer.signer)
    path = proof(old, new.size, leaves) if path is None else path
    return encode_add_checkpoint(AddCheckpoint(old, path, sign_checkpoint(new, signer)))


def remembered(decision: Decision) -> Checkpoint:
    """The checkpoint of the note that must be kept."""
    assert decision.note is not None
    return parse_checkpoint(parse_note(decision.note).text)


def answer(body: bytes, known: Checkpoint | None = None) -> WitnessAnswer:
    """What a witness answers that has cosigned this before; it remembers exactly what it cosigns."""
    latest = {known.origin: known} if known else {}
    decision = decide(body, latest, LOGS, WITNESS, NOW_S)
    assert (decision.note is None) == (decision.answer.status != 200)
    assert decision.answer.body.endswith(b"\n")
    return decision.answer


TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 7), (1, 7), (5, 5), (5, 6), (8, 40), (7, 40), (0, 0)])
def test_what_is_consistent_is_cosigned(old: int, new: int) -> None:
    """200, one line: a cosignature of the checkpoint's text at this time, and nothing else."""
    got = answer(request(old, checkpoint(new)), checkpoint(old) if old else None)
    assert (got.status, got.content_type) == (200, TEXT)
    (line,) = parse_signatures(got.body)
    note = parse_note(add_signatures(encode_checkpoint(checkpoint(new)).encode() + b"\n", [line]))
    assert verified(note, [KEY]) == [(KEY, NOW_S)]


def test_it_remembers_what_it_cosigned() -> None:
    """The decision names the checkpoint that must be kept before the answer is given."""
    decision = decide(request(0, checkpoint(7)), {}, LOGS, WITNESS, NOW_S)
    assert remembered(decision) == checkpoint(7)


GOOD = request(5, checkpoint(9))
UNSIGNED = encode_add_checkpoint(
    AddCheckpoint(5, proof(5, 9), sign_checkpoint(checkpoint(9), LOG).replace(b"log A", b"lug A"))
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 5\n", 400),
        (GOOD.replace(b"old 5", b"old 05"), 400),
        (GOOD.removesuffix(b"\n"), 400),
        (GOOD.replace(b"\n9\n", b"\n09\n"), 400),
        (GOOD.replace(b"\n9\n", b"\n9\nextension\n"), 400),
        (request(10, checkpoint(9), []), 400),
        (request(5, checkpoint(9, origin="other.example/log")), 404),
        (request(5, checkpoint(9), signer=OTHER_LOG), 403),
        (GOOD.replace(b"\n9\n", b"\n8\n"), 403),  # The log's own line, but it does not verify.
    ],
)
def test_a_request_that_is_not_one_is_refused(body: bytes, status: int) -> None:
    """400 malformed or old size larger, 404 unknown log, 403 not signed by it: whatever is known."""
    for known in (None, checkpoint(5), checkpoint(9), checkpoint(30)):
        got = answer(body, known)
        assert (got.status, got.content_type) == (status, TEXT)


def test_the_order_of_checks_is_the_specifications() -> None:
    """404 before 403 before 400 for the sizes before 409 before 422."""
    unknown = request(10, checkpoint(9, origin="x.example"), [bytes(32)], signer=OTHER_LOG)
    assert answer(unknown, checkpoint(5)).status == 404
    assert answer(request(10, checkpoint(9), [bytes(32)], signer=OTHER_LOG), checkpoint(5)).status == 403
    assert answer(request(10, checkpoint(9), [bytes(32)]), checkpoint(5)).status == 400
    assert answer(request(6, checkpoint(9), [bytes(32)]), checkpoint(5)).status == 409
    assert answer(request(5, checkpoint(9), [bytes(32)]), checkpoint(5)).status == 422


@pytest.mark.parametrize(("old", "known"), [(0, 5), (4, 5), (6, 5), (1, 0), (9, 5)])
def test_another_old_size_is_told_the_right_one(old: int, known: int) -> None:
    """409 with the size last cosigned, 0 for never: the log asks again from there."""
    got = answer(request(old, checkpoint(9)), checkpoint(known) if known else None)
    assert (got.status, got.content_type, got.body) == (409, "text/x.tlog.size", b"%d\n" % known)


def test_another_root_at_the_same_size_is_a_split_view() -> None:
    """409 without a size: nothing to ask again."""
    got = answer(request(9, checkpoint(9, FORKED), []), checkpoint(9))
    assert (got.status, got.content_type) == (409, TEXT)


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (request(5, checkpoint(9), []), checkpoint(5)),
        (request(5, checkpoint(9), proof(5, 9)[:-1]), checkpoint(5)),
        (request(5, checkpoint(9), [*proof(5, 9), bytes(32)]), checkpoint(5)),
        (request(5, checkpoint(9), proof(5, 9)[::-1]), checkpoint(5)),
        (request(7, checkpoint(9, FORKED), leaves=FORKED), checkpoint(7)),
        (request(9, checkpoint(9), [bytes(32)]), checkpoint(9)),
        (request(0, checkpoint(9), [bytes(32)]), None),
        (request(0, checkpoint(9), [bytes(32)]), checkpoint(0)),
        (request(0, Checkpoint(ORIGIN, 0, bytes(32)), []), None),
        (request(0, Checkpoint(ORIGIN, 0, bytes(32)), []), checkpoint(0)),
    ],
)
def test_what_is_not_consistent_is_never_cosigned(body: bytes, known: Checkpoint | None) -> None:
    """422: proof too short, too long, for another tree, where none belongs, or no tree of size 0."""
    got = answer(body, known)
    assert (got.status, got.content_type) == (422, TEXT)


def test_a_forked_tree_is_cosigned_by_none_that_saw_the_other() -> None:
    """Trees that part after leaf 5: up to there they are one, from there on each excludes the other."""
    assert answer(request(5, checkpoint(9, FORKED), leaves=FORKED), checkpoint(5)).status == 200
    assert answer(request(6, checkpoint(9, FORKED), leaves=FORKED), checkpoint(6)).status == 422


def test_unknown_signatures_are_ignored() -> None:
    """Other witnesses' lines may stand in the checkpoint."""
    note = add_signatures(
        sign_checkpoint(checkpoint(7), LOG), [WITNESS.cosign(encode_checkpoint(checkpoint(7)), 5)]
    )
    assert answer(encode_add_checkpoint(AddCheckpoint(0, [], note))).status == 200


def test_each_log_has_its_own_latest_checkpoint() -> None:
    """Two cities, one witness."""
    town = Checkpoint("town.example/log", 3, root(FORKED[:3]))
    latest = {ORIGIN: checkpoint(7)}
    decision = decide(request(0, town, signer=OTHER_LOG), latest, LOGS, WITNESS, NOW_S)
    assert decision.answer.status == 200
    assert remembered(decision) == town


# The witness with its memory


class FixedClock:
    """A clock that stands still."""

    def now_s(self) -> float:
        return NOW_S + 0.9


def witness(files: MemoryFiles, guard: MemoryFiles | None = None) -> Witness:
    """A witness with this folder."""
    return Witness(WITNESS, LOGS, files, guard or MemoryFiles(), FixedClock())


def test_it_survives_a_restart_with_all_it_cosigned() -> None:
    """For every log; the older tree is then refused as before."""

    async def main() -> None:
        files = MemoryFiles()
        own = witness(files)
        assert own.name == "w.example/witness"
        town = Checkpoint("town.example/log", 3, root(FORKED[:3]))
        assert (await own.add_checkpoint(request(0, checkpoint(9)))).status == 200
        assert (await own.add_checkpoint(request(0, town, signer=OTHER_LOG))).status == 200
        again = witness(files)
        assert (await again.add_checkpoint(request(0, checkpoint(5)))).body == b"9\n"
        assert (await again.add_checkpoint(request(9, checkpoint(9, FORKED), []))).status == 409
        assert (await again.add_checkpoint(request(3, town, signer=OTHER_LOG))).status == 200
        got = await again.add_checkpoint(request(9, checkpoint(20)))
        (line,) = parse_signatures(got.body)
        assert int.from_bytes(line.value[:8], "big") == NOW_S

    run(main())


def test_of_two_racing_requests_one_is_cosigned() -> None:
    """Both extend what was known and contradict each other: the second finds that the size has moved on."""

    async def main() -> None:
        files = MemoryFiles()
        own = witness(files)
        await own.add_checkpoint(request(0, checkpoint(5)))
        answers = await asyncio.gather(
            own.add_checkpoint(request(5, checkpoint(9))),
            own.add_checkpoint(request(5, checkpoint(8, FORKED), leaves=FORKED)),
        )
        assert [got.status for got in answers] == [200, 409]
        assert answers[1].body == b"9\n"

    run(main())


def test_a_memory_restored_from_a_backup_is_refused() -> None:
    """The guard counts along elsewhere: an older memory would contradict what was cosigned after it."""

    async def main() -> None:
        files, guard = MemoryFiles(), MemoryFiles()
        own = witness(files, guard)
        await own.add_checkpoint(request(0, checkpoint(5)))
        backup = dict(files.files)
        await own.add_checkpoint(request(5, checkpoint(9)))
        assert (await witness(files, guard).add_checkpoint(request(9, checkpoint(20)))).status == 200
        files.files.clear()
        files.files.update(backup)
        with pytest.raises(InputError, match="a backup was restored"):
            witness(files, guard)

    run(main())


def test_it_shows_the_latest_cosigned_note_of_a_log() -> None:
    """Log's signature and its own, also after a restart; nothing for a log that it never cosigned."""

    async def main() -> None:
        files = MemoryFiles()
        await witness(files).add_checkpoint(request(0, checkpoint(5)))
        note = witness(files).latest(sha256(b"city.example/log").hexdigest())
        assert note is not None
        signers = verified(parse_note(note), [LOG.key(), KEY])
        assert [key.name for key, _ in signers] == ["city.example/log", "w.example/witness"]
        assert witness(files).latest(sha256(b"town.example/log").hexdigest()) is None

    run(main())


class FailingFiles(MemoryFiles):
    """A disk that fails, before or after the file is there."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after = after
        self.broken = False

    async def write(self, path: str, data: bytes) -> None:
        if self.after or not self.broken:
            await super().write(path, data)
        if self.broken:
            raise UnavailableError("disk", "write")


@pytest.mark.parametrize("after", [False, True])
def test_it_answers_only_what_it_has_kept(after: bool) -> None:
    """A disk that fails is no answer; whatever is on it then, the log is cosigned again from there."""

    async def main() -> None:
        files = FailingFiles(after=after)
        own = witness(files)
        await own.add_checkpoint(request(0, checkpoint(5)))
        files.broken = True
        with pytest.raises(UnavailableError):
            await own.add_checkpoint(request(5, checkpoint(9)))
        files.broken = False
        for one in (own, witness(files)):
            told = await one.add_checkpoint(request(0, checkpoint(9)))
            assert told.status == 409
            assert (await one.add_checkpoint(request(int(told.body), checkpoint(9)))).status == 200

    run(main())


def test_nothing_is_answered_before_it_is_kept() -> None:
    """Stopped in the middle of the write: no cosignature has left, and another tree may be cosigned."""

    async def main() -> None:
        files = MemoryFiles()
        own = witness(files)
        task = asyncio.create_task(own.add_checkpoint(request(0, checkpoint(9))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert files.files == {}
        assert (await witness(files).add_checkpoint(request(0, checkpoint(9, FORKED)))).status == 200

    run(main())


@given(steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=12))
@settings(max_examples=60)
def test_all_that_it_ever_cosigned_is_one_tree(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever is asked, from either of two trees that part after leaf 5."""

    async def main() -> None:
        files = MemoryFiles()
        own = witness(files)
        cosigned: list[tuple[int, bool]] = []
        for old, new, forked in steps:
            leaves = FORKED if forked else LEAVES
            path = proof(old, new, leaves) if old <= new else []
            body = request(old, checkpoint(new, leaves), path)
            if (await own.add_checkpoint(body)).status == 200:
                cosigned.append((new, forked))
        sizes = [size for size, _ in cosigned]
        assert sizes == sorted(sizes)
        assert len({forked for size, forked in cosigned if size > 5}) <= 1

    run(main())
