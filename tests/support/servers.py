"""Where the real servers of this machine are, which `make stack` has started."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def servers() -> Mapping[str, str]:
    """Return the address of each server, by its name."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("CITYPROOF_CACHE") or home / "cityproof")
    found: dict[str, str] = json.loads((cache / "stack" / "servers.json").read_text())
    return found
