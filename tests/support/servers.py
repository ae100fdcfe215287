"""Where the real servers of this machine are, which `make stack` has started."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path


def stack_file() -> Path:
    """Return where `make stack` says which servers run."""
    cache = os.environ.get("CITYPROOF_CACHE") or Path.home() / ".cache" / "cityproof"
    return Path(cache) / "stack" / "servers.json"


def answering() -> bool:
    """Tell whether every server that `make stack` has started still answers."""
    if not stack_file().is_file():
        return False
    for address in servers().values():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
    return True


def servers() -> Mapping[str, str]:
    """Return the address of each server, by its name."""
    found: dict[str, str] = json.loads(stack_file().read_text())
    return found
