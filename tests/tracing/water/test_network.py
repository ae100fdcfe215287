"""From samples back to the node: cases whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.edges.epanet import Network
from pipeline.tracing.water.hydraulics import Hydraulics
from pipeline.tracing.water.inversion import Binary, Graded
from pipeline.tracing.water.network import NetworkTrace, trace_network
from pipeline.tracing.water.posterior import credible_set
from tests.tracing.water.networks import epanet_carries, line

QUARTER_S = 900.0


def graded_at_c(values: np.ndarray) -> Graded:
    """Return samples at node c, one every quarter of an hour."""
    times = np.arange(len(values), dtype=np.float64) * QUARTER_S
    return Graded(np.full(len(values), 2), times, values, np.full(len(values), 1.0))


def test_onset_end_and_rate_of_a_known_injection_are_within_their_intervals() -> None:
    """0.5 mg/s into 10 L/s at b from hour 2 to 4 give 50 mg/m³ at c from hour 3 to 5."""
    times_h = np.arange(36) / 4
    noise = np.random.default_rng(1).normal(0.0, 1.0, 36)
    values = np.where((times_h >= 3.0) & (times_h < 5.0), 50.0, 0.0) + noise
    found = trace_network([line(0.01)], graded_at_c(values), None).posterior
    assert found.nothing < 1e-3
    best = next(one for one in found.hypotheses if one.node == 1)
    assert best.start * 0.25 == pytest.approx(2.0, abs=0.25)
    assert (best.start + best.length) * 0.25 == pytest.approx(4.0, abs=0.25)
    assert found.rate_mg_s.low < 0.5 < found.rate_mg_s.high
    assert found.rate_mg_s.high < 3 * found.rate_mg_s.low


def test_nodes_on_one_line_cannot_be_told_apart_and_say_so() -> None:
    """An injection at a an hour before, or at b, or at c an hour later: the same in every sample at c."""
    times_h = np.arange(36) / 4
    values = np.where((times_h >= 3.0) & (times_h < 5.0), 50.0, 0.0)
    found = trace_network([line(0.01)], graded_at_c(values), None).posterior
    assert sorted(found.classes[0]) == [0, 1, 2]
    assert found.nodes == pytest.approx(np.full(3, 1 / 3), abs=0.1)
    assert credible_set(found.nodes, 0.9).tolist() == [0, 1, 2]


def test_clean_samples_are_of_no_injection() -> None:
    """Where nothing is seen nothing is claimed."""
    values = np.random.default_rng(2).normal(0.0, 1.0, 36)
    assert trace_network([line(0.01)], graded_at_c(values), None).posterior.nothing > 0.8
    binary = Binary(np.full(36, 2), np.arange(36, dtype=np.float64) * QUARTER_S, np.zeros(36, np.bool_))
    assert trace_network([line(0.01)], None, binary).posterior.nothing > 0.5


@pytest.fixture(scope="module")
def net3(shared: Path) -> Hydraulics:
    """Net3's flows over two days."""
    with Network(shared / "tracing-data/water/Net3.inp") as network:
        return network.solve(2 * 86_400)


def cycle(net3: Hydraulics, shared: Path, number: int) -> NetworkTrace:
    """Trace the samples of one cycle of the Water Security Toolkit's case."""
    path = shared / f"tracing-data/water/wst-net3-case/Cycle{number}/inversion/MEASURES.dat"
    rows = [words for text in path.read_text().splitlines() if len(words := text.split()) == 3]
    rows = [words for words in rows if words[0] != "#"]
    node = np.array([net3.nodes.index(words[0]) for words in rows])
    time_s = np.array([float(words[1]) for words in rows])
    return trace_network([net3], None, Binary(node, time_s, np.array([words[2] != "0" for words in rows])))


def test_the_toolkits_case_narrows_to_one_class_of_two(net3: Hydraulics, shared: Path) -> None:
    """Binary samples leave 163, the true node, and 265 by cycle 3, and call them one class."""
    found = [cycle(net3, shared, number).posterior for number in (1, 2, 3)]
    likeliest = [{net3.nodes[node] for node in credible_set(one.nodes, 0.9)} for one in found]
    assert all("163" in nodes for nodes in likeliest)
    sets = [len(nodes) for nodes in likeliest]
    assert sorted(net3.nodes[node] for node in found[2].classes[0]) == ["163", "265"]
    assert sets[0] > sets[1] > sets[2]


def test_the_next_sample_is_taken_where_it_tells_the_two_apart(net3: Hydraulics, shared: Path) -> None:
    """After cycle 3 one sample is worth most of the bit that is left."""
    best = cycle(net3, shared, 3).next_samples[0]
    assert best.bits > 0.6
    assert 0.2 < best.p_positive < 0.8
    assert best.bin * 60.0 > 34_200.0  # After the last sample.


def test_graded_samples_that_epanet_made_lead_back_to_their_node(shared: Path) -> None:
    """What EPANET itself carries from 119 is traced to a set that holds 119."""
    path = shared / "tracing-data/water/Net3.inp"
    sensors = ("117", "149", "167", "213", "253")
    with Network(path) as network:
        flows = network.solve(2 * 86_400)
    names, seen = epanet_carries(path, "119", 8 * 3600, 12 * 3600, 2000.0, 86_400, 900)
    columns = [names.index(sensor) for sensor in sensors]
    values = seen[:, columns].T.ravel()
    node = np.repeat([flows.nodes.index(sensor) for sensor in sensors], len(seen))
    times = np.tile(np.arange(len(seen), dtype=np.float64) * 900.0, len(sensors))
    found = trace_network([flows], Graded(node, times, values, np.full(len(values), 10.0)), None)
    posterior = found.posterior
    assert flows.nodes.index("119") in credible_set(posterior.nodes, 0.9)
    assert posterior.rate_mg_s.low < 2000.0 < posterior.rate_mg_s.high
    assert posterior.onset_step.median * found.step_s == pytest.approx(8 * 3600, abs=1800)
