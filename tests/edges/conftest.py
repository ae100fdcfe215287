"""A contract test asks for a port by one of these fixtures and runs on every implementation of it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from pipeline.ports import Files
from tests.edges.implementations import BUSES, FOLDERS, POINT_STORES, OpenBus, OpenPoints, SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=BUSES)
def open_bus(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> OpenBus:
    return BUSES[request.param](tmp_path, clock)


@pytest.fixture(params=POINT_STORES, scope="session")
def open_points(request: pytest.FixtureRequest) -> Callable[[Path], AbstractAsyncContextManager[OpenPoints]]:
    return POINT_STORES[request.param]


@pytest.fixture(params=FOLDERS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return FOLDERS[request.param](tmp_path / "log")
