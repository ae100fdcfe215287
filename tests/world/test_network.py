"""The drinking-water network: mass is conserved, the past does not change, and an injection can be traced."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from devices.world import district, epanet
from devices.world.network import DAY_S, SEEN_MG_L, STEP_S, Injection, Network
from devices.world.scenarios import InjectionPlan

START_S = 1_773_100_800.0  # 2026-03-10T00:00Z, 08:00 in the district.
PLAN = InjectionPlan(
    onset_s=(1800.0, 5400.0), duration_s=(1200.0, 5400.0), rate_mg_min=(2e5, 2e6), sensors_min=2
)


def test_net3_is_the_one_wntr_ships() -> None:
    """97 nodes and 119 links, and every sensor stands at the coordinates the file gives its node."""
    with epanet.open_project(epanet.net3_path()) as project:
        assert project.count(epanet.COUNT_NODES) == 97
        assert project.count(epanet.COUNT_LINKS) == 119
    lines = (
        epanet.net3_path()
        .read_text(encoding="utf-8")
        .split("[COORDINATES]")[1]
        .split("[")[0]
        .splitlines()[2:]
    )
    written = {
        row[0]: (float(row[1]), float(row[2]))
        for row in map(str.split, lines)
        if len(row) == 3 and row[0] != ";Node"
    }
    for node, place in district.PIPE_SENSORS.items():
        assert written[node] == pytest.approx(place)


def held_mg(project: epanet.Project) -> float:
    """Return the mass in tanks and pipes; codes of EPANET's toolkit, feet and inches of Net3."""
    litres_per_ft3 = 28.316846592
    total = 0.0
    for node in range(1, 98):
        if project.node_type(node) == 2:  # EN_TANK; 24 is EN_TANKVOLUME.
            volume_l = project.node_value(node, 24) * litres_per_ft3
            total += volume_l * project.node_value(node, epanet.NODE_QUALITY)
    for link in range(1, 120):  # 0 is EN_DIAMETER, 1 EN_LENGTH, 14 EN_LINKQUAL.
        area_ft2 = np.pi / 4.0 * (project.link_value(link, 0) / 12.0) ** 2
        volume_l = area_ft2 * project.link_value(link, 1) * litres_per_ft3
        total += volume_l * project.link_value(link, 14)
    return total


def test_what_is_injected_is_drunk_or_still_inside() -> None:
    """Ten kilograms injected over two hours are drunk a day later, or still in tanks and pipes."""
    with epanet.open_project(epanet.net3_path()) as project:
        project.set_time(epanet.TIME_DURATION, DAY_S)
        project.set_time(epanet.TIME_QUALITY_STEP, STEP_S)
        nodes = [n for n in range(1, 98) if project.node_type(n) == epanet.JUNCTION]
        times, demands = [], []
        for now in project.run_hydraulics():
            times.append(now)
            demands.append([project.node_value(n, 9) for n in nodes])  # EN_DEMAND, gal/min.
        project.call("setqualtype", epanet.QUALITY_CHEMICAL, b"salt", b"mg/L", b"")
        source = project.node_index("269")  # Nobody drinks at this node itself.
        project.set_node_value(source, epanet.NODE_SOURCE_TYPE, epanet.SOURCE_MASS)
        drunk_mg, injected_mg, inside_mg = 0.0, 0.0, 0.0
        for now in project.run_quality():
            rate = 1e7 / 120.0 if 3600 <= now < 3 * 3600 else 0.0
            project.set_node_value(source, epanet.NODE_SOURCE_QUALITY, rate)
            injected_mg += rate * STEP_S / 60.0
            at = demands[int(np.searchsorted(times, now, side="right")) - 1]
            quality = [project.node_value(n, epanet.NODE_QUALITY) for n in nodes]
            drunk_mg += float(np.dot(at, quality)) * epanet.LPS_PER_GPM * STEP_S
            inside_mg = held_mg(project) if now % 7200 == 0 else inside_mg
    assert injected_mg == pytest.approx(1e7)
    assert drunk_mg > 1e6
    assert drunk_mg + inside_mg == pytest.approx(1e7, rel=0.02)


def test_dispersion_before_a_sensor_keeps_the_mass() -> None:
    """Smearing moves a plug in time: its sum stays, its peak falls, nothing comes before its cause."""
    network = Network(5, START_S, None)
    plug = np.zeros((600, len(district.PIPE_SENSORS)))
    plug[100:110] = 7.0
    smeared = network._disperse(plug)
    np.testing.assert_allclose(smeared.sum(axis=0), plug.sum(axis=0), rtol=1e-6)
    assert (smeared[:100] == 0.0).all()
    assert (smeared.max(axis=0) < 7.0).all()


def test_solving_further_ahead_does_not_change_the_past() -> None:
    """The first days come out the same to the last bit whether three days are solved or six."""
    network = Network(5, START_S, PLAN)
    before = network._solution
    list(network.values(START_S + 4 * DAY_S))
    after = network._solution
    assert len(after.chlorine_mg_l) == 2 * len(before.chlorine_mg_l)
    for name in ("chlorine_mg_l", "conductivity_s_m", "contaminant_mg_l"):
        old = getattr(before, name)
        np.testing.assert_array_equal(getattr(after, name)[: len(old)], old)
    # Flow and pressure are interpolated: after the last solved step there was nothing to interpolate to.
    whole = len(before.flow_l_s) - 60
    np.testing.assert_array_equal(after.flow_l_s[:whole], before.flow_l_s[:whole])
    np.testing.assert_array_equal(after.pressure_pa[:whole], before.pressure_pa[:whole])


@pytest.mark.parametrize("seed", range(5))
def test_an_injection_is_seen_by_two_sensors_after_it_began(seed: int) -> None:
    """Whatever the seed: one injection within the plan, seen by two sensors, by none before its time."""
    network = Network(seed, START_S, PLAN)
    (injection,) = network.injections
    assert PLAN.onset_s[0] <= injection.onset_s - START_S <= PLAN.onset_s[1]
    assert PLAN.duration_s[0] <= injection.duration_s <= PLAN.duration_s[1]
    assert PLAN.rate_mg_min[0] <= injection.rate_mg_min <= PLAN.rate_mg_min[1]
    assert (network._solution.contaminant_mg_l.max(axis=0) > SEEN_MG_L).sum() >= 2
    for minute in range(int((injection.onset_s - START_S) / 60.0)):
        at = int((START_S - network._zero_s) / 60.0) + minute
        assert (network._solution.contaminant_mg_l[at] == 0.0).all()


def test_contamination_shows_in_what_is_measured() -> None:
    """Where the contaminant passes, conductivity and turbidity rise and free chlorine falls, against none."""
    dirty, clean = Network(2, START_S, PLAN), Network(2, START_S, None)
    peak = np.unravel_index(dirty._solution.contaminant_mg_l.argmax(), dirty._solution.contaminant_mg_l.shape)
    time_s = dirty._zero_s + 60.0 * int(peak[0])
    station = f"pipe-{list(district.PIPE_SENSORS)[int(peak[1])]}"
    with_it, without = dict(dirty.values(time_s))[station], dict(clean.values(time_s))[station]
    assert with_it["conductivity"] > 1.2 * without["conductivity"]
    assert with_it["turbidity"] > 2.0 * without["turbidity"]
    assert with_it["free_chlorine"] < 0.9 * without["free_chlorine"]
    assert with_it["flow_pipe"] == without["flow_pipe"]


def test_ordinary_water_is_drinkable() -> None:
    """Over two days without an injection every value is what a healthy network has."""
    network = Network(9, START_S, None)
    for minute in range(0, 2880, 7):
        for _, values in network.values(START_S + 60.0 * minute):
            assert 0.2 < values["free_chlorine"] < 1.0
            assert 0.037 < values["conductivity"] < 0.057
            assert values["turbidity"] < 1.0
            assert 150e3 < values["network_pressure"] < 800e3


def test_demands_differ_from_the_file_but_not_beyond_reason() -> None:
    """Two seeds have other flows, and both stay within a third of each other on the main."""
    flows = [Network(seed, START_S, None)._solution.flow_l_s[1440:, 2].mean() for seed in (1, 2)]
    assert flows[0] != flows[1]
    assert flows[0] == pytest.approx(flows[1], rel=0.33)


def test_the_truth_says_what_was_injected() -> None:
    """Mass, place and time stand in the truth as they were drawn."""
    network = Network(3, START_S, PLAN)
    (injection,) = network.injections
    (told,) = cast("list[dict[str, Any]]", network.truth()["injections"])
    assert isinstance(injection, Injection)
    assert told["node"] == injection.node
    assert told["mass_kg"] == pytest.approx(injection.rate_mg_min * injection.duration_s / 60e6)


def test_the_engine_leaves_no_files_behind() -> None:
    """Scratch files of the engine stay out of the working folder, and the working folder stays."""
    there = Path.cwd()
    before = set(there.iterdir())
    Network(1, START_S, None)
    assert set(there.iterdir()) == before
    assert Path.cwd() == there
