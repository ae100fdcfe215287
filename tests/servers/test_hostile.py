"""Bad messages of every class between good ones, on real servers: the bench's short form."""

from contextlib import closing

import pytest

from pipeline.commands.bench.pipeline.hostile import besiege
from pipeline.commands.bench.pipeline.malice import CLASSES
from pipeline.commands.bench.pipeline.stack import InfluxMeter, find_stack

MESSAGES = 200


@pytest.mark.needs("servers")
@pytest.mark.timeout(300)
async def test_every_good_message_is_stored_and_every_bad_one_kept_with_its_reason() -> None:
    """Of each class as many as there are good ones; a replay is a duplicate, counted as one."""
    stack = find_stack()
    with closing(InfluxMeter(stack)) as influx:
        siege = await besiege(stack, influx, MESSAGES)
    assert siege.stored == siege.good >= MESSAGES * (len(CLASSES) + 2)
    assert {name: (found.sent, found.kept) for name, found in siege.classes.items()} == dict.fromkeys(
        CLASSES, (MESSAGES, MESSAGES)
    )
