"""How water carries a substance through pipes: from any place and time to any other, forwards and back.

Time is cut into bins of some minutes. What leaves a node in one bin is a mixture of what reached it, each
part having left another node some bins before: a sparse, causal, linear relation between concentrations
at nodes in bins, after the input-output model of Zierolf, Polycarpou and Uber (1998). Water that turns
round in a pipe is followed back to the node it came from; between bins it is interpolated. Tanks are
mixed throughout. Substances decay by first order.

Forwards the relation gives the concentrations that an injection causes; its transpose gives, of one
sample, how much every place and time before counts in it, for all candidates at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from pipeline.tracing.water.hydraulics import RESERVOIR, TANK, Floats, Hydraulics, Integers

Singles = NDArray[np.float32]

NOTHING = 1e-6  # A part of the water that is smaller is lost sight of.
_STILL_M3_S = 1e-9


@dataclass(frozen=True, slots=True)
class Transport:
    """The relation over b bins, l links, n nodes; arrays of (b, l) are of what each link brings."""

    bin_s: float
    to_node: NDArray[np.int32]  # (b, l) where it arrives; -1: nothing arrives
    from_node: NDArray[np.int32]  # (b, l) where that water left; -1: it was in the pipe at the start
    from_bin: NDArray[np.float32]  # (b, l) when it left, in bins
    part: NDArray[np.float32]  # (b, l) of what is mixed at the node, with what decays on the way taken off
    kept: NDArray[np.float32]  # (b, n) of a tank's content: what was there a bin before
    through_m3_s: NDArray[np.float32]  # (b, n) what leaves each node, which dilutes what enters there
    order: NDArray[np.int32]  # (b, n) nodes from upstream to downstream
    links_at: Integers  # CSR: the links of each node
    links_from: Integers  # (n + 1,)

    @property
    def bins(self) -> int:
        """Return into how many bins the time is cut."""
        return len(self.to_node)


def make_transport(hydraulics: Hydraulics, bin_s: float, decay_per_day: float = 0.0) -> Transport:
    """Derive the relation from flows; every node smears a front by up to a bin."""
    bins = int(np.ceil(hydraulics.end_s / bin_s))
    middle_s = (np.arange(bins) + 0.5) * bin_s
    period = np.searchsorted(hydraulics.starts_s, middle_s, side="right") - 1
    flow = hydraulics.flow_m3_s[period]
    decay = decay_per_day / 86_400.0 * bin_s
    to_node, from_node, from_bin = _follow_back(flow, hydraulics.link_m3 / bin_s, hydraulics.link_ends)
    tank = np.stack(
        [
            np.interp(middle_s - bin_s / 2, hydraulics.starts_s, column) if kind == TANK else np.zeros(bins)
            for kind, column in zip(hydraulics.kinds, hydraulics.tank_m3.T, strict=True)
        ],
        axis=1,
    )
    fixed = hydraulics.kinds == RESERVOIR
    part, kept, through = _mix(flow, hydraulics.link_ends, to_node, from_bin, tank / bin_s, fixed, decay)
    links_at, links_from = _adjacent(hydraulics.link_ends, len(hydraulics.nodes))
    per_period = np.stack(
        [_upstream_first(row, hydraulics.link_ends, links_at, links_from) for row in hydraulics.flow_m3_s]
    )
    return Transport(
        bin_s, to_node, from_node, from_bin, part, kept, through, per_period[period], links_at, links_from
    )


def spread(transport: Transport, node: int, first_bin: int, end_bin: int) -> tuple[Floats, Floats]:
    """Carry an injection of 1 mg/s at a node forwards.

    Returns concentrations in mg/m³ and parts of water that was there when it entered, both (b, n).
    """
    found: tuple[Floats, Floats] = _forwards(
        *_arrays(transport, transport.order), transport.through_m3_s, node, first_bin, end_bin
    )
    return found


def upstream_of(transports: Sequence[Transport], sample_nodes: Integers) -> Integers:
    """Return the nodes whose water ever reaches a sample, in any of these flows, ascending."""
    nodes = len(transports[0].links_from) - 1
    edges = np.concatenate([_edges(transport, nodes) for transport in transports])
    came_from: dict[int, set[int]] = {}
    for edge in np.unique(edges).tolist():
        came_from.setdefault(edge % nodes, set()).add(edge // nodes)
    found, waiting = set(), [int(node) for node in np.unique(sample_nodes)]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(came_from.get(node, ()))
    return np.array(sorted(found), dtype=np.int64)


def trace_back(
    transport: Transport,
    candidates: Integers,
    sample_nodes: Integers,
    sample_bins: Integers,
    bins_a_step: int,
    steps: int,
    *,
    diluted: bool,
) -> Singles:
    """Say what an injection at each of c candidates in each step counts in m samples: (c, m, steps).

    Diluted: mg/m³ in the sample for 1 mg/s over the whole step; else the part of the sample that passed the
    candidate in that step. The candidates hold all that `upstream_of` names.
    """
    row = np.full(transport.kept.shape[1], -1, np.int64)
    row[candidates] = np.arange(len(candidates))
    order = transport.order[row[transport.order] >= 0].reshape(transport.bins, len(candidates))
    arrays = _arrays(transport, order)
    found: Singles = _backwards(
        *arrays, transport.through_m3_s, row, sample_nodes, sample_bins, bins_a_step, steps, diluted
    )
    return found


def _edges(transport: Transport, nodes: int) -> Integers:
    """Return every pair of nodes between which water went, as one number each."""
    there = (transport.to_node >= 0) & (transport.from_node >= 0)
    start, end = transport.from_node[there].astype(np.int64), transport.to_node[there].astype(np.int64)
    return np.unique(start * nodes + end)


def _arrays(transport: Transport, order: NDArray[np.int32]) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
    return (
        transport.to_node,
        transport.from_node,
        transport.from_bin,
        transport.part,
        transport.kept,
        order,
        transport.links_at,
        transport.links_from,
    )


@njit(cache=True)
def _follow_back(flow: Any, link_bins: Any, ends: Any) -> Any:
    """Follow what arrives at a link's end in the middle of each bin back to where it entered the link.

    `link_bins` is what a link holds, over a bin's length: (l,) in m³/s.
    """
    bins, links = flow.shape
    to_node = np.full((bins, links), -1, np.int32)
    from_node = np.full((bins, links), -1, np.int32)
    from_bin = np.zeros((bins, links), np.float32)
    for link in range(links):
        holds = link_bins[link]
        for b in range(bins):
            q = flow[b, link]
            if abs(q) < _STILL_M3_S:
                continue
            to_node[b, link] = ends[link, 1] if q > 0.0 else ends[link, 0]
            # Its distance, in volume, from the link's first end, going back from the middle of the bin.
            at = holds if q > 0.0 else 0.0
            past, k, share = b + 0.0, b, 0.5
            while k >= 0:
                q = flow[k, link]
                before = at - q * share
                if before <= 0.0 and q > 0.0:
                    from_node[b, link] = ends[link, 0]
                    from_bin[b, link] = past - at / q
                    break
                if before >= holds and q < 0.0:
                    from_node[b, link] = ends[link, 1]
                    from_bin[b, link] = past - (holds - at) / -q
                    break
                at = before
                past -= share
                share = 1.0
                k -= 1
    return to_node, from_node, from_bin


@njit(cache=True)
def _mix(flow: Any, ends: Any, to_node: Any, from_bin: Any, tank: Any, fixed: Any, decay: float) -> Any:
    """Say what part each arriving link has of the mixture at its node, and what leaves each node."""
    bins, links = flow.shape
    nodes = len(fixed)
    part = np.zeros((bins, links), np.float32)
    kept = np.zeros((bins, nodes), np.float32)
    through = np.zeros((bins, nodes), np.float32)
    total = np.zeros(nodes)
    leaving = np.zeros(nodes)
    for b in range(bins):
        total[:] = tank[b]
        leaving[:] = 0.0
        for link in range(links):
            n = to_node[b, link]
            if n >= 0:
                total[n] += abs(flow[b, link])
                leaving[ends[link, 0] if n == ends[link, 1] else ends[link, 1]] += abs(flow[b, link])
        for link in range(links):
            n = to_node[b, link]
            if n >= 0 and not fixed[n]:
                part[b, link] = abs(flow[b, link]) / total[n] * np.exp(-decay * (b - from_bin[b, link]))
        for n in range(nodes):
            if tank[b, n] > 0.0:
                kept[b, n] = tank[b, n] / total[n] * np.exp(-decay)
            through[b, n] = leaving[n] if fixed[n] else total[n]
    return part, kept, through


def _adjacent(ends: Integers, nodes: int) -> tuple[Integers, Integers]:
    both = np.concatenate([ends[:, 0], ends[:, 1]])
    link = np.tile(np.arange(len(ends)), 2)
    sorting = np.argsort(both, kind="stable")
    return link[sorting], np.searchsorted(both[sorting], np.arange(nodes + 1))


@njit(cache=True)
def _upstream_first(flow: Any, ends: Any, links_at: Any, links_from: Any) -> Any:
    """Return nodes so that water flows from earlier to later ones; a ring of pumps is cut where it is met."""
    nodes = len(links_from) - 1
    waits_for = np.zeros(nodes, np.int64)
    for link in range(len(flow)):
        if abs(flow[link]) >= _STILL_M3_S:
            waits_for[ends[link, 1] if flow[link] > 0.0 else ends[link, 0]] += 1
    order = np.empty(nodes, np.int32)
    placed = np.zeros(nodes, np.bool_)
    done, begun, next_cut = 0, 0, 0
    for n in range(nodes):
        if waits_for[n] == 0:
            order[done] = n
            placed[n] = True
            done += 1
    while done < nodes or begun < done:
        if begun == done:
            while placed[next_cut]:
                next_cut += 1
            order[done] = next_cut
            placed[next_cut] = True
            done += 1
        n = order[begun]
        begun += 1
        for i in range(links_from[n], links_from[n + 1]):
            link = links_at[i]
            if abs(flow[link]) < _STILL_M3_S:
                continue
            start, end = (
                (ends[link, 0], ends[link, 1]) if flow[link] > 0.0 else (ends[link, 1], ends[link, 0])
            )
            if start == n:
                waits_for[end] -= 1
                if waits_for[end] == 0 and not placed[end]:
                    order[done] = end
                    placed[end] = True
                    done += 1
    return order


@njit(cache=True)
def _forwards(
    to_node: Any,
    from_node: Any,
    from_bin: Any,
    part: Any,
    kept: Any,
    order: Any,
    links_at: Any,
    links_from: Any,
    through: Any,
    node: int,
    first: int,
    end: int,
) -> Any:
    bins, nodes = kept.shape
    mass = np.zeros((bins, nodes))
    water = np.zeros((bins, nodes))
    for b in range(first, bins):
        for position in range(nodes):
            n = order[b, position]
            m, w = 0.0, 0.0
            for i in range(links_from[n], links_from[n + 1]):
                link = links_at[i]
                if to_node[b, link] != n or from_node[b, link] < 0:
                    continue
                source = from_node[b, link]
                low = int(np.floor(from_bin[b, link]))
                share = from_bin[b, link] - low
                if low + 1 > b or (low + 1 == b and source == n):
                    share = 0.0
                if low >= 0:
                    m += part[b, link] * (1.0 - share) * mass[low, source]
                    w += part[b, link] * (1.0 - share) * water[low, source]
                if share > 0.0:
                    m += part[b, link] * share * mass[low + 1, source]
                    w += part[b, link] * share * water[low + 1, source]
            if b > 0 and kept[b, n] > 0.0:
                m += kept[b, n] * mass[b - 1, n]
                w += kept[b, n] * water[b - 1, n]
            if n == node and b < end:
                if through[b, n] > 0.0:
                    m += 1.0 / through[b, n]
                w = 1.0
            mass[b, n] = m
            water[b, n] = w
    return mass, water


@njit(cache=True, parallel=True)
def _backwards(  # noqa: C901 - one sweep, for numba to compile as a whole
    to_node: Any,
    from_node: Any,
    from_bin: Any,
    part: Any,
    kept: Any,
    order: Any,
    links_at: Any,
    links_from: Any,
    through: Any,
    row: Any,
    sample_nodes: Any,
    sample_bins: Any,
    bins_a_step: int,
    steps: int,
    diluted: bool,  # noqa: FBT001 - numba takes positions
) -> Any:
    nodes = kept.shape[1]
    candidates = order.shape[1]
    samples = len(sample_nodes)
    counts = np.zeros((candidates, samples, steps), np.float32)
    for sample in prange(samples):
        weight = np.zeros((sample_bins[sample] + 1, nodes), np.float32)
        weight[sample_bins[sample], sample_nodes[sample]] = 1.0
        for b in range(sample_bins[sample], -1, -1):
            now = weight[b]
            step = b // bins_a_step
            for position in range(candidates - 1, -1, -1):
                n = order[b, position]
                w = now[n]
                if w < NOTHING:
                    continue
                if not diluted:
                    counts[row[n], sample, step] += w
                elif through[b, n] > 0.0:
                    counts[row[n], sample, step] += w / through[b, n]
                if b > 0 and kept[b, n] > 0.0:
                    weight[b - 1, n] += w * kept[b, n]
                for i in range(links_from[n], links_from[n + 1]):
                    link = links_at[i]
                    if to_node[b, link] != n or from_node[b, link] < 0:
                        continue
                    source = from_node[b, link]
                    low = int(np.floor(from_bin[b, link]))
                    share = from_bin[b, link] - low
                    if low + 1 > b or (low + 1 == b and source == n):
                        share = np.float32(0.0)
                    if low >= 0:
                        weight[low, source] += w * part[b, link] * (1.0 - share)
                    if share > 0.0:
                        weight[low + 1, source] += w * part[b, link] * share
    return counts
