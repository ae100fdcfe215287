"""`cityproof bench tracing --scaling`: time and memory of a trace against sensors, minutes and cells."""

import json
import math
import resource
import time
from dataclasses import fields, replace
from multiprocessing import get_context

import numpy as np

from pipeline.tracing.air import trace
from pipeline.tracing.incremental import Tracer
from pipeline.tracing.problem import Floats, Observations, Settings, Wind

SENSORS, MINUTES, FINE_CELLS = 50, 120, 600
HALF_M, RATE_G_S, SOURCE = 500.0, 5.0, (-60.0, 30.0)
FURTHER = 20  # Minutes traced one after the other
SEED = 50
# `equal_cells`: how many cells all of the bounds would have, had they the size of the finest.
COLUMNS = (
    "sensors", "minutes", "cells", "equal_cells", "cold_s", "cold_cpu_s", "minute_p95_s", "minute_p95_cpu_s",
    "peak_mib",
)  # fmt: skip
LADDERS: dict[str, tuple[int, ...]] = {
    "sensors": (10, 25, 50, 100),
    "minutes": (30, 60, 120, 240),
    "cells": (300, 600, 1200, 2400),
}


def question(sensors: int, minutes: int, cells: int) -> tuple[Observations, Wind, Settings]:
    """Return a made-up hour or more: sensors at random over a square kilometre, a wind that wanders."""
    chance = np.random.default_rng(SEED)
    places = chance.uniform(-0.8 * HALF_M, 0.8 * HALF_M, (sensors, 2))
    start = 60.0 * np.arange(minutes, dtype=np.float64)
    from_deg = 250.0 + np.cumsum(chance.normal(0.0, 4.0, minutes))
    speed = np.maximum(3.0 + 0.5 * chance.standard_normal(minutes), 1.0)
    none = np.full(minutes, math.nan)
    wind = Wind(start, speed, from_deg % 360.0, none, none, none, none, np.full(minutes, 10.0))
    towards = np.radians(from_deg + 180.0)
    east, north = (places[:, n, None] - SOURCE[n] for n in (0, 1))
    along, across = (
        east * np.sin(towards) + north * np.cos(towards),
        east * np.cos(towards) - north * np.sin(towards),
    )
    down = np.maximum(along, 5.0)
    side, up = 0.08 * down, 0.06 * down
    plume = RATE_G_S / (math.pi * speed * side * up) * np.exp(-0.5 * (across / side) ** 2)
    value: Floats = np.where(along > 5.0, plume, 0.0) * np.exp(0.4 * chance.standard_normal(plume.shape))
    value = value + 1e-3 + 2e-5 * chance.standard_normal(plume.shape)
    seen = Observations(
        tuple(f"s{n}" for n in range(sensors)), np.column_stack((places, np.full(sensors, 3.0))),
        np.tile(np.arange(sensors), minutes), np.repeat(start, sensors), np.full(sensors * minutes, 60.0),
        value.T.ravel(),
    )  # fmt: skip
    bounds = (-HALF_M, -HALF_M, HALF_M, HALF_M)
    return seen, wind, Settings(0.0, 60.0 * minutes, bounds, fine_cells=cells)


def run(*, as_json: bool) -> int:
    """Measure each rung of each ladder in a process of its own, and print one table."""
    rungs = {
        (ladder, n): (
            n if ladder == "sensors" else SENSORS,
            n if ladder == "minutes" else MINUTES,
            n if ladder == "cells" else FINE_CELLS,
        )
        for ladder, numbers in LADDERS.items()
        for n in numbers
    }
    done: dict[tuple[int, int, int], dict[str, float]] = {}
    if not as_json:
        print("  ".join(COLUMNS))
    for rung in rungs.values():
        if rung in done:
            continue
        with get_context("spawn").Pool(1) as pool:
            done[rung] = pool.apply(measure, rung)
        if not as_json:
            print("  ".join(f"{done[rung][name]:>{len(name)}.4g}" for name in COLUMNS), flush=True)
    if as_json:
        print(json.dumps(list(done.values())))
    return 0


def measure(sensors: int, minutes: int, cells: int) -> dict[str, float]:
    """Return seconds of the clock and of the processor, of a cold trace and of a further minute; peak MiB."""
    seen, wind, settings = question(sensors, minutes, cells)
    trace(seen, wind, replace(settings, to_s=600.0))  # Compiled code is loaded once a process.
    clock, cpu = time.perf_counter(), time.process_time()
    found = trace(seen, wind, settings)
    cold, cold_cpu = time.perf_counter() - clock, time.process_time() - cpu
    tracer, clocks, cpus = Tracer(settings), [], []
    for minute in range(minutes - FURTHER, minutes + 1):
        part = seen.select(seen.start_s < 60.0 * minute)
        blown = _until(wind, 60.0 * minute)
        clock, cpu = time.perf_counter(), time.process_time()
        tracer.trace(part, blown, 60.0 * minute)
        clocks.append(time.perf_counter() - clock)
        cpus.append(time.process_time() - cpu)
    late, late_cpu = (float(np.quantile(times[1:], 0.95)) for times in (clocks, cpus))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    equal = round((2.0 * HALF_M / found.grid.step_m) ** 2)
    figures = (sensors, minutes, cells, equal, cold, cold_cpu, late, late_cpu, peak)
    return dict(zip(COLUMNS, figures, strict=True))


def _until(wind: Wind, end_s: float) -> Wind:
    rows = wind.start_s < end_s
    names = [field.name for field in fields(wind) if getattr(wind, field.name) is not None]
    return replace(wind, **{name: getattr(wind, name)[rows] for name in names})
