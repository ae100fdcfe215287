"""Tessera (transparency-dev/tessera) reads our log, and our witness cosigns a log that Tessera makes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, open_checkpoint, sign_checkpoint
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.tiles import TileReader
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from tests.interop.conftest import GoProgram
from tests.interop.go_keys import write_go_key
from tests.interop.logs import TIME_S, make_entries, reader_of, write_log
from tests.support.city import LOG, WITNESSES

pytestmark = pytest.mark.needs("go")

VKEY = encode_vkey(LOG.key())
COSIGNERS = [encode_vkey(signer.key(TYPE_COSIGNATURE)) for signer in WITNESSES]
CHECKOUT = Path(__file__).resolve().parents[2]
VECTORS: Any = json.loads((CHECKOUT / "tests" / "vectors" / "log.json").read_text(encoding="utf-8"))


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    return make_entries(1000)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_tessera_reads_our_log(
    size: int, entries: list[bytes], go_program: GoProgram, tmp_path: Path
) -> None:
    """Its fsck derives every tile again; its client proves every entry, and growth from older sizes."""
    write_log(tmp_path, entries[:size])

    checked = run(go_program("tessera"), "fsck", tmp_path, VKEY)
    read = run(go_program("tessera"), "read", tmp_path, VKEY, *COSIGNERS)

    assert checked.returncode == 0, checked.stderr
    assert f"Successfully fsck'd log with size {size} " in checked.stderr
    assert (read.returncode, read.stdout) == (0, f"{size}\n"), read.stderr


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("checkpoint", "failed to fetch and verify checkpoint"),
        ("tile/0/000", "failed: tile/0/000: log has"),
        ("tile/0/003.p/232", "failed: tile/0/003.p/232: log has"),
        ("tile/1/000.p/3", "failed: tile/1/000.p/3: log has"),
        ("tile/entries/001", "failed: tile/(0/001|1/000.p/3): log has"),
        ("tile/entries/003.p/232", "failed: tile/0/003.p/232: log has"),
    ],
)
def test_tessera_refuses_our_log_with_a_file_changed(
    path: str, why: str, entries: list[bytes], go_program: GoProgram, tmp_path: Path
) -> None:
    """One bit of the size, one of the last byte of another file: the program that accepted it does notice."""
    write_log(tmp_path, entries)
    data = bytearray((tmp_path / path).read_bytes())
    data[data.index(b"\n1000\n") + 1 if path == "checkpoint" else -1] ^= 1
    (tmp_path / path).write_bytes(data)

    checked = run(go_program("tessera"), "fsck", tmp_path, VKEY)

    assert checked.returncode == 1
    assert re.search(why, checked.stderr)  # Of two tiles that are wrong either may be met first.


# The policies of our vectors that Tessera's dialect can say: it knows neither "none#" nor logs alone.
POLICIES = {policy["name"]: policy for policy in VECTORS["policies"] if policy["name"] in {"nested", "any"}}
SIGNERS = {
    key["vkey"]: NoteSigner(key["name"], SeedSigner(sha256(key["name"][8:9].encode()).digest()))
    for key in VECTORS["keys"]["witnesses"]
}


def with_addresses(policy: str) -> str:
    """The policy with an address for every witness: Tessera asks those that it reads."""
    lines = [line.split() for line in policy.splitlines()]
    for words in lines:
        if words[:1] == ["witness"] and len(words) == 3:
            words.append("https://w.example")
    return "".join(" ".join(words) + "\n" for words in lines)


def write_checkpoints(folder: Path, policy: Policy, sets: Sequence[Collection[str]]) -> list[Path]:
    """One checkpoint for each set of witnesses, cosigned by these."""
    checkpoint = Checkpoint(LOG.name, 7, sha256(b"root").digest())
    note = sign_checkpoint(checkpoint, LOG)
    for number, chosen in enumerate(sets):
        keys = (policy.witnesses[witness][0] for witness in chosen)
        cosignatures = [cosign(checkpoint, SIGNERS[encode_vkey(key)], TIME_S) for key in keys]
        (folder / str(number)).write_bytes(add_signatures(note, cosignatures))
    return [folder / str(number) for number in range(len(sets))]


def has_quorum(policy: Policy, witnesses: Collection[str]) -> bool:
    try:
        policy.check_quorum(witnesses)
    except VerificationError as error:
        if error.reason is not Reason.QUORUM_MISSING:
            raise
        return False
    return True


@pytest.mark.parametrize("name", POLICIES)
def test_tessera_counts_a_quorum_as_we_do(name: str, go_program: GoProgram, tmp_path: Path) -> None:
    """Every set of witnesses under our policy files, nested groups too: its verdict is ours."""
    case = POLICIES[name]
    (tmp_path / "policy.txt").write_text(with_addresses(case["text"]), encoding="utf-8")
    policy = parse_policy(case["text"].encode())
    names = list(policy.witnesses)
    sets = [set(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]

    files = write_checkpoints(tmp_path, policy, sets)
    found = run(go_program("tessera"), "quorum", tmp_path / "policy.txt", *files)

    assert found.returncode == 0, found.stderr
    verdicts = zip(sets, found.stdout.split(), strict=True)
    quorate = [chosen for chosen, verdict in verdicts if verdict == "true"]
    assert quorate == [chosen for chosen in sets if has_quorum(policy, chosen)]
    assert all(set(listed) in quorate for listed in case["quorate"])
    assert not any(set(listed) in quorate for listed in case["not_quorate"])


@dataclass(frozen=True)
class TesseraLog:
    """A log of Tessera's on disk, and the policy by which it is cosigned: one of our witnesses, over HTTP."""

    program: str
    root: Path
    policy: Policy

    def append(self, count: int, folder: str = "log") -> "subprocess.CompletedProcess[str]":
        """Append entries; returns once a cosigned checkpoint covers them, or nobody cosigned for a while."""
        files = (self.root / folder, self.root / "log.key", self.root / "policy.txt")
        return run(self.program, "append", *files, str(count))

    def check(self, note: str) -> Checkpoint:
        """Open a checkpoint with our code, and read with it all that Tessera wrote."""
        checkpoint = open_checkpoint(note.encode(), self.policy).checkpoint
        reader = TileReader(reader_of(self.root / "log"), checkpoint)
        bundles = [reader.read_entries(index) for index in range(-(-checkpoint.size // 256))]
        assert sum(map(len, bundles)) == checkpoint.size
        return checkpoint


@pytest.fixture
def tessera_log(go_program: GoProgram, tmp_path: Path) -> Generator[TesseraLog]:
    """A log of Tessera's, and `cityproof run witness` for it."""
    origin = "town.example/tessera"
    log = write_go_key(tmp_path / "log.key", origin, sha256(b"tessera").digest())
    known = tmp_path / "known.txt"
    known.write_text(f"log {encode_vkey(log.key())}\nquorum none\n", encoding="ascii")
    command = [sys.executable, "-m", "pipeline.cli", "run", "witness", "--name", "w.example/witness"]
    command += ["--policy", str(known), "--dir", str(tmp_path / "w"), "--guard", str(tmp_path / "guard")]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as witness:
        assert witness.stdout is not None
        assert "cosigning for town.example/tessera" in witness.stdout.readline()
        line = witness.stdout.readline()  # As a policy has it: witness NAME vkey url.
        text = f"log {encode_vkey(log.key())}\n{line}quorum {line.split()[1]}\n"
        (tmp_path / "policy.txt").write_text(text, encoding="ascii")
        yield TesseraLog(go_program("tessera"), tmp_path, parse_policy(text.encode()))
        witness.terminate()


def test_our_witness_cosigns_tesseras_log_as_it_grows(tessera_log: TesseraLog) -> None:
    """Tessera accepts our cosignature, asks again from the size we have, proves growth over a full tile."""
    first = tessera_log.append(3)
    assert first.returncode == 0, first.stderr
    assert tessera_log.check(first.stdout).size == 3

    second = tessera_log.append(300)
    assert second.returncode == 0, second.stderr
    assert tessera_log.check(second.stdout).size == 303


def test_our_witness_cosigns_no_second_log_of_tesseras(tessera_log: TesseraLog) -> None:
    """Another history under the same key and origin: Tessera publishes no checkpoint over it."""
    assert tessera_log.append(3).returncode == 0

    other = tessera_log.append(4, "other")

    assert other.returncode == 1
    assert not (tessera_log.root / "other" / "checkpoint").exists()
    assert tessera_log.append(1).returncode == 0
