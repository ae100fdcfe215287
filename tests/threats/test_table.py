"""docs/threats.md says what the tests say: every row has its test, every bad history is in it."""

import importlib
import re

import pytest

from pipeline.wire.reasons import BY_CODE
from tests.threats.table import PAGE, THREATS, Threat, filled

ACTORS = ("operator", "device", "gateway", "key thief", "bad input")


def test_the_page_is_as_the_table_gives_it() -> None:
    """Nobody edited it by hand, or forgot `make docs`."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page), "run `make docs`"


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.test)
def test_a_row_names_a_test_that_there_is(threat: Threat) -> None:
    """In the module of its actor; and codes that there are."""
    module, _, name = threat.test.partition(".")
    assert module == f"test_{threat.actor.replace(' ', '_')}"
    assert callable(getattr(importlib.import_module(f"tests.threats.{module}"), name))
    assert set(re.findall(r"`(\w+)`", threat.reasons)) <= BY_CODE.keys()


def test_every_actor_has_rows() -> None:
    """Those of the threat model that concern the log."""
    assert tuple(dict.fromkeys(threat.actor for threat in THREATS)) == ACTORS
