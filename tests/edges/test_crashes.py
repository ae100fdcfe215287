"""Killed at every durable step: what was acknowledged is there, nothing by half, and a restart goes on."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.edges.files import LocalFiles
from pipeline.edges.sqlite_alarms import SqliteAlarms
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_findings import SqliteFindings
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.edges.sqlite_points import SqlitePoints, read_points
from pipeline.log.merkle import hash_leaf
from pipeline.ports import Bus, ChainState
from pipeline.wire.finding import decode_finding
from pipeline.wire.statement import parse_statement
from tests.edges.crash_child import ISSUER, ROUNDS, TOPICS, batch, files, points, rows
from tests.edges.crash_child import main as go_on_in

CHILD = Path(__file__).with_name("crash_child.py")

# Every durable step of the embedded edges, and how often it is passed before the process dies.
AT_START = ["key.draft", "key.rename", "bus.topics.commit", "bus.topics.committed"]
AT_START += ["bus.bridge.open.commit", "bus.bridge.open.committed"]
IN_ROUNDS = ["bus.bridge.inserted", "bus.bridge.commit", "bus.bridge.committed"]
IN_ROUNDS += ["bus.courier.resume.commit", "bus.courier.resume.committed"]
IN_ROUNDS += ["points.inserted", "points.commit", "points.committed"]
IN_ROUNDS += ["receipts.inserted", "receipts.commit", "receipts.committed"]
IN_ROUNDS += ["findings.inserted", "findings.commit", "findings.committed"]
IN_ROUNDS += ["alarms.inserted", "alarms.commit", "alarms.committed"]
IN_ROUNDS += ["files.log.draft", "files.log.rename", "files.log.sync", "files.log.synced"]
STEPS = [f"{name}:1" for name in AT_START] + [f"{name}:{2 + n % 4}" for n, name in enumerate(IN_ROUNDS)]


def start(folder: Path, crash_at: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"CITYPROOF_CRASH_AT": crash_at}
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )


def go_on(folder: Path) -> list[str]:
    """Do what is left, here; return what was said."""
    said: list[str] = []
    asyncio.run(go_on_in(folder, lambda what, which: said.append(f"{what} {which}")))
    return said


def acknowledged(said: list[str], what: str) -> set[int]:
    return {int(line.split()[1]) for line in said if line.startswith(what + " ")}


async def values(bus: Bus, topic: str, partition: int) -> list[bytes]:
    async with bus.reader(topic, [partition]) as reader:
        messages = await reader.read(1000, 0)
    assert [m.offset for m in messages] == list(range(len(messages)))
    return [m.value for m in messages]


async def check(folder: Path, said: list[str]) -> None:
    """Nothing acknowledged is missing, and every round is there wholly or not at all."""
    async with SqliteBus.open(folder / "bus.db", TOPICS) as bus:
        log = [int(value) for value in await values(bus, "log", 0)]
        assert log == list(range(len(log))), "in order, without a gap, none twice"
        assert acknowledged(said, "appended") <= set(log)
        for partition in (0, 1):
            expected = [item.value for n in log for item in batch(n)[:2] if item.partition == partition]
            assert await values(bus, "statements", partition) == expected
        resumed = await bus.committed("courier", "log", 0)
        assert max(acknowledged(said, "resumes"), default=-1) < resumed + 1
        assert resumed <= len(log)
    async with SqlitePoints.open(folder / "points.db"):
        pass
    with read_points(folder / "points.db") as reader:
        stored = list(reader.scan())
    whole = {n for n in range(ROUNDS) if any(p.time_us == n for p in stored)}
    assert sorted(stored, key=repr) == sorted((p for n in whole for p in points(n)), key=repr)
    assert acknowledged(said, "points") <= whole
    async with SqliteReceiptIndex.open(folder / "receipts.db") as index:
        for n in range(ROUNDS):
            found = [place for row in rows(n) for place in await index.find(ISSUER, 0, row.sequence)]
            assert found in (list(rows(n)), [])
            assert found or n not in acknowledged(said, "rows")
    async with SqliteFindings.open(folder / "findings.db") as outbox:
        kept = [parse_statement(raw) for raw in await outbox.statements()]
        chain = await outbox.chain() or ChainState(1, 0, bytes(32))
    assert [statement.sequence for statement in kept] == list(range(len(kept)))
    previous = [hash_leaf(statement.raw) for statement in kept]
    assert [statement.previous for statement in kept] == [bytes(32), *previous][: len(kept)]
    assert chain == ChainState(1, len(kept), [bytes(32), *previous][-1])
    assert acknowledged(said, "finding") <= {decode_finding(statement.payload).size for statement in kept}
    async with SqliteAlarms.open(folder / "alarms.db") as store:
        memory, alarms = await store.load(), await store.due(0.0, 2 * ROUNDS)
    waiting = {alarm.id for alarm in alarms}
    assert waiting == {f"alarm_{one.entry}" for one in memory.statements}
    assert memory.log_offset == max((one.entry for one in memory.statements), default=0)
    assert {f"alarm_{n}" for n in acknowledged(said, "alarm")} <= waiting
    log_files = LocalFiles(folder / "log")
    written = acknowledged(said, "files")
    for n in range(ROUNDS):
        tile = log_files.read(f"tile/{n}")
        assert tile in (files(n)[f"tile/{n}"], None)
        assert tile is not None or n not in written
    checkpoint = log_files.read("checkpoint")
    newest = max(written, default=-1)
    allowed = [files(n)["checkpoint"] for n in range(max(newest, 0), newest + 2)]
    assert checkpoint in ([None, *allowed] if newest < 0 else allowed)
    assert not list((folder / "log" / ".drafts").iterdir())


@pytest.mark.parametrize("crash_at", STEPS)
def test_killed_at_a_durable_step(tmp_path: Path, crash_at: str) -> None:
    """kill -9 at the n-th pass of a step: nothing lost, nothing by half; then all the rest gets done."""
    with start(tmp_path, crash_at) as child:
        output, _ = child.communicate(timeout=50)
    said = output.splitlines()
    assert child.returncode == -signal.SIGKILL, "the step was passed"
    asyncio.run(check(tmp_path, said))
    said += go_on(tmp_path)
    asyncio.run(check(tmp_path, said))
    assert f"appended {ROUNDS - 1}" in said
    assert len({line for line in said if line.startswith("key ")}) == 1, "an acknowledged key stays"


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """kill -9 at arbitrary moments of one folder's life: every time the same holds."""
    chance = random.Random(7)
    said: list[str] = []
    for _ in range(6):
        with start(tmp_path, "") as child:
            assert child.stdout is not None
            lines = [child.stdout.readline().strip() for _ in range(chance.randrange(2, 6))]
            child.kill()
            rest, _ = child.communicate()
        said += [*lines, *rest.splitlines()]
        asyncio.run(check(tmp_path, said))
    said += go_on(tmp_path)
    asyncio.run(check(tmp_path, said))


def hook(crash_at: str, *names: str) -> int:
    """Pass steps in a new process and return its exit code."""
    code = "import sys; from pipeline.durable import step\nfor name in sys.argv[1:]: step(name)"
    environment = os.environ | {"CITYPROOF_CRASH_AT": crash_at}
    return subprocess.run(
        [sys.executable, "-c", code, *names], env=environment, check=False, stderr=subprocess.DEVNULL
    ).returncode


def test_the_hook_counts_passes_of_its_own_name_only() -> None:
    """The n-th pass kills, not an earlier one; other names, and no variable, never do."""
    assert hook("a:2", "a", "b", "b") == 0
    assert hook("a:2", "a", "b", "a") == -signal.SIGKILL
    assert hook("", "", "a") == 0
    assert hook("a:0", "a") == 0


def test_a_variable_that_makes_no_sense_is_no_silent_one() -> None:
    """A test that mistyped it would otherwise pass without a crash."""
    assert hook("a", "a") == 1
    assert hook("a:x", "a") == 1
