"""Traffic: a radar detector on each approach of a junction, and the signal controller's own states."""

from collections.abc import Mapping

from devices.sensors.chain import Sheet

SHEETS: Mapping[str, Sheet] = {
    # Misses vehicles that hide each other, counts some twice: whole numbers, a few per cent off.
    "vehicles": Sheet(step=1.0, noise_share=0.03, gain=0.02, combine="sum"),
    "occupancy": Sheet(step=0.1, noise=0.3, noise_share=0.03, gain=0.03, high=100.0),
    "speed": Sheet(step=0.1, noise=0.3, noise_share=0.02, gain=0.02, high=60.0),
    "queue": Sheet(step=1.0, noise=1.0, noise_share=0.08, gain=0.05, combine="state"),
    "signal_phase": Sheet(step=1.0, combine="state"),
    "green_time": Sheet(step=1.0, combine="sum"),
}  # fmt: skip
