"""Air: low-cost stations (optical particle counter, electrochemical cells, metal oxide) and open-path beams.

Orders of magnitude from published field evaluations of such instruments; NO2 cells answer to ozone, ozone
cells to NO2, the particle counter to humidity, the methane sensor to CO, and all of them to temperature.
"""

from collections.abc import Mapping

from devices.sensors.chain import Sheet

STATION: Mapping[str, Sheet] = {
    "pm2_5": Sheet(
        step=0.1, noise=3.0, noise_share=0.04, zero=1.5, gain=0.08, drift=0.3, native_s=5.0, limit=1.0,
        high=1000.0, cross={"ambient_humidity": 0.06},
    ),
    "pm10": Sheet(
        step=0.1, noise=5.0, noise_share=0.06, zero=2.5, gain=0.12, drift=0.5, native_s=5.0, limit=2.0,
        high=2000.0, cross={"ambient_humidity": 0.08},
    ),
    "so2": Sheet(
        step=0.1, noise=6.0, noise_share=0.02, zero=2.0, gain=0.05, drift=0.5, response_s=30.0,
        native_s=10.0, limit=2.0, high=5000.0, cross={"no2": -0.02, "ambient_cel": 0.12},
    ),
    "no2": Sheet(
        step=0.1, noise=5.0, noise_share=0.02, zero=2.5, gain=0.05, drift=0.6, response_s=25.0,
        native_s=10.0, limit=2.0, high=2000.0, cross={"o3": 0.06, "ambient_cel": 0.10},
    ),
    "o3": Sheet(
        step=0.1, noise=5.0, noise_share=0.02, zero=3.0, gain=0.05, drift=0.6, response_s=35.0,
        native_s=10.0, limit=3.0, high=1000.0, cross={"no2": 0.07, "ambient_cel": 0.15},
    ),
    "co": Sheet(
        step=1.0, noise=40.0, noise_share=0.01, zero=20.0, gain=0.04, drift=4.0, response_s=25.0,
        native_s=10.0, limit=20.0, high=50_000.0, cross={"ambient_cel": 0.8},
    ),
    "ch4": Sheet(
        step=0.01, noise=0.08, noise_share=0.01, zero=0.04, gain=0.04, drift=0.01, response_s=45.0,
        native_s=5.0, limit=0.1, high=10_000.0, cross={"co": 2e-5, "ambient_cel": 0.001,
        "ambient_humidity": 0.0004},
    ),
}  # fmt: skip


# Laser and ultraviolet spectra over half a kilometre: quick, selective, averaged along the path.
BEAM: Mapping[str, Sheet] = {
    "so2": Sheet(
        step=0.1, noise=2.0, noise_share=0.01, zero=0.8, gain=0.02, drift=0.1, native_s=10.0, limit=1.0,
    ),
    "no2": Sheet(
        step=0.1, noise=2.0, noise_share=0.01, zero=0.8, gain=0.02, drift=0.1, native_s=10.0, limit=1.0,
    ),
    "o3": Sheet(
        step=0.1, noise=3.0, noise_share=0.01, zero=1.2, gain=0.02, drift=0.1, native_s=10.0, limit=2.0,
    ),
    "ch4": Sheet(step=0.001, noise=0.02, zero=0.01, gain=0.01, drift=0.002, native_s=1.0, limit=0.05),
}  # fmt: skip
