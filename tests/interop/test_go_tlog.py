"""Go's own packages note and tlog (golang.org/x/mod/sumdb) open our log, and refuse it changed."""

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.checkpoint import Checkpoint
from pipeline.log.merkle import consistency_path, hash_leaves, inclusion_path_at, root_of
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_base64, encode_vkey
from pipeline.wire.keys import SeedSigner
from tests.interop.conftest import GoProgram
from tests.interop.logs import make_entries, open_log, write_log
from tests.support.city import LOG, WITNESSES, seed

pytestmark = pytest.mark.needs("go")

SIZES = [1, 255, 256, 257, 65_536, 70_000]
VKEYS = [encode_vkey(LOG.key()), *(encode_vkey(signer.key(TYPE_COSIGNATURE)) for signer in WITNESSES)]


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    return make_entries(max(SIZES))


def chosen(size: int) -> list[int]:
    """Numbers below a size: those around full tiles, the edges, and some anywhere."""
    around = {0, 1, 254, 255, 256, 257, 65_279, 65_280, 65_535, 65_536, 69_887, 69_888, size - 2, size - 1}
    anywhere = random.Random(size).sample(range(size), min(size, 20))
    return sorted(number for number in around | set(anywhere) if 0 <= number < size)


def write_proofs(path: Path, folder: Path, checkpoint: Checkpoint, entries: Sequence[bytes]) -> int:
    """Write proofs that our code makes from the folder's tiles; return how many there are of each kind."""
    read_hash = open_log(folder, checkpoint).read_hash
    leaf_hashes = hash_leaves(entries)
    numbers = chosen(checkpoint.size)
    proofs = {
        "inclusions": [
            {"index": n, "path": list(map(encode_base64, inclusion_path_at(n, checkpoint.size, read_hash)))}
            for n in numbers
        ],
        "consistencies": [
            {
                "size": n + 1,
                "root": encode_base64(root_of(leaf_hashes[: n + 1])),
                "path": list(map(encode_base64, consistency_path(n + 1, checkpoint.size, read_hash))),
            }
            for n in numbers
        ],
    }
    path.write_text(json.dumps(proofs), encoding="utf-8")
    return len(numbers)


def check(program: str, *arguments: str | Path) -> Any:
    """Run the program; return what it found."""
    ended = subprocess.run([program, *arguments], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def refusal(program: str, *arguments: str | Path) -> str:
    """Run the program; return why it refuses."""
    ended = subprocess.run([program, *arguments], check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stdout
    return ended.stderr


def changed_bytes(size: int, folder: Path, proof_bytes: int) -> dict[str, int]:
    """How many mutants there must be: bits of the checkpoint, bytes of what is partial, hashes, entries."""
    full, partial = 0, 0
    for level in range(3):
        tiles, width = divmod(size >> 8 * level, 256)
        full += tiles * 256
        partial += width * 32
    bundle = folder / f"tile/entries/{_number(size // 256)}.p/{size % 256}"
    return {
        "checkpoint": 8 * (folder / "checkpoint").stat().st_size,
        "full tiles": full,
        "partial tiles": partial,
        "full bundles": size - size % 256,
        "partial bundles": bundle.stat().st_size if size % 256 else 0,
        "proofs": proof_bytes,
    }


def _number(number: int) -> str:
    assert number < 1000
    return f"{number:03}"


@pytest.mark.parametrize("size", SIZES)
def test_go_accepts_our_log_and_refuses_it_with_one_byte_changed(
    size: int, entries: list[bytes], go_program: GoProgram, tmp_path: Path
) -> None:
    """Checkpoint, tiles, entries and proofs pass as they are; of the changed bytes none passes.

    Of the checkpoint every bit is changed, of partial tiles and bundles and of proofs every byte; of full
    tiles one byte of each hash, of full bundles one byte of each entry or its length.
    """
    folder, proofs = tmp_path / "log", tmp_path / "proofs.json"
    checkpoint = write_log(folder, entries[:size])
    count = write_proofs(proofs, folder, checkpoint, entries[:size])
    path_hashes = sum(
        len(proof["path"])
        for kind in json.loads(proofs.read_text(encoding="utf-8")).values()
        for proof in kind
    )

    found = check(go_program("tlog"), "-mutants", folder, proofs, *VKEYS)

    upper = sum(size >> 8 * level for level in (1, 2))
    assert found["size"] == found["entries"] == size
    assert found["hashes"] == size + upper
    assert found["inclusions"] == found["consistencies"] == count
    assert {kind: tested["survived"] for kind, tested in found["mutants"].items() if tested["survived"]} == {}
    tried = {kind: tested["tried"] for kind, tested in found["mutants"].items()}
    expected = changed_bytes(size, folder, 32 * path_hashes)
    assert tried == {kind: number for kind, number in expected.items() if number}


def test_go_refuses_keys_that_are_not_those_that_signed(
    entries: list[bytes], go_program: GoProgram, tmp_path: Path
) -> None:
    """A witness too many, another witness, another log."""
    folder, proofs = tmp_path / "log", tmp_path / "proofs.json"
    write_log(folder, entries[:3])
    proofs.write_text("{}", encoding="utf-8")
    log, *witnesses = VKEYS
    other = encode_vkey(NoteSigner("w.example/other", SeedSigner(seed("other"))).key(TYPE_COSIGNATURE))
    town = encode_vkey(NoteSigner("town.example/log", SeedSigner(seed("log"))).key())

    for vkeys, why in (
        ([log, *witnesses[1:]], "3 of 3 keys have signed, and 1 others"),
        ([log, *witnesses, other], "4 of 5 keys have signed, and 0 others"),
        ([town, *witnesses], "3 of 4 keys have signed, and 1 others"),
        ([town], "no verifiable signatures"),
    ):
        assert why in refusal(go_program("tlog"), folder, proofs, *vkeys)


def test_go_names_what_is_wrong_with_a_log(
    entries: list[bytes], go_program: GoProgram, tmp_path: Path
) -> None:
    """A proof of another index, a root of another size, a missing tile."""
    folder, proofs = tmp_path / "log", tmp_path / "proofs.json"
    checkpoint = write_log(folder, entries[:257])
    write_proofs(proofs, folder, checkpoint, entries[:257])
    made = json.loads(proofs.read_text(encoding="utf-8"))

    made["inclusions"][0]["index"] += 1
    proofs.write_text(json.dumps(made), encoding="utf-8")
    assert "inclusion of 1" in refusal(go_program("tlog"), folder, proofs, *VKEYS)
    made["inclusions"][0]["index"] -= 1
    made["consistencies"][0]["root"] = encode_base64(checkpoint.root)
    proofs.write_text(json.dumps(made), encoding="utf-8")
    assert "consistency with 1" in refusal(go_program("tlog"), folder, proofs, *VKEYS)
    (folder / "tile" / "0" / "000").unlink()
    assert "tile/0/000 is missing" in refusal(go_program("tlog"), folder, proofs, *VKEYS)
