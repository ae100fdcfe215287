"""Fixtures of the devices' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devices.fakes import Broker, FakeLog


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def fake_log(broker: Broker, tmp_path: Path) -> Iterator[FakeLog]:
    log = FakeLog(tmp_path)
    log.start(broker.port)
    yield log
    log.stop()
