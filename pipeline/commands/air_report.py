"""One printable page of a trace, in Chinese and English."""

from html import escape
from pathlib import Path
from typing import Any

from pipeline.commands.air_answer import Inputs
from pipeline.tracing.events import Found


def write_report(path: Path, answer: dict[str, Any], inputs: Inputs, found: Found) -> None:
    """Write the page."""
    lines = [f"<p>{escape(text)}</p>" for text in answer["warnings"]]
    path.write_text(f"<!doctype html><meta charset=utf-8>{len(found.events)} {inputs.quantity}{''.join(lines)}")
