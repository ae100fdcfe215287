"""The outbox file: what is committed stays, wholly or not at all; what is not receipted is never deleted."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.device import Chain, Signed
from devices.outbox import Outbox
from pipeline.wire.errors import InputError, UnavailableError

A, B = "urn:dev:ops:32473-test-a", "urn:dev:ops:32473-test-b"


def signed(issuer: str, sequence: int, epoch: int = 7, content: bytes = b"") -> Signed:
    raw = b"%s %d %d %s" % (issuer.encode(), epoch, sequence, content)
    return Signed(issuer, epoch, sequence, raw[-32:].rjust(32), raw, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_power_loss_is_provided_for(path: Path) -> None:
    """The file is in WAL mode and commits with synchronous=FULL."""
    with Outbox(path) as outbox:
        assert outbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_chain_and_statements_survive_a_restart(path: Path) -> None:
    """After closing and opening, chains stand where they stood and statements wait in signing order."""
    statements = [signed(A, 0), signed(B, 0), signed(A, 1), signed(A, 2)]
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32)), B: Chain(7, 0, bytes(32))})
        outbox.commit(statements[:2])
        outbox.commit(statements[2:], notes={"position": b"12"})
    with Outbox(path) as outbox:
        assert outbox.chain(A) == Chain(7, 3, statements[3].leaf_hash)
        assert outbox.chain(B) == Chain(7, 1, statements[1].leaf_hash)
        assert outbox.chain("urn:dev:ops:32473-test-c") is None
        assert [stored.signed for stored in outbox.load(0, 10)] == statements
        assert outbox.note("position") == b"12"


def test_receipted_statements_leave_only_state_and_counters(path: Path) -> None:
    """A receipted statement is deleted; its leaf hash, the chain and the counters remain."""
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32))})
        outbox.commit([signed(A, 0), signed(A, 1)])
        outbox.commit(receipted=[outbox.load(0, 1)[0]])
    with Outbox(path) as outbox:
        assert outbox.find(A, 7, 0) is None
        assert outbox.receipted(A) == signed(A, 0).leaf_hash
        assert outbox.chain(A) == Chain(7, 2, signed(A, 1).leaf_hash)
        assert outbox.totals().receipted == 3
        assert outbox.totals().waiting == 3
        assert outbox.is_waiting(A)


def test_parked_statements_stay_with_their_reason(path: Path) -> None:
    """A refused statement is sent no more, and is kept with the reason."""
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32))})
        outbox.commit([signed(A, 0), signed(A, 1)])
        outbox.commit(parked=[(outbox.load(0, 1)[0].row, "key_unknown")])
    with Outbox(path) as outbox:
        assert [stored.signed.sequence for stored in outbox.load(0, 10)] == [1]
        parked = outbox.find(A, 7, 0)
        assert parked is not None
        assert (parked.parked, parked.signed) == ("key_unknown", signed(A, 0))
        assert outbox.totals().parked == {"key_unknown": 3}


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(signed(A, 0, content=b"other"), id="a sequence used before"),
        pytest.param(signed(A, 5), id="a sequence too far"),
        pytest.param(signed(A, 2, epoch=6), id="an earlier epoch"),
        pytest.param(signed(B, 0), id="a signer that never began"),
    ],
)
def test_only_the_next_sequence_is_committed(path: Path, wrong: Signed) -> None:
    """A statement under another identity than its signer's next is a bug; nothing of its turn is kept."""
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32))})
        outbox.commit([signed(A, 0)])
        with pytest.raises(AssertionError, match="next sequence"):
            outbox.commit([signed(A, 1), wrong], notes={"n": b"1"})
        assert [stored.signed for stored in outbox.load(0, 10)] == [signed(A, 0)]
        assert outbox.chain(A) == Chain(7, 1, signed(A, 0).leaf_hash)
        assert outbox.note("n") is None


def test_a_new_epoch_replaces_the_chain(path: Path) -> None:
    """After a new epoch has begun, nothing is committed in the old one; what waits of it waits on."""
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32))})
        outbox.commit([signed(A, 0)])
        outbox.begin({A: Chain(9, 0, b"\x01" * 32)})
        outbox.commit([signed(A, 0, epoch=9)])
        with pytest.raises(AssertionError, match="next sequence"):
            outbox.commit([signed(A, 1)])
        assert [stored.signed.epoch for stored in outbox.load(0, 10)] == [7, 9]


def test_two_processes_cannot_share_an_outbox(path: Path) -> None:
    """A second opening is refused with the remedy: two writers could use one sequence twice."""
    with Outbox(path), pytest.raises(InputError) as refused:
        Outbox(path)
    assert refused.value.place == str(path)
    assert "another --dir" in refused.value.remedy


@pytest.mark.parametrize("content", [b"not a database" * 100, b""], ids=["text", "empty"])
def test_another_file_is_refused_and_an_empty_one_taken(path: Path, content: bytes) -> None:
    """A file that is no outbox is an input error; an empty one, as a crash may leave it, is begun."""
    path.write_bytes(content)
    if content:
        with pytest.raises(InputError, match="this is no outbox"):
            Outbox(path)
    else:
        with Outbox(path) as outbox:
            assert outbox.load(0, 1) == []


def test_an_outbox_of_another_layout_is_refused(path: Path) -> None:
    """An outbox written by another version is named as such, and not touched."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match="layout 99"):
        Outbox(path)


def test_a_full_disk_is_unavailable_and_loses_nothing(path: Path) -> None:
    """Where the disk takes no more, the commit raises UnavailableError, and what was there stays."""
    with Outbox(path) as outbox:
        outbox.begin({A: Chain(7, 0, bytes(32))})
        outbox.commit([signed(A, 0)])
        (pages,) = outbox._db.execute("PRAGMA page_count").fetchone()
        outbox._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UnavailableError, match="outbox did not answer: commit"):
            outbox.commit([signed(A, 1, content=b"x" * 100_000)])
        outbox._db.execute("PRAGMA max_page_count = 100000")
        outbox.commit([signed(A, 1)])
        assert [stored.signed for stored in outbox.load(0, 10)] == [signed(A, 0), signed(A, 1)]


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["sign a", "sign b", "receipt", "park", "reopen"]), max_size=40),
    st.integers(1, 5),
)
def test_the_outbox_against_a_model(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], limit: int
) -> None:
    """Whatever order of events: each identity once, order kept, exactly the unanswered ones wait."""
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox = Outbox(path)
    outbox.begin({A: Chain(7, 0, bytes(32)), B: Chain(7, 0, bytes(32))})
    waiting: list[Signed] = []
    parked: list[Signed] = []
    counts = {A: 0, B: 0}
    for step in steps:
        if step.startswith("sign"):
            issuer = A if step.endswith("a") else B
            waiting.append(signed(issuer, counts[issuer]))
            outbox.commit(waiting[-1:])
            counts[issuer] += 1
        elif step == "reopen":
            outbox.close()
            outbox = Outbox(path)
        elif waiting:
            one = waiting.pop(len(waiting) // 2)
            stored = outbox.find(one.issuer, one.epoch, one.sequence)
            assert stored is not None
            if step == "park":
                outbox.commit(parked=[(stored.row, "key_unknown")])
                parked.append(one)
            else:
                outbox.commit(receipted=[stored])
    found: list[Signed] = []
    row = 0
    while rows := outbox.load(row, limit):
        found += [stored.signed for stored in rows]
        row = rows[-1].row
    outbox.close()
    assert found == waiting
    assert sum(counts.values()) * 3 == len(waiting) * 3 + len(parked) * 3 + _receipted(path)


def _receipted(path: Path) -> int:
    with Outbox(path) as outbox:
        return outbox.totals().receipted
