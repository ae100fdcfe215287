"""Water: river sondes with wet-chemistry analysers, and probes, meters and gauges in the pipe network."""

from collections.abc import Mapping

from devices.sensors.chain import Sheet

SHEETS: Mapping[str, Sheet] = {
    "temperature": Sheet(
        step=0.01, noise=0.03, zero=0.08, drift=0.001, response_s=30.0, native_s=10.0, low=-5.0,
        high=50.0,
    ),
    # Glass electrodes drift, and follow temperature a little.
    "ph": Sheet(
        step=0.01, noise=0.02, zero=0.05, drift=0.008, response_s=45.0, native_s=10.0, high=14.0,
        cross={"ambient_cel": 0.001},
    ),
    "dissolved_oxygen": Sheet(
        step=0.01, noise=0.05, zero=0.08, gain=0.02, drift=0.01, response_s=60.0, native_s=10.0,
        limit=0.05, high=40.0,
    ),
    "ammonia_nitrogen": Sheet(
        step=0.01, noise=0.02, noise_share=0.03, zero=0.02, gain=0.04, drift=0.006, response_s=180.0,
        limit=0.02, high=100.0,
    ),
    "permanganate_index": Sheet(
        step=0.1, noise=0.15, noise_share=0.04, zero=0.1, gain=0.04, drift=0.02, response_s=240.0,
        limit=0.5, high=200.0,
    ),
    "total_phosphorus": Sheet(
        step=0.001, noise=0.004, noise_share=0.04, zero=0.003, gain=0.04, drift=0.0005, response_s=240.0,
        limit=0.01, high=50.0,
    ),
    "total_nitrogen": Sheet(
        step=0.01, noise=0.05, noise_share=0.03, zero=0.04, gain=0.04, drift=0.005, response_s=240.0,
        limit=0.05, high=200.0,
    ),
    "free_chlorine": Sheet(
        step=0.001, noise=0.01, noise_share=0.01, zero=0.012, gain=0.03, drift=0.003, response_s=60.0,
        native_s=10.0, limit=0.02, high=10.0,
    ),
    "turbidity": Sheet(
        step=0.001, noise=0.01, noise_share=0.03, zero=0.015, gain=0.03, drift=0.002, response_s=10.0,
        native_s=5.0, limit=0.02, high=4000.0,
    ),
    "conductivity": Sheet(
        step=1e-5, noise=5e-5, noise_share=0.004, zero=1.5e-4, gain=0.01, drift=3e-5, response_s=15.0,
        native_s=5.0, limit=1e-4, high=10.0, cross={"ambient_cel": 1e-5},
    ),
    "flow_river": Sheet(step=0.01, noise=0.05, noise_share=0.03, gain=0.03, native_s=10.0, limit=0.05),
    # Signed: a pipe's water may turn around.
    "flow_pipe": Sheet(
        step=0.01, noise=0.1, noise_share=0.01, gain=0.01, native_s=5.0, low=-5000.0, high=5000.0,
    ),
    "network_pressure": Sheet(
        step=100.0, noise=1200.0, zero=1500.0, gain=0.002, native_s=5.0, high=2.5e6,
    ),
}  # fmt: skip
