"""What a trace is asked, and with which priors: one set for all data, with a fingerprint.

Priors are chosen by physics, and by what is known of dispersion models; `docs/tracing.md` says which of them
a field trial has had a part in. What is `LEARNABLE` the bench learns on one data set and tests on another.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

# Of the question, not of the priors.
ASKED = ("from_s", "to_s", "bounds_m", "source_height_m", "background_g_m3")
LEARNABLE = {
    "wandering": (0.5, 0.7, 1.0),
    "white": (0.3, 0.4, 0.6),
    "wind_error_deg": (5.0, 10.0),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The question, the priors and the steps of quadrature. A "sd" of what multiplies is one of its ln."""

    # The question
    from_s: float
    to_s: float
    bounds_m: tuple[float, float, float, float]  # west, south, east, north
    source_height_m: tuple[float, float] = (1.0, 4.5)
    background_g_m3: float | None = None  # None: fitted

    # The wind's direction, sd
    wind_error_deg: float = 10.0  # Over the whole event: a vane set by eye, or by a compass (declination)
    wind_chance_deg: float = 5.0  # In each averaged reading
    wind_local_deg: float = 1.0  # From sensor to sensor, where there is one reading of each
    sigma_v_m_s: float = 0.3  # In light wind, where it is not measured
    sigma_v_chance_m_s: float = 0.3  # What the wind's direction still varies by in calm air, times speed

    # What multiplies a modelled reading: log sds
    kept: float = 0.7  # As long as the event lasts, by sensor
    wandering: float = 0.7  # With the memory below
    white: float = 0.4
    memory_s: float = 1800.0
    tail: float = 4.0  # Degrees of freedom of the errors' Student-t: a gust that misses a sensor is no proof.

    # Where there is one reading of each sensor, errors are those of distance. `wandering` is all of what errs
    # with distance; the width's part, which also moves a plume's edges, is taken out of it.
    memory_ln: float = 1.0  # In ln distance: what spreads a plume acts over its whole way.
    axis_deg: float = 2.0  # sd of where a plume's axis is at a distance, beside the event's direction
    width_error_ln: float = 0.35  # sd of widths across the wind, over the whole event
    width_wander_ln: float = 0.2  # The same, from distance to distance

    # Clean air, in sds of what readings there vary by
    zero_sd: float = 0.7  # The zero's drift
    noise_sd: float = 0.3
    zero_memory_s: float = 10_800.0

    # The rate
    rate_centre_ln: float = 0.0  # 1 g/s
    rate_sd_ln: float = 3.0
    speed_error_ln: float = 0.2

    probability_of_source: float = 0.5
    probability_of_unlisted: float = 0.1

    # Averages
    block_s: float = 1200.0  # Readings are averaged over so long: a few turnovers of the boundary layer.
    block_turn_deg: float = 45.0  # Nor over more than the wind turns by so much in

    # Steps of quadrature: halving any of them moves little (`tests/tracing/test_halving.py`).
    direction_step: float = 0.5  # From node to node, in sds of what the direction varies by chance
    width_step_ln: float = 0.3
    swing_deg: float = 10.0  # Over which dM/dθ is taken
    ring_ln: float = 0.1
    spoke_deg: float = 2.0
    puff_step: float = 1.5  # In spreads; Gaussians so close in a row sum to a constant within 3e-4.
    rate_step: float = 0.7  # Of the lattice of ln q
    coarse_cells: int = 400
    fine_cells: int = 600
    finest_m: float = 3.0  # Where refinement stops
    prune: float = 10.0  # Cells whose density is e^-10 of the best are not refined.


def fingerprint(settings: Settings) -> str:
    """Return twelve hex digits of SHA-256 over all that is not the question."""
    priors = {name: value for name, value in asdict(settings).items() if name not in ASKED}
    return hashlib.sha256(json.dumps(priors, sort_keys=True).encode()).hexdigest()[:12]
