"""Write the lock files: one per use, each version with its hashes, none with an index address.

Run by `make lock`. Versions that still satisfy pyproject.toml stay; delete a lock to take the newest.
The other locks take their versions from dev.txt, so that what is tested is what is installed. Not peers.txt:
other people's code, which the tests run in an environment of its own (docs/decisions/peers.md).
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

LOCKS = Path(__file__).parent
PYPROJECT = LOCKS.parent / "pyproject.toml"

# `light.excludes` keeps rich and what it brings out of the light uses (docs/decisions/light-locks.md).
LIGHT = ["--excludes", "locks/light.excludes"]
USES = {
    "dev": ["pyproject.toml", "--extra", "dev"],
    "all": ["pyproject.toml", "--extra", "all"],
    "service": ["pyproject.toml", "--extra", "service"],
    "device": ["pyproject.toml", "--extra", "device", *LIGHT],
    "verify": ["pyproject.toml", *LIGHT],
    "build": ["locks/build.in"],
    "uv": ["locks/uv.in"],
    "peers": ["locks/peers.in"],
}


def digest_dependencies() -> str:
    """Return the SHA-256, in hex, of the canonical JSON of pyproject's dependency tables."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    tables = {name: project[name] for name in ("dependencies", "optional-dependencies", "requires-python")}
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def compile_lock(uv: str, use: str) -> None:
    """Resolve one use for every platform and Python version at once, and put the header before it."""
    lock = LOCKS / f"{use}.txt"
    command = [uv, "pip", "compile", *USES[use], "--output-file", f"locks/{use}.txt", "--quiet"]
    command += ["--no-header", "--annotation-style", "line"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes"]
    if use not in {"dev", "peers"}:
        command += ["--constraints", "locks/dev.txt"]
    subprocess.run(command, check=True, cwd=LOCKS.parent, stdout=subprocess.DEVNULL)
    header = (
        f"# sha256:{digest_dependencies()} of pyproject.toml's dependency tables; written by `make lock`\n"
    )
    lock.write_text(header + lock.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    for name in USES:
        compile_lock(sys.argv[1], name)
