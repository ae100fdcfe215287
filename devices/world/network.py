"""The drinking-water network: EPANET's Net3 with demands, injections and dispersion drawn at random.

The whole network is solved ahead for a span of days and only what the sensors see is kept: arrays of
minutes by sensors. When time reaches the end of the span it is solved again from the beginning for twice
as long; every draw belongs to its day, so the part already told comes out the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, pi, sin

import numpy as np
from numpy.typing import NDArray

from devices.world import district, epanet
from devices.world.draw import stream
from devices.world.scenarios import InjectionPlan

DAY_S = 86_400
STEP_S = 60  # Of water quality, and of what is kept.
DEMAND_CV = 0.15  # Between a node's demand and the one in Net3.inp, for good.
DEMAND_HOUR_CV = 0.10  # And from hour to hour.
PUMP_HOURS = (1, 15)  # Net3's controls run the lake's pump from 1:00 to 15:00, written out for seven days.
RESERVOIR_S_M = {"River": 0.038, "Lake": 0.056}  # Conductivity.
RESERVOIR_CHLORINE_MG_L = {"River": 0.95, "Lake": 0.80}
CHLORINE_BULK_PER_DAY, CHLORINE_WALL_FT_PER_DAY = -0.35, -0.3
S_M_PER_MG_L = 2.1e-4  # Conductivity of dissolved salt.
CHLORINE_DEMAND_L_MG = 0.006
TURBIDITY_NTU_PER_MG_L = 0.012
SEEN_MG_L = 5.0  # A contamination counts as seen where it exceeds this.

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Injection:
    """A contamination: `rate_mg_min` enters at `node` from `onset_s` (UTC) for `duration_s`."""

    node: str
    onset_s: float
    duration_s: float
    rate_mg_min: float


@dataclass(frozen=True, slots=True)
class Solution:
    """What the sensors see, per minute from the simulation's start: arrays of (minutes, sensors)."""

    chlorine_mg_l: FloatArray
    conductivity_s_m: FloatArray
    contaminant_mg_l: FloatArray
    pressure_pa: FloatArray
    flow_l_s: FloatArray


class Network:
    """Net3 under the district's streets. `start_s` is the scenario's start, UTC."""

    def __init__(self, seed: int, start_s: float, plan: InjectionPlan | None) -> None:
        self._seed = seed
        self._start_s = start_s
        local_s = start_s + district.UTC_OFFSET_S
        # A day before the start is thrown away: by then tanks and pipes have forgotten how they began.
        self._zero_s = start_s - local_s % DAY_S - DAY_S
        self._nodes = tuple(district.PIPE_SENSORS)
        draw = stream(seed, "network")
        self._dispersion_s = draw.lognormal(np.log(150.0), 0.5, len(self._nodes))
        self._days = 3 if plan else 2  # An injection takes most of a day to pass all sensors it reaches.
        self.injections: list[Injection] = []
        if plan is None:
            self._solution = self._solve()
        else:
            self._inject(plan)

    def values(self, time_s: float) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield (station name, values) for the minute that begins at `time_s`."""
        minute = int((time_s - self._zero_s) // STEP_S)
        while minute >= len(self._solution.chlorine_mg_l):
            self._days *= 2
            self._solution = self._solve()
        day = 2.0 * pi * (time_s + district.UTC_OFFSET_S) / DAY_S
        found = self._solution
        for i, node in enumerate(self._nodes):
            excess = float(found.contaminant_mg_l[minute, i])
            chlorine = float(found.chlorine_mg_l[minute, i])
            flow = float(found.flow_l_s[minute, i])
            yield (
                f"pipe-{node}",
                {
                    "temperature": 14.5 + 0.4 * sin(day - 2.2) + 0.3 * sin(float(i)),
                    "ph": 7.55 + 0.06 * sin(day + i) - 0.0008 * min(excess, 500.0),
                    "free_chlorine": chlorine * exp(-CHLORINE_DEMAND_L_MG * excess),
                    "turbidity": 0.18 + 0.0006 * abs(flow) + TURBIDITY_NTU_PER_MG_L * excess,
                    "conductivity": float(found.conductivity_s_m[minute, i]) + S_M_PER_MG_L * excess,
                    "flow_pipe": flow,
                    "network_pressure": float(found.pressure_pa[minute, i]),
                },
            )

    def truth(self) -> dict[str, object]:
        """Return the injections, and how demands and dispersion differ from what Net3.inp says."""
        return {
            "network": "Net3",
            "sensors": list(self._nodes),
            "injections": [
                {
                    "node": injection.node,
                    "onset_s": injection.onset_s,
                    "duration_s": injection.duration_s,
                    "rate_mg_min": injection.rate_mg_min,
                    "mass_kg": injection.rate_mg_min * injection.duration_s / 60.0 / 1e6,
                }
                for injection in self.injections
            ],
            "demand_cv": DEMAND_CV,
            "demand_hour_cv": DEMAND_HOUR_CV,
            "dispersion_s": dict(zip(self._nodes, self._dispersion_s.tolist(), strict=True)),
        }

    def _inject(self, plan: InjectionPlan) -> None:
        """Draw an injection until at least two sensors see it; a node that nobody sees traces to nothing."""
        draw = stream(self._seed, "network-injection")
        with epanet.open_project(epanet.net3_path()) as project:
            nodes = _junctions(project)
        for _ in range(200):
            self.injections = [
                Injection(
                    node=nodes[int(draw.integers(len(nodes)))],
                    onset_s=self._start_s + STEP_S * round(draw.uniform(*plan.onset_s) / STEP_S),
                    duration_s=float(STEP_S * round(draw.uniform(*plan.duration_s) / STEP_S)),
                    rate_mg_min=float(np.exp(draw.uniform(*np.log(plan.rate_mg_min)))),
                )
            ]
            self._solution = self._solve()
            if (self._solution.contaminant_mg_l.max(axis=0) > SEEN_MG_L).sum() >= plan.sensors_min:
                return
        raise AssertionError("no injection is seen: the plan in scenarios.toml is too weak")

    def _solve(self) -> Solution:
        minutes = self._days * DAY_S // STEP_S
        with epanet.open_project(epanet.net3_path()) as project:
            project.set_time(epanet.TIME_DURATION, self._days * DAY_S)
            project.set_time(epanet.TIME_QUALITY_STEP, STEP_S)
            self._draw_demands(project)
            self._daily_pump(project)
            nodes = [project.node_index(node) for node in self._nodes]
            pressure, flow = self._hydraulics(project, nodes, minutes)
            project.call("setqualtype", epanet.QUALITY_CHEMICAL, b"chemical", b"mg/L", b"")
            conductivity = self._carry(project, nodes, minutes, RESERVOIR_S_M, start=0.045)
            _set_decay(project, CHLORINE_BULK_PER_DAY, CHLORINE_WALL_FT_PER_DAY)
            chlorine = self._carry(project, nodes, minutes, RESERVOIR_CHLORINE_MG_L, start=0.4)
            _set_decay(project, 0.0, 0.0)
            contaminant = np.zeros((minutes, len(nodes)))
            if self.injections:
                contaminant = self._carry(project, nodes, minutes, {}, injections=self.injections)
        return Solution(chlorine, conductivity, self._disperse(contaminant), pressure, flow)

    def _draw_demands(self, project: epanet.Project) -> None:
        """Give every junction a pattern of its own: Net3's, times a factor for good, times one an hour."""
        names = _junctions(project)
        spread = np.sqrt(np.log1p(DEMAND_CV**2))
        lasting = np.exp(stream(self._seed, "network-demand").normal(-(spread**2) / 2, spread, len(names)))
        hours = np.concatenate(
            [
                stream(self._seed, "network-hours", day).normal(1.0, DEMAND_HOUR_CV, (24, len(names)))
                for day in range(self._days)
            ]
        ).clip(0.3)
        for column, name in enumerate(names):
            node = project.node_index(name)
            usual = np.resize(project.pattern_of(node), len(hours))
            pattern = project.add_pattern(f"own-{name}", list(usual * hours[:, column] * lasting[column]))
            project.call("setdemandpattern", node, 1, pattern)

    def _daily_pump(self, project: epanet.Project) -> None:
        for control in project.timers():
            project.call("deletecontrol", control)
        pump = project.link_index("10")
        for day in range(self._days):
            for hour, setting in zip(PUMP_HOURS, (1.0, 0.0), strict=True):
                project.add_timer(pump, setting, day * DAY_S + hour * 3600)

    def _hydraulics(
        self, project: epanet.Project, nodes: list[int], minutes: int
    ) -> tuple[FloatArray, FloatArray]:
        """Solve flows and pressures, and interpolate both to minutes: taps do not turn on the hour."""
        links = [project.link_index(link) for link in district.PIPE_METERS]
        times, pressures, flows = [], [], []
        for now in project.run_hydraulics():
            times.append(now)
            pressures.append([project.node_value(node, epanet.NODE_PRESSURE) for node in nodes])
            flows.append([project.link_value(link, epanet.LINK_FLOW) for link in links])
        at = np.arange(minutes) * float(STEP_S)
        pressure = np.array(pressures).T * epanet.PA_PER_PSI
        flow = np.array(flows).T * epanet.LPS_PER_GPM
        return (
            np.stack([np.interp(at, times, column) for column in pressure], axis=1),
            np.stack([np.interp(at, times, column) for column in flow], axis=1),
        )

    def _carry(
        self,
        project: epanet.Project,
        nodes: list[int],
        minutes: int,
        reservoirs: dict[str, float],
        *,
        start: float = 0.0,
        injections: list[Injection] | None = None,
    ) -> FloatArray:
        """Carry one substance through the network: reservoirs hold it, injections add mass."""
        for node in range(1, project.count(epanet.COUNT_NODES) + 1):
            initial = reservoirs.get(project.node_name(node), start)
            project.set_node_value(node, epanet.NODE_INITIAL_QUALITY, initial)
        sources = [(project.node_index(found.node), found) for found in injections or []]
        for node, _ in sources:
            project.set_node_value(node, epanet.NODE_SOURCE_TYPE, epanet.SOURCE_MASS)
        seen = np.zeros((minutes, len(nodes)))
        for now in project.run_quality():
            for node, found in sources:
                since_s = self._zero_s + now - found.onset_s
                rate = found.rate_mg_min if 0.0 <= since_s < found.duration_s else 0.0
                project.set_node_value(node, epanet.NODE_SOURCE_QUALITY, rate)
            if now < minutes * STEP_S:
                seen[now // STEP_S] = [project.node_value(node, epanet.NODE_QUALITY) for node in nodes]
        return seen

    def _disperse(self, seen: FloatArray) -> FloatArray:
        """Smear what EPANET carries as a plug: a mixing volume before each sensor; keeps the mass."""
        keep = np.exp(-STEP_S / self._dispersion_s)
        state = np.zeros(seen.shape[1])
        smeared = np.empty_like(seen)
        for minute, fresh in enumerate(seen):
            state = keep * state + (1.0 - keep) * fresh
            smeared[minute] = state
        return smeared


def _set_decay(project: epanet.Project, bulk_per_day: float, wall_ft_per_day: float) -> None:
    for link in range(1, project.count(epanet.COUNT_LINKS) + 1):
        project.set_link_value(link, epanet.LINK_BULK_DECAY, bulk_per_day)
        project.set_link_value(link, epanet.LINK_WALL_DECAY, wall_ft_per_day)


def _junctions(project: epanet.Project) -> list[str]:
    count = project.count(epanet.COUNT_NODES)
    return [
        project.node_name(node) for node in range(1, count + 1) if project.node_type(node) == epanet.JUNCTION
    ]
