"""What a reading means in grams a cubic metre, by its unit and the state of the air.

A mole fraction x of a gas of molar mass M is x·M·p/(R·T): at METEC's 84 kPa a ppm weighs a sixth less than
at sea level, and so does every rate traced from it.
"""

from collections.abc import Mapping
from types import MappingProxyType

GAS_CONSTANT_J_MOL_K = 8.314462618  # CODATA 2018, exact.
STANDARD_PRESSURE_PA = 101_325.0
STANDARD_TEMPERATURE_K = 288.15  # ICAO standard atmosphere at sea level.

MOLAR_MASS_G_MOL: Mapping[str, float] = MappingProxyType(
    {"ch4": 16.043, "co": 28.010, "no2": 46.006, "so2": 64.064, "o3": 47.998, "nh3": 17.031, "h2s": 34.08}
)
_MASS_UNITS = {"g/m3": 1.0, "mg/m3": 1e-3, "ug/m3": 1e-6, "µg/m3": 1e-6, "μg/m3": 1e-6}
_MOLE_UNITS = {"ppm": 1e-6, "ppb": 1e-9, "ppt": 1e-12}


def grams_per_cubic_metre(
    unit: str,
    quantity: str,
    *,
    temperature_k: float = STANDARD_TEMPERATURE_K,
    pressure_pa: float = STANDARD_PRESSURE_PA,
) -> float:
    """Return the factor from `unit` to g/m³.

    Raises:
        ValueError: The unit is unknown, or is a mole fraction of something whose molar mass is unknown.
    """
    if unit in _MASS_UNITS:
        return _MASS_UNITS[unit]
    if unit not in _MOLE_UNITS:
        raise ValueError(f"unit {unit!r} is none of {', '.join([*_MASS_UNITS, *_MOLE_UNITS])}")
    if quantity not in MOLAR_MASS_G_MOL:
        raise ValueError(f"{quantity!r} has no molar mass here, so {unit} cannot be converted")
    moles_per_cubic_metre = pressure_pa / (GAS_CONSTANT_J_MOL_K * temperature_k)
    return _MOLE_UNITS[unit] * MOLAR_MASS_G_MOL[quantity] * moles_per_cubic_metre
