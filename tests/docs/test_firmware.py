"""docs/firmware.md: its worked example is the published vector, its figures are those of today's code."""

import json
import re
from pathlib import Path

import pytest

from devices import link, schedule
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_SENML, sign_statement
from tests.docs.examples import TRUCK

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "firmware.md").read_text(encoding="utf-8")
AIR = ("pm2_5", "pm10", "so2", "no2", "o3", "co", "ch4")


def test_the_worked_example_is_the_published_vector() -> None:
    """The annotated bytes, joined, are the second statement of wire.json."""
    block = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    line = re.compile(r"\s*((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:\s{2,}\S.*)?")
    shown = [line.fullmatch(text) for text in block[1].splitlines()]
    vectors = json.loads((CHECKOUT / "tests" / "vectors" / "wire.json").read_text(encoding="utf-8"))

    joined = "".join(found[1] for found in shown if found).replace(" ", "")

    assert all(shown)
    assert joined == vectors["statements"]["made"][1]["bytes"]


@pytest.mark.parametrize("records", [1, 7, 100])
def test_the_sizes_are_those_of_todays_code(records: int) -> None:
    """A statement of so many air readings takes as many bytes as the table says."""
    issuer = "urn:dev:ops:32473-air-7"
    pack = [
        Record(AIR[i % 7], "ppm" if i % 7 == 6 else "ug/m3", 10.1 + i / 10, 1.7e9 + 60 * (i // 7))
        for i in range(records)
    ]
    raw = sign_statement(
        TRUCK,
        issuer=issuer,
        subject="station-7",
        content_type=CONTENT_SENML,
        epoch=1_700_000_000,
        sequence=1000,
        previous=bytes(32),
        payload=encode_pack(issuer, pack),
    )
    row = re.search(r"^\| statement \| (.*) \|$", PAGE, re.MULTILINE)
    assert row is not None

    assert len(raw) == {1: 237, 7: 331, 100: 2112}[records]
    assert re.findall(r"[\d,]+(?= bytes| with)", row[1]) == ["237", "331", "2,112"]


def test_the_waits_are_those_of_the_reference_device() -> None:
    """What the page tells firmware to do is what devices/ does."""
    assert f"keep-alive {link.KEEPALIVE_S} s" in PAGE
    assert f"double from {link.RECONNECT_FIRST_S} s to {link.RECONNECT_MAX_S:.0f} s" in PAGE
    assert f"after {schedule.RESEND_FIRST_S:.0f} s, then doubling up to {schedule.RESEND_MAX_S:.0f} s" in PAGE
    assert f"spread over {schedule.RECONNECT_SPREAD_S:.0f} s" in PAGE
    assert f"at most {schedule.IN_FLIGHT_PER_ISSUER} statements unanswered" in PAGE
