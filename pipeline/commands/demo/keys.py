"""The demo's keys: a device has changed its key amid the run; now the authority revokes the old one.

What the old key signed before stays in the log and stays provable. Done by the commands that people use.
"""

import asyncio
import json
import sys
import time
from typing import Any

from pipeline.embedded import RunningCity
from pipeline.folder import CityFolder

WAIT_S = 20.0
WHY = "rotated out in the demo"


async def revoke_old_keys(
    folder: CityFolder, city: RunningCity, rotations: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Have the old keys of these rotations revoked; return those keys whose end the log tells."""
    broker = f"mqtt://{city.host}:{city.port}"
    by = ("--key", str(folder.authority_key), "--policy", str(folder.policy), "--broker", broker, "--yes")
    ended: list[dict[str, Any]] = []
    for rotation in rotations:
        issuer, old = rotation["issuer"], rotation["old"]
        await _told("revoke", issuer, "--key-id", old, "--why", WHY, *by)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:  # What is receipted comes under a checkpoint soon.
            shown = await _told("show", issuer, str(folder.root))
            found = [key for key in shown["keys"] if key["key"] == old and key["state"] == "revoked"]
            if found:
                ended += found
                break
    return ended


async def _told(*arguments: str) -> Any:
    """Run `cityproof device …` and return its JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pipeline.cli",
        "device",
        *arguments,
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return json.loads(out or b'{"keys": []}')
