"""A witness killed at every syscall of a cosigning, and raced: it never cosigns two trees that contradict.

The rows of the threat model that this is about: an operator shows different trees (racing requests), and
rolls back (an old memory of a witness is restored).
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.edges.clock import SystemClock
from pipeline.edges.files import LocalFiles
from pipeline.edges.keyfile import load_or_create_key
from pipeline.log.checkpoint import Checkpoint, add_signatures, encode_checkpoint, parse_checkpoint
from pipeline.log.note import (
    TYPE_COSIGNATURE,
    NoteSigner,
    encode_vkey,
    parse_note,
    parse_signatures,
    verified,
)
from pipeline.ports import WitnessAnswer
from pipeline.stages.witness import Witness
from pipeline.wire.keys import SeedSigner
from tests.crash.witness_child import Place, WitnessProcess, count_calls, kill_at
from tests.stages.test_witness import FORKED, LEAVES, LOG, LOGS, checkpoint, proof, request
from tests.support.city import seed

CHECKOUT = Path(__file__).resolve().parents[2]
SUBMITTER = Path(__file__).with_name("submitter.py")
NAME = "w.example/witness"

KNOWN = 5  # Cosigned before; from here on the two trees contradict each other.
HONEST = request(KNOWN, checkpoint(9))
FORK = request(KNOWN, checkpoint(8, FORKED), leaves=FORKED)
ASKED = {HONEST: checkpoint(9), FORK: checkpoint(8, FORKED)}


def start(folder: Path) -> WitnessProcess:
    """A witness that has cosigned up to KNOWN; its thread for files is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.txt").write_text(f"log {encode_vkey(LOG.key())}\nquorum none\n", encoding="ascii")
    process = WitnessProcess(folder, NAME)
    (answer,) = process.submit(request(0, checkpoint(KNOWN)))
    assert answer is not None
    assert answer.status == 200
    return process


def restarted(folder: Path) -> Witness:
    """The same witness after a crash."""
    signer = NoteSigner(NAME, load_or_create_key(folder / "witness" / "witness.key", NAME))
    files, guard = LocalFiles(folder / "witness" / "state"), LocalFiles(folder / "guard")
    return Witness(signer, LOGS, files, guard, SystemClock())


def cosigned(asked: Checkpoint, answer: WitnessAnswer | None, folder: Path) -> bool:
    """Tell whether the answer is a cosignature, and verify it if so."""
    if answer is None or answer.status != 200:
        return False
    signer = NoteSigner(NAME, load_or_create_key(folder / "witness" / "witness.key", NAME))
    note = add_signatures(encode_checkpoint(asked).encode() + b"\n", parse_signatures(answer.body))
    assert len(verified(parse_note(note), [signer.key(TYPE_COSIGNATURE)])) == 1
    return True


def remembered(witness: Witness) -> Checkpoint:
    """The latest checkpoint that it shows to monitors."""
    note = witness.latest(sha256(LOG.name.encode()).hexdigest())
    assert note is not None
    return parse_checkpoint(parse_note(note).text)


async def judge(folder: Path, given: Sequence[Checkpoint]) -> None:
    """After a restart: what was cosigned is remembered, nothing older and no other tree is cosigned."""
    witness = restarted(folder)
    latest = remembered(witness)
    assert latest in [checkpoint(KNOWN), *ASKED.values()]
    assert len(given) <= 1, "of two trees that contradict each other one at most is cosigned"
    assert not given or latest == given[0], "what was answered is not forgotten"

    older = await witness.add_checkpoint(request(0, checkpoint(KNOWN)))
    assert (older.status, older.body) == (409, b"%d\n" % latest.size)
    if latest.size > KNOWN:
        own, other = (LEAVES, FORKED) if latest == ASKED[HONEST] else (FORKED, LEAVES)
        split = request(latest.size, checkpoint(latest.size, other), [])
        assert (await witness.add_checkpoint(split)).status == 409
        larger = request(latest.size, checkpoint(20, other), proof(latest.size, 20, other))
        assert (await witness.add_checkpoint(larger)).status == 422
    else:
        own = LEAVES
    growth = request(latest.size, checkpoint(20, own), proof(latest.size, 20, own))
    assert (await witness.add_checkpoint(growth)).status == 200


def kill_everywhere(tmp_path: Path, requests: Sequence[bytes]) -> tuple[list[Place], list[Place]]:
    """Kill one witness after another, each at another place; return all places and those it died at."""
    with start(tmp_path / "counted") as process:
        places = count_calls(process, requests, tmp_path)
    died = []
    for number, place in enumerate(places):
        folder = tmp_path / f"killed-{number}"
        with start(folder) as process:
            answers = kill_at(process, place, requests)
            if not process.is_alive():
                assert process.wait() == -signal.SIGKILL
                died.append(place)
        asked = [ASKED[body] for body in requests]
        given = [c for c, answer in zip(asked, answers, strict=True) if cosigned(c, answer, folder)]
        asyncio.run(judge(folder, given))
        shutil.rmtree(folder)
    return places, died


def check_reach(places: Sequence[Place], died: Sequence[Place]) -> None:
    """Every call of the thread that writes files was a place to die at; so were those that hear and answer.

    How often a thread waits for another differs from run to run, and so may what follows the answer.
    """
    calls = Counter(place.syscall for place in died if place.thread == 1)
    # Memory and guard: each a draft, its bytes, their sync, the rename, the sync of the folder.
    assert (calls["write"], calls["fsync"], calls["rename"]) == (2, 4, 2)
    assert [p for p in places if p.thread == 1 and p.syscall != "futex" and p not in died] == []
    assert {"accept4", "recvfrom", "sendto"} <= {place.syscall for place in died if place.thread == 0}
    assert len(died) >= 40


@pytest.mark.needs("strace")
def test_different_trees_a_witness_killed_at_every_syscall_of_a_cosigning(tmp_path: Path) -> None:
    """It goes on with either the old size or the new, cosigns nothing older and no other tree."""
    places, died = kill_everywhere(tmp_path, [HONEST])
    check_reach(places, died)


@pytest.mark.needs("strace")
def test_different_trees_racing_requests_and_a_kill_at_every_syscall(tmp_path: Path) -> None:
    """Two trees at once: one at most is cosigned, before the kill or after the restart."""
    places, died = kill_everywhere(tmp_path, [HONEST, FORK])
    check_reach(places, died)


ROUNDS = 40


def test_different_trees_racing_requests_from_two_processes(tmp_path: Path) -> None:
    """Two processes submit at once, for one log after another: each time one tree is cosigned, not both."""
    logs = [NoteSigner(f"{n}.example/log", SeedSigner(seed(f"log {n}"))) for n in range(ROUNDS)]
    policy = "".join(f"log {encode_vkey(log.key())}\n" for log in logs) + "quorum none\n"
    (tmp_path / "policy.txt").write_text(policy, encoding="ascii")
    trees = [(9, LEAVES), (8, FORKED)]
    with WitnessProcess(tmp_path, NAME) as process:
        command = [sys.executable, "-S", str(SUBMITTER), str(process.port)]
        submitters = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in trees
        ]
        for log in logs:
            for submitter, (size, leaves) in zip(submitters, trees, strict=True):
                body = request(0, checkpoint(size, leaves, log.name), signer=log)
                print(body.hex(), file=submitter.stdin, flush=True)
            answers = [submitter.stdout.readline() for submitter in submitters if submitter.stdout]
            assert sorted(answers) == ["200\n", "409\n"]
        for submitter in submitters:
            submitter.communicate()


def witness_command(folder: Path, memory: str = "witness", guard: str = "guard") -> list[str]:
    """`cityproof run witness` over a folder."""
    command = [sys.executable, "-m", "pipeline.cli", "run", "witness", "--name", NAME, "--port", "0"]
    command += ["--policy", str(folder / "policy.txt")]
    return [*command, "--dir", str(folder / memory), "--guard", str(folder / guard)]


def refusal(command: Sequence[str]) -> str:
    """Run a command that must not start; return what it says."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def test_rollback_a_restored_memory_of_a_witness_is_refused(tmp_path: Path) -> None:
    """The guard outside it has counted on: the witness does not start, and would not if asked again."""
    with start(tmp_path) as process:
        shutil.copytree(tmp_path / "witness", tmp_path / "backup")
        assert [a.status for a in process.submit(HONEST) if a] == [200]
    shutil.rmtree(tmp_path / "witness")
    (tmp_path / "backup").rename(tmp_path / "witness")

    for _ in range(2):
        assert "its memory is older than its guard's count" in refusal(witness_command(tmp_path))


def test_rollback_a_lost_memory_of_a_witness_is_refused(tmp_path: Path) -> None:
    """An empty folder is an old memory too."""
    with start(tmp_path):
        pass
    shutil.rmtree(tmp_path / "witness" / "state")

    assert "its memory is older than its guard's count" in refusal(witness_command(tmp_path))


@pytest.mark.parametrize(("memory", "guard"), [("witness", "guard"), ("witness", "other"), ("copy", "guard")])
def test_different_trees_two_witnesses_do_not_share_a_memory_or_a_guard(
    memory: str, guard: str, tmp_path: Path
) -> None:
    """Each would know half of what was cosigned: the second does not start while the first runs."""
    with start(tmp_path):
        shutil.copytree(tmp_path / "witness", tmp_path / "copy")
        assert "another process is using this folder" in refusal(witness_command(tmp_path, memory, guard))
