"""The pages that are tables of the code say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import BY_CODE

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load_writer() -> ModuleType:
    """Return docs/write_tables.py, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("write_tables", DOCS / "write_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", load_writer().pages())
def test_pages_are_as_the_code_gives_them(name: str) -> None:
    """Nobody edited the page by hand, or forgot `make docs`."""
    assert (DOCS / name).read_text(encoding="utf-8") == load_writer().pages()[name], "run `make docs`"


def test_no_reason_is_left_out() -> None:
    """Every code has a row of its own, under some heading."""
    page = (DOCS / "reasons.md").read_text(encoding="utf-8")

    assert [code for code in BY_CODE if page.count(f"| `{code}` |") != 1] == []


def test_no_quantity_is_left_out() -> None:
    """Every quantity has a row of its own."""
    page = (DOCS / "quantities.md").read_text(encoding="utf-8")

    assert [name for name in QUANTITIES if page.count(f"\n| `{name}` |") != 1] == []


def test_every_reason_is_given_by_some_check_in_the_pages() -> None:
    """verification.md and formats.md say which check gives which reason; families as `cbor_*` count."""
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("verification.md", "formats.md"))

    assert {code for code in BY_CODE if f"`{code}`" not in text} == set()
