"""Where the real servers of this machine are, which `make stack` has started."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

CACHE = Path(
    os.environ.get("CITYPROOF_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cityproof"
)


def servers() -> Mapping[str, str]:
    """Return the address of each server, by its name."""
    found: dict[str, str] = json.loads((CACHE / "stack" / "servers.json").read_text())
    return found
