"""What people use through a browser. `static/` is served as it is, with a verifier of its own."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
