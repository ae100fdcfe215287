"""Weather: cup anemometer, vane, thermometer and hygrometer in a screen, barometer, tipping-bucket gauge."""

from collections.abc import Mapping

from devices.sensors.chain import Sheet

SHEETS: Mapping[str, Sheet] = {
    # The cups start at 0.3 m/s; what is slower reads as half of that.
    "wind_speed": Sheet(
        step=0.1, noise=0.15, noise_share=0.02, gain=0.02, native_s=3.0, limit=0.3, high=75.0,
    ),
    # The zero is how well the mast was turned to the north; the lag of a vane is far below a minute.
    "wind_from": Sheet(
        step=1.0, noise=4.0, zero=2.5, native_s=3.0, combine="direction", low=-720.0, high=720.0,
    ),
    "temperature": Sheet(
        step=0.1, noise=0.1, zero=0.15, drift=0.003, response_s=60.0, native_s=10.0, low=-40.0, high=60.0,
    ),
    "humidity": Sheet(
        step=0.1, noise=0.5, zero=1.0, gain=0.01, drift=0.03, response_s=40.0, native_s=10.0, high=100.0,
    ),
    "pressure": Sheet(step=0.1, noise=0.05, zero=0.2, drift=0.003, native_s=10.0, low=500.0, high=1100.0),
    "rain": Sheet(step=0.1, gain=0.03, combine="sum"),
}  # fmt: skip
