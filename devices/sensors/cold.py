"""Cold chain: a logger among the cargo; thermometer, hygrometer, door contact, light, shock, position."""

from collections.abc import Mapping

from devices.sensors.chain import Sheet

SHEETS: Mapping[str, Sheet] = {
    # States, not means: limits and durations are judged on what was read at a time.
    "temperature": Sheet(
        step=0.1, noise=0.05, zero=0.12, drift=0.002, response_s=90.0, combine="state", low=-60.0,
        high=80.0,
    ),
    "humidity": Sheet(
        step=0.1, noise=0.5, zero=1.2, gain=0.01, drift=0.02, response_s=60.0, combine="state",
        high=100.0,
    ),
    "door": Sheet(step=1.0, combine="state", high=1.0),
    "light": Sheet(step=1.0, noise_share=0.1, gain=0.1, combine="state", high=100_000.0),
    "shock": Sheet(step=0.1, noise=0.05, gain=0.03, combine="state", high=160.0),
    "lon": Sheet(step=1e-5, noise=3e-5, combine="state", low=-180.0, high=180.0),  # About three metres.
    "lat": Sheet(step=1e-5, noise=3e-5, combine="state", low=-90.0, high=90.0),
    "battery": Sheet(step=1.0, noise=0.3, combine="state", high=100.0),
}  # fmt: skip
