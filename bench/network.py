"""Trace random injections into a network that EPANET carries, with flows that the tracer does not know.

    python bench/network.py NET.inp --seeds 200

Each seed draws a node, an onset, a duration and a rate; every node's demand errs by a lasting factor (log
sd 0.1), and readings by 5 %. What no sensor sees is drawn again. EPANET's own water quality carries the
substance: it shares nothing with the tracer but the engine that solves the flows.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from epanet import toolkit

from pipeline.edges.epanet import Network
from pipeline.tracing.water.hydraulics import JUNCTION
from pipeline.tracing.water.inversion import Graded
from pipeline.tracing.water.network import trace_network
from pipeline.tracing.water.posterior import credible_set

SENSORS = {"Net3": ("117", "149", "167", "213", "253")}  # Those of the Water Security Toolkit's case
DURATION_S = 48 * 3600
EVERY_S = 900
NOISE = 0.05
DEMAND_CV = 0.1
FLOOR_MG_M3 = 10.0  # What an instrument's noise hides
RATE_MG_S = (200.0, 20_000.0)


@dataclass(frozen=True)
class Injection:
    node: str
    onset_s: int
    length_s: int
    rate_mg_s: float


def carry(path: Path, factors: np.ndarray, injection: Injection, sensors: tuple[str, ...]) -> np.ndarray:
    """Let EPANET carry an injection; returns mg/m³ every 15 minutes at each sensor."""
    with TemporaryDirectory() as folder:
        project = toolkit.createproject()
        toolkit.open(project, str(path), f"{folder}/report", "")
        toolkit.settimeparam(project, toolkit.DURATION, DURATION_S)
        toolkit.settimeparam(project, toolkit.QUALSTEP, 60)
        count = toolkit.getcount(project, toolkit.NODECOUNT)
        for node in range(1, count + 1):
            if toolkit.getnodetype(project, node) == toolkit.JUNCTION:
                demand = toolkit.getbasedemand(project, node, 1)
                toolkit.setbasedemand(project, node, 1, demand * float(factors[node - 1]))
        toolkit.openH(project)
        toolkit.initH(project, 1)
        step = 1
        while step > 0:
            toolkit.runH(project)
            step = toolkit.nextH(project)
        toolkit.closeH(project)
        toolkit.setqualtype(project, toolkit.CHEM, "substance", "ug/L", "")
        for node in range(1, count + 1):
            toolkit.setnodevalue(project, node, toolkit.INITQUAL, 0.0)
        for link in range(1, toolkit.getcount(project, toolkit.LINKCOUNT) + 1):
            if toolkit.getlinktype(project, link) <= toolkit.PIPE:
                toolkit.setlinkvalue(project, link, toolkit.KBULK, 0.0)
                toolkit.setlinkvalue(project, link, toolkit.KWALL, 0.0)
        source = toolkit.getnodeindex(project, injection.node)
        toolkit.setnodevalue(project, source, toolkit.SOURCETYPE, toolkit.MASS)
        places = [toolkit.getnodeindex(project, name) for name in sensors]
        seen = np.zeros((DURATION_S // EVERY_S, len(sensors)))
        toolkit.openQ(project)
        toolkit.initQ(project, 0)
        left = 1
        while left > 0:
            now = toolkit.runQ(project)
            on = injection.onset_s <= now < injection.onset_s + injection.length_s
            toolkit.setnodevalue(
                project, source, toolkit.SOURCEQUAL, injection.rate_mg_s * 60e3 if on else 0.0
            )
            if now % EVERY_S == 0 and now < DURATION_S:
                seen[now // EVERY_S] = [
                    toolkit.getnodevalue(project, place, toolkit.QUALITY) for place in places
                ]
            left = toolkit.stepQ(project)
        toolkit.deleteproject(project)
    return seen


def draw_factors(draw: np.random.Generator, count: int, cv: float) -> np.ndarray:
    spread = np.sqrt(np.log1p(cv**2))
    return np.exp(draw.normal(-(spread**2) / 2, spread, count))


def trial(path: Path, sensors: tuple[str, ...], seed: int, members: int) -> dict[str, float]:
    draw = np.random.default_rng(seed)
    with Network(path) as network:
        nominal = network.solve(DURATION_S)
        junctions = [
            name for name, kind in zip(nominal.nodes, nominal.kinds, strict=True) if kind == JUNCTION
        ]
        redrawn = -1
        while True:
            redrawn += 1
            injection = Injection(
                junctions[int(draw.integers(len(junctions)))],
                int(draw.integers(4 * 3600, 30 * 3600)),
                int(draw.integers(3600, 8 * 3600)),
                float(np.exp(draw.uniform(*np.log(RATE_MG_S)))),
            )
            exact = carry(path, draw_factors(draw, len(network.nodes), DEMAND_CV), injection, sensors)
            if exact.max() > 10 * FLOOR_MG_M3:
                break
        began = time.perf_counter()
        guess = np.random.default_rng(10_000 + seed)
        draws = [nominal] + [
            network.solve(DURATION_S, draw_factors(guess, len(network.nodes), DEMAND_CV))
            for _ in range(members - 1)
        ]
    # Samples end six hours after the first sign: nobody waits for days.
    first = int(np.argmax((exact > 10 * FLOOR_MG_M3).any(axis=1)))
    rows = slice(0, min(len(exact), first + 6 * 3600 // EVERY_S))
    noisy = exact * np.exp(draw.normal(0, NOISE, exact.shape)) + draw.normal(0, FLOOR_MG_M3, exact.shape)
    times = np.tile(np.arange(len(exact), dtype=np.float64)[rows] * EVERY_S, len(sensors))
    place = np.repeat([nominal.nodes.index(name) for name in sensors], rows.stop)
    samples = Graded(place, times, noisy[rows].T.ravel(), np.full(len(times), FLOOR_MG_M3))
    found = trace_network(draws, samples, None)
    p = found.posterior.nodes
    truth = nominal.nodes.index(injection.node)
    likeliest = credible_set(p, 0.9)
    best_class = next((one for one in found.posterior.classes if truth in one), ())
    return {
        "seed": seed,
        "in_set": truth in likeliest,
        "set": len(likeliest),
        "rank": int((p > p[truth] * (1 + 1e-9)).sum()) + 1,
        "p": float(p[truth]),
        "class": len(best_class),
        "first_class": bool(found.posterior.classes and truth in found.posterior.classes[0]),
        "onset_error_s": abs(found.posterior.onset_step.median * found.step_s - injection.onset_s),
        "onset_covered": found.posterior.onset_step.low * found.step_s - 900
        <= injection.onset_s
        <= found.posterior.onset_step.high * found.step_s + 900,
        "rate_ratio": found.posterior.rate_mg_s.median / injection.rate_mg_s,
        "rate_covered": found.posterior.rate_mg_s.low
        <= injection.rate_mg_s
        <= found.posterior.rate_mg_s.high,
        "redrawn": redrawn,
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("inp", type=Path)
    arguments.add_argument("--seeds", type=int, default=200)
    arguments.add_argument("--members", type=int, default=16)
    arguments.add_argument("--sensors", default="")
    asked = arguments.parse_args()
    sensors = tuple(asked.sensors.split(",")) if asked.sensors else SENSORS[asked.inp.stem]
    rows = []
    for seed in range(asked.seeds):
        rows.append(trial(asked.inp, sensors, seed, asked.members))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{seed + 1} of {asked.seeds}")
    table = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    ratio = table["rate_ratio"]
    print(
        json.dumps(
            {
                "injections": len(rows),
                "members": asked.members,
                "truth_in_90": round(table["in_set"].mean(), 3),
                "set_median": float(np.median(table["set"])),
                "set_mean": round(table["set"].mean(), 1),
                "first": round((table["rank"] == 1).mean(), 3),
                "first_class": round(table["first_class"].mean(), 3),
                "log_score": round(np.log(np.maximum(table["p"], 1e-6)).mean(), 3),
                "onset_error_median_min": round(float(np.median(table["onset_error_s"])) / 60, 1),
                "onset_covered": round(table["onset_covered"].mean(), 3),
                "rate_within_2": round(((ratio > 0.5) & (ratio < 2.0)).mean(), 3),
                "rate_covered": round(table["rate_covered"].mean(), 3),
                "seconds_median": round(float(np.median(table["seconds"])), 2),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
