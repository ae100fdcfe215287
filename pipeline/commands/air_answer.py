"""The answer of `cityproof trace air` as JSON: what docs/tracing.md lists, field by field."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tracing.detection import Span
from pipeline.tracing.events import Event, Found, Source
from pipeline.tracing.grid import multipolygon, smallest_region
from pipeline.tracing.place import Origin
from pipeline.tracing.problem import Candidate, Observations, Settings, Wind

SCHEMA = "cityproof-trace-air-2"
INTERVAL = 0.9
GAP_S = 600.0  # Shorter gaps are not listed.
WIND_GAP_S = 3600.0
LOG_E_MOST = 700.0  # Beyond, e to its power is no number.


@dataclass(slots=True)
class Inputs:
    """What is traced, and where it came from."""

    observations: Observations
    wind: Wind
    candidates: tuple[Candidate, ...]
    quantity: str
    unit: str
    origin: Origin | None
    warnings: list[str]
    verified: int = 0
    evidence: str | None = None
    left_out: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    silent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def iso(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(round(seconds), UTC).isoformat().replace("+00:00", "Z")


def describe(inputs: Inputs, found: Found, settings: Settings, out: Path) -> dict[str, Any]:
    """Return the answer; the posteriors' cells go into .npy files beside it."""
    events = [
        _event(event, n, inputs, out, only=len(found.events) == 1) for n, event in enumerate(found.events)
    ]
    warnings = [*inputs.warnings, *_limits(inputs)]
    warnings += [text for event in found.events for text in event.warnings if text not in warnings]
    if not events:
        warnings.append(
            "no release is seen: the evidence for one is "
            f"e^{found.log_e_rest:.1f}, and e^{found.log_e_needed:.1f} would be enough"
        )
    span = (settings.from_s, settings.to_s)
    return {
        "schema": SCHEMA,
        "interval_level": INTERVAL,
        "crs": _crs(inputs.origin),
        "quantity": inputs.quantity,
        "from": iso(span[0]),
        "to": iso(span[1]),
        "events": events,
        "posterior": events[0]["posterior"] if events else None,
        "background": _background(inputs, found, settings),
        "sensors": _sensors(inputs, found),
        "gaps": [*_gaps(inputs.observations, span), *_wind_gaps(inputs.wind, span), *inputs.silent],
        "warnings": warnings,
        "all_points": None,
        "difference": None,
        "inputs": {
            "points": int(inputs.observations.start_s.size),
            "verified": inputs.verified,
            "evidence": inputs.evidence,
            "left_out": inputs.left_out,
        },
        "settings": asdict(settings),
        "alarm": {
            "log_e_needed": found.log_e_needed,
            "log_e_of_what_was_not_enough": None if math.isinf(found.log_e_rest) else found.log_e_rest,
        },
    }


def _crs(origin: Origin | None) -> str:
    local = "local: x east, y north, metres"
    return local if origin is None else f"{local}, from WGS 84 lon,lat {origin.lon:.7f},{origin.lat:.7f}"


def _span(span: Span) -> dict[str, str]:
    return {"median": iso(span.median), "low": iso(span.low), "high": iso(span.high)}


def _event(event: Event, n: int, inputs: Inputs, out: Path, *, only: bool) -> dict[str, Any]:
    cells = out.with_suffix(".npy") if only else out.with_name(f"{out.stem}.{n + 1}.npy")
    first, mass = event.sources[0], np.exp(event.sources[0].log_mass)
    # Several sources: each has its map; the file holds that of the strongest.
    np.save(cells, first.log_mass)
    return {
        "p_count": list(event.p_count),
        "onset": _span(event.onset),
        "end": _span(event.end),
        "sources": [_source(source, event, inputs.origin) for source in event.sources],
        "candidates": sorted(
            (
                {"name": candidate.name, "probability": p}
                for candidate, p in zip(inputs.candidates, event.candidates, strict=True)
            ),
            key=lambda one: -float(one["probability"]),
        ),
        "unknown_location": event.unknown_location,
        "e_value": math.exp(min(event.log_e, LOG_E_MOST)),
        "log_e_value": event.log_e,
        "posterior": {
            "x0": first.grid.x0_m,
            "y0": first.grid.y0_m,
            "dx": first.grid.step_m,
            "dy": first.grid.step_m,
            "nx": first.grid.nx,
            "ny": first.grid.ny,
            "logp": cells.name,
            "meaning": "x0, y0: the south-west corner; logp[row from the south, column]: ln of a cell's mass",
            "outside": max(1.0 - float(mass.sum()), 0.0),
        },
        "suspects": {
            name: float(p) for name, p in zip(inputs.observations.names, event.suspects, strict=True)
        },
        "warnings": list(event.warnings),
    }


def _source(source: Source, event: Event, origin: Origin | None) -> dict[str, Any]:
    mass = np.exp(source.log_mass)
    found: dict[str, Any] = {
        "x_m": source.x_m,
        "y_m": source.y_m,
        "z_m": sum(event.settings.source_height_m) / 2.0,
        "rate_g_s": {"median": source.rate(0.5), "low": source.rate(0.05), "high": source.rate(0.95)},
        "probability": source.probability,
        "regions": {},
    }
    for share in (0.5, INTERVAL):
        region = smallest_region(mass, share)
        found["regions"][str(share)] = multipolygon(region, source.grid)
        found[f"area_{share:g}_m2"] = float(region.sum()) * source.grid.step_m**2
    if origin is not None:
        found["lon"], found["lat"] = origin.degrees(source.x_m, source.y_m)
    return found


def _background(inputs: Inputs, found: Found, settings: Settings) -> dict[str, Any]:
    above = inputs.observations.above_zero
    if above is not None and all(above):
        return {"mode": "given with the readings", "g_m3": None}
    if settings.background_g_m3 is not None:
        return {"mode": "given", "g_m3": settings.background_g_m3}
    return {"mode": "fit", "g_m3": float(np.median(found.zeros_g_m3))}


def _sensors(inputs: Inputs, found: Found) -> list[dict[str, Any]]:
    seen = inputs.observations
    middle = float(np.median(found.zeros_g_m3))
    suspects = (
        np.max([event.suspects for event in found.events], axis=0)
        if found.events
        else np.full(len(seen.names), math.nan)
    )
    return [
        {
            "sensor": name,
            "readings": int((seen.sensor == j).sum()),
            "zero_g_m3": float(found.zeros_g_m3[j]),
            "offset": float(found.zeros_g_m3[j] - middle),
            "suspect_probability": None if math.isnan(suspects[j]) else float(suspects[j]),
        }
        for j, name in enumerate(seen.names)
    ]


def _gaps(seen: Observations, span: tuple[float, float]) -> list[dict[str, Any]]:
    """Return where a sensor that is read again and again has said nothing."""
    gaps: list[dict[str, Any]] = []
    for j, name in enumerate(seen.names):
        mine = seen.sensor == j
        start, length = seen.start_s[mine], seen.interval_s[mine]
        if start.size < 3:
            continue
        usual = max(float(np.median(np.diff(start))), float(np.median(length)))
        begins, ends = np.append(start, span[1]), np.insert(start + length, 0, span[0])
        gaps += [
            {"sensor": name, "from": iso(float(ends[k])), "to": iso(float(begins[k]))}
            for k in np.flatnonzero(begins - ends > max(GAP_S, 3.0 * usual))
        ]
    return gaps


def _wind_gaps(wind: Wind, span: tuple[float, float]) -> list[dict[str, Any]]:
    if wind.start_s.size < 2:
        return []
    usual = float(np.median(np.diff(wind.start_s)))
    inside = (wind.start_s >= span[0]) & (wind.start_s < span[1])
    times = np.concatenate(([span[0]], wind.start_s[inside], [span[1]]))
    return [
        {"sensor": "wind", "from": iso(float(times[k])), "to": iso(float(times[k + 1]))}
        for k in np.flatnonzero(np.diff(times) > max(WIND_GAP_S, 3.0 * usual))
    ]


def _limits(inputs: Inputs) -> list[str]:
    """Say what these readings cannot tell, whatever the method."""
    seen, warnings = inputs.observations, []
    if len(seen.names) == 1:
        warnings.append(
            "one sensor: directions at most, as far as the wind turned; distance and rate are not told apart"
        )
    if seen.limit_g_m3 is not None and np.isfinite(seen.limit_g_m3).all():
        warnings.append(
            "every reading is below its detection limit: all that can be known is where no source is, and "
            "how strong one can be at most"
        )
    if np.ptp(inputs.wind.from_deg) < 10.0 and len(seen.names) < 6:
        warnings.append(
            "the wind hardly turned: how far upwind the source is rests on the plume's width alone"
        )
    return warnings


def differ(headline: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how the answer with all points differs from that with verified ones only."""
    found: dict[str, Any] = {"events": len(other) - len(headline)}
    if headline and other and headline[0]["sources"] and other[0]["sources"]:
        a, b = headline[0]["sources"][0], other[0]["sources"][0]
        found["moved_m"] = math.dist((a["x_m"], a["y_m"]), (b["x_m"], b["y_m"]))
        found["rate_ratio"] = b["rate_g_s"]["median"] / a["rate_g_s"]["median"]
        p = {one["name"]: one["probability"] for one in headline[0]["candidates"]}
        found["candidates"] = {
            one["name"]: one["probability"] - p[one["name"]] for one in other[0]["candidates"]
        }
        found["log_e_value"] = other[0]["log_e_value"] - headline[0]["log_e_value"]
    return found
