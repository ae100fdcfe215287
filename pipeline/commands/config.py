"""`cityproof config`: which settings are in force, and where each is from."""

import json
from pathlib import Path

from pipeline.settings import load_settings


def run(file: Path | None, *, as_json: bool) -> int:
    """Print the settings, as TOML that can be saved and given back, or as JSON."""
    rows = load_settings(file).rows
    if as_json:
        print(json.dumps({name: {"value": value, "from": origin} for name, (value, origin) in rows.items()}))
        return 0
    lines = {_line(name, value): origin for name, (value, origin) in rows.items()}
    width = max(map(len, lines))
    for line, origin in lines.items():
        print(f"{line:{width}}  # {origin}")
    return 0


def _line(name: str, value: object) -> str:
    """Return a line of TOML, which has no way to write what is not set."""
    return f"# {name} is not set" if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}"
