"""`cityproof trace air`: where a release came from, how strong it was, since when, and how sure that is."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.air_answer import Inputs, describe
from pipeline.commands.air_files import (
    CANDIDATE_COLUMNS,
    OBSERVATION_COLUMNS,
    WIND_COLUMNS,
    Places,
    candidate_heights,
    parse_time,
    read_air,
    read_candidates,
    read_observations,
    read_wind,
    unused_columns,
)
from pipeline.tracing.events import Found, find
from pipeline.tracing.place import Origin
from pipeline.tracing.problem import Observations, Settings, Wind
from pipeline.tracing.units import grams_per_cubic_metre
from pipeline.wire.errors import InputError

AROUND = 0.5  # Of the sensors' extent: how far beyond them to look when no bounds are given.
LEAST_AROUND_M = 50.0
SOURCE_HEIGHT_M = (1.0, 4.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person asks, wherever the readings come from."""

    out: Path
    candidates: Path | None = None
    bounds: str | None = None
    origin: str | None = None
    first: str | None = None
    end: str | None = None
    release_from: str | None = None
    release_to: str | None = None
    quantity: str | None = None
    source_height: str | None = None
    background: str = "fit"
    max_sources: int = 2
    wind_error_deg: float = 10.0
    seed: int = 0
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Options as numbers: what `find` is given."""

    settings: Settings
    release: tuple[float, float] | None
    max_sources: int


def run(observations: Path, wind: Path, options: Options) -> int:
    """Trace readings in files, write the answer, and say the most of it."""
    began = time.perf_counter()
    inputs = read_inputs(observations, wind, options)
    asked = ask(inputs, options)
    inputs.observations = within(inputs.observations, asked.settings)
    found = find(
        inputs.observations, inputs.wind, asked.settings, inputs.candidates, release=asked.release,
        max_sources=asked.max_sources,
    )  # fmt: skip
    answer = describe(inputs, found, asked.settings, options.out)
    finish(answer, inputs, found, asked.settings, options, began)
    return 0


def read_inputs(observations: Path, wind: Path, options: Options) -> Inputs:
    """Return what the files hold.

    Raises:
        InputError: A file, a row or an option cannot be used.
    """
    places = Places(origin_of(options.origin))
    readings = read_observations(observations, options.quantity, places, read_air(wind))
    blowing, said = read_wind(wind, places)
    candidates = read_candidates(options.candidates, places) if options.candidates else ()
    files = (
        (observations, OBSERVATION_COLUMNS),
        (wind, WIND_COLUMNS),
        (options.candidates, CANDIDATE_COLUMNS),
    )
    unused = [
        f"{path}: columns that change nothing: {', '.join(names)}"
        for path, columns in files
        if path is not None and (names := unused_columns(path, columns))
    ]
    return Inputs(
        readings.observations,
        blowing,
        candidates,
        readings.quantity,
        readings.unit,
        places.origin,
        [*readings.warnings, *said, *unused],
    )


def origin_of(text: str | None) -> Origin | None:
    """Return the origin that an option names."""
    return Origin(*numbers(text, "--origin", 2)) if text else None


def ask(inputs: Inputs, options: Options) -> Asked:
    """Return the options as settings.

    Raises:
        InputError: One cannot be used with these readings.
    """
    seen = inputs.observations
    first, last = float(seen.start_s.min()), float((seen.start_s + seen.interval_s).max())
    begin = parse_time(options.first, "--from") if options.first else first
    end = parse_time(options.end, "--to") if options.end else last
    release = None
    if options.release_from or options.release_to:
        release = (
            parse_time(options.release_from, "--release-from") if options.release_from else begin,
            parse_time(options.release_to, "--release-to") if options.release_to else end,
        )
        begin, end = min(begin, release[0]), max(end, release[1])
    low, high = release or (begin, end)
    which = "--release-from, --release-to" if release else "--from, --to"
    if low >= high:
        raise InputError(which, "they end before they begin", "Give the earlier time first.")
    if not ((seen.start_s >= low) & (seen.start_s < high)).any():
        remedy = f"Choose hours that overlap with the readings, which run from {first:.0f} to {last:.0f} s"
        raise InputError(which, "no reading starts within them", f"{remedy} since 1970 (UTC).")
    check_wind(inputs.wind, low, high)
    heights = _heights(options)
    settings = Settings(
        begin,
        end,
        bounds_of(options.bounds, inputs),
        source_height_m=heights,
        background_g_m3=_background(options, inputs),
        wind_error_deg=options.wind_error_deg,
    )
    return Asked(settings, release, options.max_sources)


def check_wind(wind: Wind, low: float, high: float) -> None:
    """Refuse wind of other hours; one row holds for all time."""
    if wind.start_s.size > 1 and (wind.start_s[0] >= high or wind.start_s[-1] < low - 3600.0):
        raise InputError("--wind", "no row within the release", "Give wind of the same hours, in UTC.")


def bounds_of(text: str | None, inputs: Inputs) -> tuple[float, float, float, float]:
    """Return west, south, east, north of where to look: as given, or around sensors and candidates."""
    if text:
        west, south, east, north = numbers(text, "--bounds", 4)
        if (
            inputs.origin is not None
            and max(map(abs, (west, east))) <= 180
            and max(map(abs, (south, north))) < 90
        ):
            degrees = abs(west - inputs.origin.lon) < 1.0 and abs(south - inputs.origin.lat) < 1.0
            if degrees:
                (west, south), (east, north) = (
                    inputs.origin.metres(west, south),
                    inputs.origin.metres(east, north),
                )
    else:
        seen = inputs.observations
        places = [seen.sensors_m[:, :2], *([seen.ends_m[:, :2]] if seen.ends_m is not None else [])]
        places += [np.array([[c.x_m, c.y_m]]) for c in inputs.candidates]
        table = np.concatenate(places)
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        margin = max(AROUND * float((high - low).max()), LEAST_AROUND_M)
        (west, south), (east, north) = low - margin, high + margin
    if west >= east or south >= north:
        raise InputError("--bounds", "they hold no area", "Write x0,y0,x1,y1 with x0 < x1 and y0 < y1.")
    return float(west), float(south), float(east), float(north)


def _heights(options: Options) -> tuple[float, float]:
    """Return between which heights sources are: as given, as candidates stand, or near the ground."""
    if options.source_height is None:
        return (options.candidates and candidate_heights(options.candidates)) or SOURCE_HEIGHT_M
    low, high = numbers(options.source_height, "--source-height", 2)
    if not 0.0 <= low <= high:
        remedy = "Write LOW,HIGH in metres, LOW first."
        raise InputError("--source-height", repr(options.source_height), remedy)
    return low, high


def _background(options: Options, inputs: Inputs) -> float | None:
    """Return what clean air holds, g/m³, or None where it is fitted; given in the readings' own unit."""
    if options.background == "fit":
        return None
    value = numbers(options.background, "--background", 1)[0]
    try:
        return value * grams_per_cubic_metre(inputs.unit or "g/m3", inputs.quantity)
    except ValueError as error:
        raise InputError("--background", str(error), "Write fit, or give readings in ug/m3.") from error


def within(seen: Observations, settings: Settings) -> Observations:
    """Return the readings from `settings.from_s` to `settings.to_s`."""
    inside = (seen.start_s >= settings.from_s) & (seen.start_s < settings.to_s)
    return seen if inside.all() else seen.select(inside)


def numbers(text: str, place: str, count: int) -> list[float]:
    """Return so many numbers between commas."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        problem = f"{text!r} is not {count} numbers"
        raise InputError(place, problem, "Separate them by commas, without spaces.")
    return found


def finish(
    answer: dict[str, Any], inputs: Inputs, found: Found, settings: Settings, options: Options, began: float
) -> None:
    """Write the answer and the report, and say the most of it."""
    answer["settings"]["seed"] = options.seed  # Kept beside the rest: nothing here is drawn by chance.
    answer["seconds"] = round(time.perf_counter() - began, 3)
    options.out.write_text(json.dumps(_plain(answer), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if options.report is not None:
        from pipeline.commands.air_report import write_report

        write_report(options.report, answer, inputs, found, settings)
    for line in lines(answer):
        print(line)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def lines(answer: dict[str, Any]) -> list[str]:
    """Return what people are told."""
    said = []
    for event in answer["events"]:
        said.append(
            f"{event['onset']['median']} to {event['end']['median']}: "
            f"{'a release' if event['p_count'][0] < 0.5 else 'probably no release'}, "
            f"e-value e^{event['log_e_value']:.1f}"
        )
        counts = ", ".join(f"{n}: {p:.3f}" for n, p in enumerate(event["p_count"]))
        said.append(f"  number of sources: {counts}")
        for source in event["sources"]:
            rate, area = source["rate_g_s"], source["area_0.9_m2"]
            said.append(
                f"  x {source['x_m']:.1f} m, y {source['y_m']:.1f} m (90 % in {area:.0f} m2), "
                f"{rate['median']:.3g} g/s ({rate['low']:.3g} to {rate['high']:.3g})"
            )
        said += [f"  {one['name']}: {one['probability']:.3f}" for one in event["candidates"][:3]]
        if event["candidates"]:
            said.append(f"  somewhere else: {event['unknown_location']:.3f}")
    if not answer["events"]:
        said.append("no release is seen")
    return [*said, *(f"warning: {text}" for text in answer["warnings"])]
