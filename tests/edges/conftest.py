"""A contract test asks for a port by one of these fixtures and runs on every implementation of it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from pipeline.ports import Files
from tests.edges.implementations import (
    BUSES,
    FOLDERS,
    ON_SERVERS,
    POINT_STORES,
    OpenBus,
    OpenPoints,
    SetClock,
)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def each(table: Iterable[str]) -> list[object]:
    """Every implementation's name; those on real servers are named as not run where there are none."""
    return [
        pytest.param(name, marks=pytest.mark.needs("servers")) if name in ON_SERVERS else name
        for name in table
    ]


@pytest.fixture(params=each(BUSES))
def open_bus(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> OpenBus:
    return BUSES[request.param](tmp_path, clock)


@pytest.fixture(params=sorted(BUSES.keys() - ON_SERVERS))
def open_bus_with_clock(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> OpenBus:
    """Buses whose append times are a clock of ours; a server's are its own."""
    return BUSES[request.param](tmp_path, clock)


@pytest.fixture(params=each(POINT_STORES), scope="session")
def open_points(request: pytest.FixtureRequest) -> Callable[[Path], AbstractAsyncContextManager[OpenPoints]]:
    return POINT_STORES[request.param]


@pytest.fixture(params=FOLDERS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return FOLDERS[request.param](tmp_path / "log")
