"""From readings to events: when something was released, from how many sources, where, and how strong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.tracing.air import Likelihood, Located, Posterior, prepare, rank, trace
from pipeline.tracing.detection import ALPHA_MOST, FALSE_ALARM_S, Detection, Detections, Span, detect
from pipeline.tracing.grid import Grid, smallest_region
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind
from pipeline.tracing.several import Several, count_sources
from pipeline.tracing.suspects import suspect_probabilities

LEAST_TIMES = 12  # With fewer readings one after another there is no telling when it began.
REVERSED_LN = 8.0  # Wind turned round that explains the readings better by so much is told.


@dataclass(frozen=True, slots=True)
class Source:
    """One of an event's sources."""

    grid: Grid
    log_mass: Floats  # (ny, nx)
    x_m: float
    y_m: float
    rate_g_s: Floats  # (k,)
    rate_mass: Floats
    probability: float

    def rate(self, share: float) -> float:
        """Return the rate below which this share of the posterior lies, g/s."""
        held = np.cumsum(self.rate_mass)
        return float(np.exp(np.interp(share, held - 0.5 * self.rate_mass, np.log(self.rate_g_s))))


@dataclass(frozen=True, slots=True)
class Event:
    """Some hours in which something was released, and what the readings say of it."""

    onset: Span
    end: Span
    settings: Settings
    p_count: tuple[float, ...]
    sources: tuple[Source, ...]
    candidates: tuple[float, ...]
    unknown_location: float
    log_e: float
    outside: float  # Of the first source's mass: in cells that were not refined
    suspects: Floats  # (s,)
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """All events, and what clean air reads."""

    events: tuple[Event, ...]
    zeros_g_m3: Floats
    log_e_needed: float
    log_e_rest: float  # The best of what was not enough


def find(
    observations: Observations,
    wind: Wind,
    settings: Settings,
    candidates: tuple[Candidate, ...],
    *,
    release: tuple[float, float] | None,
    max_sources: int,
) -> Found:
    """Return the events between `settings.from_s` and `settings.to_s`.

    Args:
        observations: Readings.
        wind: The wind.
        settings: Priors, and the time to look at.
        candidates: Places that may be the source.
        release: When it began and ended, if that is known.
        max_sources: How many sources at once are tried.
    """
    if release is not None:
        event, zeros = _trace(observations, wind, _during(settings, *release), candidates, max_sources, None)
        return Found((event,), zeros, 0.0, event.log_e)
    if _times(observations, settings) < LEAST_TIMES:
        event, zeros = _trace(observations, wind, settings, candidates, max_sources, None)
        warning = "too few readings one after another to tell when it began: taken to last as long as they do"
        return Found((replace(event, warnings=(*event.warnings, warning)),), zeros, 0.0, event.log_e)
    seen = detect(observations, wind, settings)
    events, zeros = [], np.zeros(len(observations.names))
    for one in seen.found:
        event, zeros = _trace(
            observations,
            wind,
            _during(settings, one.onset.median, one.end.median),
            candidates,
            max_sources,
            one,
        )
        events.append(event)
    if not events:
        return _whole(observations, wind, settings, candidates, max_sources, seen)
    return Found(tuple(events), zeros, seen.log_e_needed, seen.log_e_rest)


def _during(settings: Settings, begin: float, end: float) -> Settings:
    return replace(settings, from_s=begin, to_s=end)


def _times(observations: Observations, settings: Settings) -> int:
    inside = (observations.start_s >= settings.from_s) & (observations.start_s < settings.to_s)
    if not inside.any():
        return 0
    return int(np.bincount(observations.sensor[inside]).max())


def _whole(
    observations: Observations,
    wind: Wind,
    settings: Settings,
    candidates: tuple[Candidate, ...],
    max_sources: int,
    seen: Detections,
) -> Found:
    """Return what a release that lasts all the time explains: one that does not begin is not seen to."""
    event, zeros = _trace(observations, wind, settings, candidates, max_sources, None)
    needed = -math.log(min(ALPHA_MOST, (settings.to_s - settings.from_s) / FALSE_ALARM_S))
    best = max(event.log_e, seen.log_e_rest)
    if event.log_e < needed:
        return Found((), zeros, needed, best)
    warning = "no onset and no end are seen: it may have begun before the readings, and go on after them"
    return Found((replace(event, warnings=(*event.warnings, warning)),), zeros, needed, best)


def _trace(
    observations: Observations,
    wind: Wind,
    settings: Settings,
    candidates: tuple[Candidate, ...],
    max_sources: int,
    seen: Detection | None,
) -> tuple[Event, Floats]:
    """Trace one event."""
    alone = trace(observations, wind, settings, candidates)
    one = Located(alone.grid, alone.log_mass, alone.outside, alone.rate_mass, alone.log_bayes_factor)
    likelihood, _ = prepare(observations, wind, settings)
    clean = likelihood.without_source()
    one = replace(one, log_evidence=alone.log_bayes_factor + clean)
    counted = Several((clean, one.log_evidence), (), ())
    if max_sources > 1 and alone.log_bayes_factor > 0.0:
        counted = count_sources(likelihood, settings, one, max_sources)
    p_count = _given_detected(counted.p_count(), seen)
    several = counted.sources and max(range(len(p_count)), key=p_count.__getitem__) > 1
    where = counted.sources if several else (one,)
    beside = counted.beside if several else ((),)
    sources = tuple(
        _source(found, alone.rate_g_s, sum(p_count[min(n + 1, len(where)) :]))
        for n, found in enumerate(sorted(where, key=lambda part: -_strength(part, alone.rate_g_s)))
    )
    named, unknown = _ranked(likelihood, candidates, alone, settings, where, beside)
    best = max(zip(where, beside, strict=True), key=lambda pair: _strength(pair[0], alone.rate_g_s))
    suspects = _suspects(likelihood, observations, settings, _source(best[0], alone.rate_g_s, 1.0), best[1])
    begin, end = settings.from_s, settings.to_s
    log_e = seen.log_e if seen is not None else alone.log_bayes_factor
    event = Event(
        onset=seen.onset if seen else Span(begin, begin, begin),
        end=seen.end if seen else Span(end, end, end),
        settings=settings,
        p_count=p_count,
        sources=sources,
        candidates=named,
        unknown_location=unknown,
        log_e=log_e,
        outside=where[0].outside,
        suspects=suspects,
        warnings=tuple(_contradicted(observations, wind, settings, alone)),
    )
    return event, alone.zeros_g_m3


def _given_detected(p_count: tuple[float, ...], seen: Detection | None) -> tuple[float, ...]:
    """Return the numbers' probabilities; on none the search in time has more to say."""
    if seen is None:
        return p_count
    none = 1.0 / (1.0 + math.exp(min(seen.log_e, 500.0)))
    none = min(none, p_count[0])
    rest = sum(p_count[1:])
    return (none, *((1.0 - none) * p / rest for p in p_count[1:]))


def _strength(where: Located, rates: Floats) -> float:
    return float(np.log(rates) @ where.rate_mass)


def _source(where: Located, rates: Floats, probability: float) -> Source:
    mass = np.exp(where.log_mass)
    total = float(mass.sum())
    return Source(
        where.grid,
        where.log_mass,
        float(mass.sum(0) @ where.grid.x_m / total),
        float(mass.sum(1) @ where.grid.y_m / total),
        rates,
        where.rate_mass,
        float(probability),
    )


def _ranked(
    likelihood: Likelihood,
    candidates: tuple[Candidate, ...],
    alone: Posterior,
    settings: Settings,
    where: Sequence[Located],
    beside: Sequence[Sequence[tuple[float, float, float]]],
) -> tuple[tuple[float, ...], float]:
    """Return each candidate's probability of being a source, and that of a source at none of them."""
    if len(where) < 2:
        return alone.candidates, alone.unknown_location
    clean = likelihood.without_source()
    ranked = [
        rank(likelihood, candidates, part.log_evidence - clean, settings, others)
        for part, others in zip(where, beside, strict=True)
    ]
    named = 1.0 - np.prod([1.0 - np.array(one) for one, _ in ranked], axis=0) if candidates else ()
    return tuple(float(p) for p in named), float(1.0 - np.prod([1.0 - unknown for _, unknown in ranked]))


def _suspects(
    likelihood: Likelihood,
    observations: Observations,
    settings: Settings,
    source: Source,
    beside: Sequence[tuple[float, float, float]],
) -> Floats:
    k, i = np.unravel_index(int(np.argmax(source.log_mass)), source.log_mass.shape)
    x, y = float(source.grid.x_m[i]), float(source.grid.y_m[k])
    sensor, z, modelled = likelihood.explain(x, y, source.rate(0.5), beside)
    return suspect_probabilities(sensor, z, modelled, len(observations.names), settings)


def _contradicted(observations: Observations, wind: Wind, settings: Settings, found: Posterior) -> list[str]:
    """Say what the readings contradict, and what they leave open."""
    warnings = []
    if found.log_bayes_factor < REVERSED_LN:
        reversed_wind = replace(wind, from_deg=(wind.from_deg + 180.0) % 360.0)
        likelihood, _ = prepare(observations, reversed_wind, settings)
        grid = Grid.over(settings.bounds_m, settings.coarse_cells)
        x, y = (part.ravel() for part in np.meshgrid(grid.x_m, grid.y_m))
        other = float(np.logaddexp.reduce(likelihood.at(x, y, grid.step_m), axis=None)) - math.log(x.size)
        gained = other - likelihood.without_source() - found.log_bayes_factor
        if gained > REVERSED_LN:
            warnings.append(
                "the readings contradict the wind: turned round by 180 degrees it explains them far better "
                f"(e^{gained:.0f}); is from_deg where it blows to?"
            )
    region = smallest_region(np.exp(found.log_mass), 0.9)
    west, south, east, north = settings.bounds_m
    area = float(region.sum()) * found.grid.step_m**2
    if area > 0.3 * (east - west) * (north - south):
        warnings.append(
            "the place is not resolved: the 90 % region holds a third of the area or more; neither this wind "
            "nor these sensors tell more"
        )
    rows, columns = np.nonzero(region)
    touches = (
        found.grid.x_m[columns.min()] - west < found.grid.step_m
        or east - found.grid.x_m[columns.max()] < found.grid.step_m
        or found.grid.y_m[rows.min()] - south < found.grid.step_m
        or north - found.grid.y_m[rows.max()] < found.grid.step_m
    )
    if touches:
        warnings.append("the 90 % region reaches the edge of the bounds: the source may lie beyond them")
    return warnings
