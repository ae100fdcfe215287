"""Water and what it carries: delays, dilution, tanks, turning round, and the same backwards."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.edges.epanet import Network
from pipeline.tracing.water.transport import make_transport, spread, trace_back, upstream_of
from tests.tracing.water.networks import epanet_carries, line, tank

MINUTE_S = 60.0


def test_a_pipe_delays_by_what_it_holds_over_its_flow() -> None:
    """36 m³ at 10 L/s take an hour: what enters at b from minute 60 to 90 leaves at c from 120 to 150."""
    transport = make_transport(line(0.01), MINUTE_S)
    mass, water = spread(transport, 1, 60, 90)
    assert np.flatnonzero(water[:, 2] > 0.5).tolist() == list(range(120, 150))
    assert mass[130, 2] == pytest.approx(1.0 / 0.01)  # 1 mg/s into 10 L/s


def test_water_that_turns_round_comes_back_to_where_it_was() -> None:
    """After two hours forwards and an hour back, b holds what had passed it an hour before the turn."""
    transport = make_transport(line(0.01, 0.01, -0.01, hours=3.0), MINUTE_S)
    _, water = spread(transport, 1, 100, 110)
    # Passed b 10 to 20 minutes before the turn at 120, so it is back as long after it.
    assert np.flatnonzero(water[120:, 1] > 0.5).tolist() == list(range(10, 20))


def test_a_tank_dilutes_and_remembers() -> None:
    """A mixed tank of 36 m³ that 10 L/s go through forgets by e in an hour."""
    transport = make_transport(tank(36.0, 0.01), MINUTE_S)
    _, water = spread(transport, 0, 0, 60)
    peak = water[59, 2]
    assert peak == pytest.approx(1.0 - np.exp(-1.0), rel=0.01)
    assert water[119, 2] / peak == pytest.approx(np.exp(-1.0), rel=0.01)


def test_decay_takes_off_by_the_time_on_the_way() -> None:
    """At 24 per day, an hour on the way leaves 1/e."""
    transport = make_transport(line(0.01), MINUTE_S, decay_per_day=24.0)
    mass, _ = spread(transport, 1, 0, 600)
    assert mass[300, 2] / mass[300, 1] == pytest.approx(np.exp(-1.0), rel=1e-3)


def test_backwards_is_forwards_transposed() -> None:
    """What a sample counts of an injection is what the injection gives in the sample."""
    transport = make_transport(line(0.01, -0.004, 0.02, 0.007), MINUTE_S)
    nodes, bins = np.array([2, 2, 1, 0]), np.array([200, 599, 420, 300])
    candidates = upstream_of([transport], nodes)
    back = trace_back(transport, candidates, nodes, bins, 15, 40, diluted=True)
    for row, node in enumerate(candidates):
        for step in range(0, 40, 7):
            mass, _ = spread(transport, int(node), step * 15, step * 15 + 15)
            assert back[row, :, step] == pytest.approx(mass[bins, nodes], rel=1e-4, abs=1e-3)


def test_only_what_lies_upstream_is_a_candidate() -> None:
    """Nothing that enters downstream of a sample can be in it."""
    transport = make_transport(line(0.01), MINUTE_S)
    assert upstream_of([transport], np.array([1])).tolist() == [0, 1]


@pytest.mark.parametrize("node", ["109", "263", "10"])
def test_it_agrees_with_epanets_own_water_quality_on_net3(shared: Path, node: str) -> None:
    """Two hours of injection, two days, 97 nodes, three tanks: within 4 % of all that is carried anywhere."""
    path = shared / "tracing-data/water/Net3.inp"
    with Network(path) as network:
        transport = make_transport(network.solve(2 * 86_400), MINUTE_S)
        names = network.nodes
    told, expected = epanet_carries(path, node, 28_800, 36_000, 1000.0, 2 * 86_400, 300)
    assert list(names) == told
    mass, _ = spread(transport, names.index(node), 480, 600)
    carried = mass[::5] * 1000.0
    reached = expected.max(axis=0) > 0.01 * expected.max()
    assert reached.sum() >= 10
    apart = np.abs(carried - expected)[:, reached].sum() / expected[:, reached].sum()
    assert apart < 0.04
