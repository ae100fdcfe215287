"""The whole flow under all misfortunes at once: nothing receipted is lost, no leaf is there twice, no fork.

The number in a test's name is its seed: `simulate(seed)` of tests/support/simulation.py makes it again.
"""

from collections import Counter

import pytest

from pipeline.identity import registry
from pipeline.stages import sealing, snapshots
from tests.support.simulation import Simulation, simulate

SEEDS = range(6)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that fill up and snapshots that are taken within the seconds of a simulation."""
    monkeypatch.setattr(sealing, "STATEMENTS_MAX", 16)
    monkeypatch.setattr(sealing, "SNAPSHOT_EVERY", 4)
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY", 2)  # The registry's: it has few blocks.
    monkeypatch.setattr(registry, "ROOTS_KEPT", 2)


def outcome(simulation: Simulation) -> tuple[object, ...]:
    """All that is left of a city."""
    bus, files = simulation.bus, simulation.files.files
    return bus.partitions, files, simulation.points.points, simulation.starts


@pytest.mark.parametrize("seed", SEEDS)
def test_a_city_survives(seed: int) -> None:
    """The invariants hold at every moment and at the end; and there was something to survive."""
    simulation = simulate(seed)
    assert sum(simulation.starts.values()) > 25
    receipted = sum(len(sender.receipted) for sender in simulation.senders.values())
    parked = Counter(reason for sender in simulation.senders.values() for reason in sender.parked.values())
    assert receipted > 100
    assert len(parked) > 3
    assert len(simulation.published) > 10


def test_the_same_seed_gives_the_same_city() -> None:
    """Byte for byte, and start for start: what is found can be found again."""
    assert outcome(simulate(3)) == outcome(simulate(3))
