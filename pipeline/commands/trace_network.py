"""`cityproof trace network`: where in a network of pipes a contamination entered."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.air_files import parse_time
from pipeline.commands.network_files import Asked, Samples, first_time_s, read_samples
from pipeline.commands.times import format_time
from pipeline.edges.epanet import Network
from pipeline.tracing.water.hydraulics import Floats, Hydraulics
from pipeline.tracing.water.network import LOOK_AHEAD_S, NetworkTrace, trace_network
from pipeline.tracing.water.posterior import Interval, credible_set
from pipeline.wire.errors import InputError

SCHEMA = "cityproof-trace-network-1"
DAY_S = 86_400.0
LONGEST_S = 14 * DAY_S
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asks."""

    inp: Path
    observations: Path
    out: Path
    start: str | None
    quantity: str | None
    background: str
    demand_cv: float
    members: int
    decay_per_day: float
    false_rates: str
    seed: int


def run(question: Question) -> int:
    """Trace, and write the answer."""
    began = time.perf_counter()
    start_s = _start(question)
    with Network(question.inp) as network:
        nodes = {name: index for index, name in enumerate(network.nodes)}
        samples = read_samples(question.observations, nodes, start_s, _asked(question))
        draws = _draw(network, _duration_s(samples, question), question)
    found = trace_network(draws, samples.graded, samples.binary, question.decay_per_day)
    answer = _answer(found, draws[0], samples, start_s, question)
    answer["seconds"] = round(time.perf_counter() - began, 3)
    question.out.write_text(json.dumps(answer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _tell(answer)
    return 0


def _asked(question: Question) -> Asked:
    try:
        positive, negative = (float(rate) for rate in question.false_rates.split(","))
        background = None if question.background == "fit" else float(question.background)
    except ValueError:
        raise InputError(
            "--false-rates, --background", "one is no number", "Write P,N as 0.05,0.05; fit or a number."
        ) from None
    if not (0.0 < positive < 1.0 and 0.0 < negative < 1.0):
        raise InputError("--false-rates", "a rate is not between 0 and 1", "Write P,N as 0.05,0.05.")
    return Asked(question.quantity, background, positive, negative)


def _start(question: Question) -> float:
    """Return when the simulation's time 0 is; not given, the midnight before the first sample."""
    if question.start is not None:
        return parse_time(question.start, "--start")
    first_s = first_time_s(question.observations)
    return first_s - first_s % DAY_S


def _duration_s(samples: Samples, question: Question) -> float:
    kinds = [kind for kind in (samples.graded, samples.binary) if kind is not None]
    last_s = max(float(kind.time_s.max()) for kind in kinds)
    if last_s > LONGEST_S:
        raise InputError(
            str(question.observations),
            f"its last sample is {last_s / DAY_S:.0f} days after the start",
            "Give the rows of some days, and --start.",
        )
    return last_s + LOOK_AHEAD_S


def _draw(network: Network, duration_s: float, question: Question) -> list[Hydraulics]:
    """Solve the flows as the file has them, and with every demand times a factor that lasts."""
    spread = math.sqrt(math.log1p(question.demand_cv**2))
    chance = np.random.default_rng(question.seed)
    draws = [network.solve(duration_s)]
    if question.demand_cv > 0.0:
        for _ in range(question.members - 1):
            factors: Floats = np.exp(chance.normal(-(spread**2) / 2.0, spread, len(network.nodes)))
            draws.append(network.solve(duration_s, factors))
    return draws


def _answer(
    found: NetworkTrace, flows: Hydraulics, samples: Samples, start_s: float, question: Question
) -> dict[str, Any]:
    posterior = found.posterior
    likeliest = np.argsort(-posterior.nodes, kind="stable")
    inside = set(credible_set(posterior.nodes, 0.9).tolist())
    reached = set(found.candidates.tolist())
    kinds = [kind for kind in (samples.graded, samples.binary) if kind is not None]
    return {
        "schema": SCHEMA,
        "p_nothing": posterior.nothing,
        "nodes": [
            {
                "node": flows.nodes[node],
                "probability": float(posterior.nodes[node]),
                "in_90": int(node) in inside,
                "x": _number(flows.coordinates[node, 0]),
                "y": _number(flows.coordinates[node, 1]),
            }
            for node in likeliest
            if posterior.nodes[node] > 0.0
        ],
        "classes": [
            {
                "nodes": [flows.nodes[node] for node in members],
                "probability": float(sum(posterior.nodes[node] for node in members)),
            }
            for members in posterior.classes
        ],
        "onset": _times(posterior.onset_step, start_s, found.step_s),
        "end": _times(posterior.end_step, start_s, found.step_s),
        "rate_g_s": {
            "median": _number(posterior.rate_mg_s.median / 1e3),
            "low": _number(posterior.rate_mg_s.low / 1e3),
            "high": _number(posterior.rate_mg_s.high / 1e3),
        },
        "next_samples": [
            {
                "node": flows.nodes[sample.node],
                "time": format_time(round((start_s + (sample.bin + 0.5) * found.bin_s) * 1e6)),
                "bits": sample.bits,
                "p_positive": sample.p_positive,
            }
            for sample in found.next_samples
        ],
        "quantity": samples.quantity,
        "background_g_m3": dict(samples.background_g_m3),
        "unreached": [name for i, name in enumerate(flows.nodes) if i not in reached],
        "inputs": {"samples": sum(len(kind.node) for kind in kinds)},
        "settings": {
            "start": format_time(round(start_s * 1e6)),
            "demand_cv": question.demand_cv,
            "members": question.members if question.demand_cv > 0.0 else 1,
            "decay_per_day": question.decay_per_day,
            "false_rates": question.false_rates,
            "seed": question.seed,
            "bin_s": found.bin_s,
            "step_s": found.step_s,
        },
    }


def _times(interval: Interval, start_s: float, step_s: float) -> dict[str, str]:
    return {
        name: format_time(round((start_s + step * step_s) * 1e6))
        for name, step in (("median", interval.median), ("low", interval.low), ("high", interval.high))
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _tell(answer: dict[str, Any]) -> None:
    """Say on the screen what one wants to know first."""
    print(f"contaminated with probability {1.0 - answer['p_nothing']:.3f}, since {answer['onset']['median']}")
    for one in answer["classes"][:SHOWN]:
        names = ", ".join(one["nodes"][:SHOWN]) + (", …" if len(one["nodes"]) > SHOWN else "")
        print(f"{one['probability']:.3f}  {names}")
    if answer["next_samples"]:
        best = answer["next_samples"][0]
        print(f"sample next at node {best['node']}, {best['time']}: {best['bits']:.2f} bits")
