"""Networks small enough to know every answer of, and EPANET's own water quality as an oracle."""

from pathlib import Path

import numpy as np
from epanet import toolkit

from pipeline.tracing.water.hydraulics import JUNCTION, RESERVOIR, TANK, Hydraulics

HOUR_S = 3600.0


def line(*flows_m3_s: float, pipe_m3: float = 36.0, hours: float = 10.0) -> Hydraulics:
    """Return a -- b -- c: two pipes alike; one flow after the other, each as long. Water comes from a."""
    starts = np.arange(len(flows_m3_s)) * hours * HOUR_S / len(flows_m3_s)
    return Hydraulics(
        nodes=("a", "b", "c"),
        kinds=np.array([RESERVOIR, JUNCTION, JUNCTION]),
        coordinates=np.full((3, 2), np.nan),
        link_ends=np.array([[0, 1], [1, 2]]),
        link_m3=np.array([pipe_m3, pipe_m3]),
        starts_s=starts,
        end_s=hours * HOUR_S,
        flow_m3_s=np.array([[flow, flow] for flow in flows_m3_s]),
        tank_m3=np.zeros((len(flows_m3_s), 3)),
    )


def tank(content_m3: float, flow_m3_s: float, hours: float = 10.0) -> Hydraulics:
    """Return a -- tank -- c, as much going in as out."""
    return Hydraulics(
        nodes=("a", "tank", "c"),
        kinds=np.array([JUNCTION, TANK, JUNCTION]),
        coordinates=np.full((3, 2), np.nan),
        link_ends=np.array([[0, 1], [1, 2]]),
        link_m3=np.array([0.0, 0.0]),
        starts_s=np.array([0.0]),
        end_s=hours * HOUR_S,
        flow_m3_s=np.array([[flow_m3_s, flow_m3_s]]),
        tank_m3=np.array([[0.0, content_m3, 0.0]]),
    )


def epanet_carries(
    path: Path, node: str, onset_s: int, end_s: int, rate_mg_s: float, duration_s: int, every_s: int
) -> tuple[list[str], np.ndarray]:
    """Let EPANET's own water quality carry an injection; returns node names and mg/m³, (times, nodes)."""
    project = toolkit.createproject()
    toolkit.open(project, str(path), "/dev/null", "")
    toolkit.settimeparam(project, toolkit.DURATION, duration_s)
    toolkit.settimeparam(project, toolkit.QUALSTEP, 60)
    nodes = range(1, toolkit.getcount(project, toolkit.NODECOUNT) + 1)
    toolkit.openH(project)
    toolkit.initH(project, 1)
    step = 1
    while step > 0:
        toolkit.runH(project)
        step = toolkit.nextH(project)
    toolkit.closeH(project)
    toolkit.setqualtype(project, toolkit.CHEM, "substance", "ug/L", "")
    for one in nodes:
        toolkit.setnodevalue(project, one, toolkit.INITQUAL, 0.0)
    for link in range(1, toolkit.getcount(project, toolkit.LINKCOUNT) + 1):
        if toolkit.getlinktype(project, link) <= toolkit.PIPE:
            toolkit.setlinkvalue(project, link, toolkit.KBULK, 0.0)
            toolkit.setlinkvalue(project, link, toolkit.KWALL, 0.0)
    source = toolkit.getnodeindex(project, node)
    toolkit.setnodevalue(project, source, toolkit.SOURCETYPE, toolkit.MASS)
    seen = np.zeros((duration_s // every_s, len(nodes)))
    toolkit.openQ(project)
    toolkit.initQ(project, 0)
    left = 1
    while left > 0:
        now = toolkit.runQ(project)
        rate_ug_min = rate_mg_s * 60e3 if onset_s <= now < end_s else 0.0
        toolkit.setnodevalue(project, source, toolkit.SOURCEQUAL, rate_ug_min)
        if now % every_s == 0 and now < duration_s:
            seen[now // every_s] = [toolkit.getnodevalue(project, one, toolkit.QUALITY) for one in nodes]
        left = toolkit.stepQ(project)
    names = [toolkit.getnodeid(project, one) for one in nodes]
    toolkit.deleteproject(project)
    return names, seen
