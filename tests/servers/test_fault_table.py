"""The page's fault matrix is the table of the tests, and every test that it names is there."""

import re

import pytest

from tests.servers.faults import BEGIN, ELSEWHERE, END, PAGE, table


def test_the_page_has_the_table() -> None:
    """Run `python -m tests.servers.faults` to write it."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, end, _ = rest.partition(END)
    assert end
    assert shown.strip() == table()


@pytest.mark.parametrize("test", [test for _, _, test in ELSEWHERE])
def test_a_test_that_is_named_is_there(test: str) -> None:
    """By its module and name."""
    module, name = test.split(".")
    text = (PAGE.parents[1] / "tests" / f"{module}.py").read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)
