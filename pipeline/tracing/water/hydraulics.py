"""What a hydraulic engine has solved: which way water moves, and how much, from period to period."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JUNCTION, RESERVOIR, TANK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Hydraulics:
    """Flows of a network of n nodes and l links over p periods; within a period nothing changes.

    Water of a link comes from `link_ends[:, 0]` where its flow is positive.
    """

    nodes: tuple[str, ...]
    kinds: Integers  # (n,) JUNCTION, RESERVOIR or TANK
    coordinates: Floats  # (n, 2) as the network's file gives them; nan: not given
    link_ends: Integers  # (l, 2) indices into `nodes`
    link_m3: Floats  # (l,) what each holds; 0 for pumps and valves
    starts_s: Floats  # (p,) when each period begins, since the simulation's start
    end_s: float
    flow_m3_s: Floats  # (p, l)
    tank_m3: Floats  # (p, n) what each tank holds when the period begins; 0 elsewhere
