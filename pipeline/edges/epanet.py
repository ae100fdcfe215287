"""EPANET 2.3, which solves how water moves in a network of pipes (https://epanet22.readthedocs.io)."""

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from epanet import toolkit
from numpy.typing import NDArray

from pipeline.tracing.water.hydraulics import JUNCTION, RESERVOIR, TANK, Hydraulics
from pipeline.wire.errors import InputError

_KINDS = {toolkit.JUNCTION: JUNCTION, toolkit.RESERVOIR: RESERVOIR, toolkit.TANK: TANK}
_M3_PER_L = 1e-3

Factors = NDArray[np.float64]


class Network:
    """One network's file in the engine. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        """Read a network; InputError where EPANET refuses it."""
        self._folder = TemporaryDirectory(prefix="cityproof-epanet-")
        self._project = toolkit.createproject()
        try:
            toolkit.open(self._project, str(path), str(Path(self._folder.name) / "report"), "")
            toolkit.openH(self._project)  # Here it looks whether the network is whole.
            toolkit.closeH(self._project)
        except Exception as error:
            self.close()
            raise InputError(
                str(path), f"EPANET does not read it: {error}", "Give an EPANET .inp file."
            ) from error
        toolkit.setflowunits(self._project, toolkit.LPS)  # Metric from here on: L/s, m, mm.
        self._nodes = range(1, toolkit.getcount(self._project, toolkit.NODECOUNT) + 1)
        self.nodes = tuple(str(toolkit.getnodeid(self._project, node)) for node in self._nodes)
        self._links = range(1, toolkit.getcount(self._project, toolkit.LINKCOUNT) + 1)
        self._demands = self._of_nodes(self._base_demand)

    def __enter__(self) -> Self:
        """Return the network."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Free what the engine holds, and its scratch files."""
        toolkit.deleteproject(self._project)
        self._folder.cleanup()

    def solve(self, duration_s: float, factors: Factors | None = None) -> Hydraulics:
        """Solve flows from time 0 on, every node's demand times its factor of `factors` (n,)."""
        project = self._project
        for node in self._nodes:
            if self._demands[node - 1] != 0.0:
                factor = 1.0 if factors is None else float(factors[node - 1])
                toolkit.setbasedemand(project, node, 1, float(self._demands[node - 1]) * factor)
        toolkit.settimeparam(project, toolkit.DURATION, math.ceil(duration_s))
        starts, flows, tanks = [], [], []
        toolkit.openH(project)
        toolkit.initH(project, 0)
        step = 1
        while step > 0:
            starts.append(float(toolkit.runH(project)))
            flows.append(self._of_links(lambda link: toolkit.getlinkvalue(project, link, toolkit.FLOW)))
            tanks.append(self._of_nodes(self._volume))
            step = toolkit.nextH(project)
        toolkit.closeH(project)
        return Hydraulics(
            nodes=self.nodes,
            kinds=np.array([_KINDS[toolkit.getnodetype(project, node)] for node in self._nodes]),
            coordinates=np.array([self._coordinates(node) for node in self._nodes]),
            link_ends=np.array([toolkit.getlinknodes(project, link) for link in self._links]) - 1,
            link_m3=self._of_links(self._holds),
            starts_s=np.array(starts),
            end_s=float(duration_s),
            flow_m3_s=np.array(flows) * _M3_PER_L,
            tank_m3=np.array(tanks),
        )

    def _of_nodes(self, value: Callable[[int], float]) -> Factors:
        return np.array([value(node) for node in self._nodes])

    def _of_links(self, value: Callable[[int], float]) -> Factors:
        return np.array([value(link) for link in self._links])

    def _base_demand(self, node: int) -> float:
        if toolkit.getnodetype(self._project, node) != toolkit.JUNCTION:
            return 0.0
        found: float = toolkit.getbasedemand(self._project, node, 1)
        return found

    def _volume(self, node: int) -> float:
        if toolkit.getnodetype(self._project, node) != toolkit.TANK:
            return 0.0
        found: float = toolkit.getnodevalue(self._project, node, toolkit.TANKVOLUME)
        return found

    def _holds(self, link: int) -> float:
        """Return the volume of a pipe in m³; pumps and valves hold nothing."""
        if toolkit.getlinktype(self._project, link) not in {toolkit.PIPE, toolkit.CVPIPE}:
            return 0.0
        diameter_m = toolkit.getlinkvalue(self._project, link, toolkit.DIAMETER) / 1000.0
        length_m: float = toolkit.getlinkvalue(self._project, link, toolkit.LENGTH)
        return math.pi / 4.0 * float(diameter_m) ** 2 * length_m

    def _coordinates(self, node: int) -> tuple[Any, Any]:
        try:
            x, y = toolkit.getcoord(self._project, node)
        except Exception:  # noqa: BLE001 - the binding raises plain exceptions: this node has none
            return math.nan, math.nan
        return x, y
