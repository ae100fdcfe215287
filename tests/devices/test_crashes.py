"""Killed at any step and started again: no sequence is used twice, nothing unreceipted is lost.

The child process dies by SIGKILL at a chosen step, is started again on the same folder, dies again and so on;
the last start drains. What it published is known to this test from a file the child cannot buffer.
"""

import subprocess
import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from devices.outbox import Outbox
from pipeline.wire.statement import Statement, parse_statement

CHILD = Path(__file__).with_name("crash_child.py")
CHECKOUT = CHILD.parents[2]


def crash(folder: Path, steps: Iterable[int]) -> list[str]:
    """Run the child and return the names of the steps it died at."""
    command = [sys.executable, str(CHILD), str(folder), *map(str, steps)]
    subprocess.run(command, cwd=CHECKOUT, env={"PYTHONPATH": str(CHECKOUT)}, check=True, timeout=50)
    return (folder / "steps").read_text().split("\n")[:-1]


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_step(tmp_path: Path, seed: int) -> None:
    """After many crashes: one byte string an identity, chains linked, everything answered or parked."""
    random = Random(seed)
    steps = list(range(1, 30)) if seed == 0 else [random.randint(1, 60) for _ in range(10)]
    steps += [random.randint(20, 160) for _ in range(30)]
    died_at = crash(tmp_path, steps)
    assert len(set(died_at)) >= 15, "fewer kinds of steps than there are"
    sent = [bytes.fromhex(line) for line in (tmp_path / "sent").read_text().split()]
    by_identity: dict[tuple[str, int, int], Statement] = {}
    for raw in sent:
        statement = parse_statement(raw)
        identity = (statement.issuer, statement.epoch, statement.sequence)
        first_sent = by_identity.setdefault(identity, statement)
        assert first_sent.raw == raw, "one identity, two byte strings"
    epochs = {(issuer, epoch) for issuer, epoch, _ in by_identity}
    assert len({issuer for issuer, _ in epochs}) == 3
    for issuer, epoch in epochs:
        chain = sorted(
            (statement for identity, statement in by_identity.items() if identity[:2] == (issuer, epoch)),
            key=lambda statement: statement.sequence,
        )
        assert [statement.sequence for statement in chain] == list(range(len(chain)))
        previous = bytes(32)
        for statement in chain:
            assert statement.previous == previous
            previous = sha256(b"\x00" + statement.raw).digest()
    assert len(epochs) == 3, "no epoch is begun twice: its begin is durable before anything is signed in it"
    with Outbox(tmp_path / "outbox.db") as outbox:
        totals = outbox.totals()
    assert totals.waiting == 0
    assert totals.receipted + sum(totals.parked.values()) == len(by_identity)
    assert totals.parked.keys() <= {"pack_value"}
