"""What a reading means in grams a cubic metre, by its unit and the state of the air.

A mole fraction x of a gas of molar mass M is x·M·p/(R·T): at METEC's 84 kPa a ppm weighs a sixth less than
at sea level, and so does every rate traced from it.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

GAS_CONSTANT_J_MOL_K = 8.314462618  # CODATA 2018, exact.
STANDARD_PRESSURE_PA = 101_325.0
STANDARD_TEMPERATURE_K = 288.15  # ICAO standard atmosphere at sea level.

# Standard atomic weights, abridged (IUPAC 2021): what gases that are traced consist of.
_ATOMIC_MASS = MappingProxyType(
    {"h": 1.008, "c": 12.011, "n": 14.007, "o": 15.999, "f": 18.998, "s": 32.06, "he": 4.0026, "ar": 39.95}
)
_ATOM = re.compile(r"(he|ar|[hcnofs])(\d*)")
# Other names of the same; what is not here is read as a formula.
_FORMULA: Mapping[str, str] = MappingProxyType(
    {
        "methane": "ch4", "ethane": "c2h6", "propane": "c3h8", "butane": "c4h10", "ethylene": "c2h4",
        "ethene": "c2h4", "propylene": "c3h6", "propene": "c3h6", "acetylene": "c2h2", "benzene": "c6h6",
        "toluene": "c7h8", "ammonia": "nh3", "hydrogen": "h2", "helium": "he", "argon": "ar",
        "carbon_dioxide": "co2", "carbon_monoxide": "co", "nitrous_oxide": "n2o", "nitric_oxide": "no",
        "nitrogen_dioxide": "no2", "ozone": "o3", "sulphur_dioxide": "so2", "sulfur_dioxide": "so2",
        "hydrogen_sulphide": "h2s", "hydrogen_sulfide": "h2s", "sulphur_hexafluoride": "sf6",
        "sulfur_hexafluoride": "sf6",
    }
)  # fmt: skip
_MASS_UNITS = {
    "kg/m3": 1e3, "g/m3": 1.0, "mg/m3": 1e-3, "ug/m3": 1e-6, "ng/m3": 1e-9, "mg/l": 1.0, "ug/l": 1e-3,
}  # fmt: skip
_MOLE_UNITS = {
    "ppm": 1e-6, "ppmv": 1e-6, "ppb": 1e-9, "ppbv": 1e-9, "ppt": 1e-12, "pptv": 1e-12, "vol%": 1e-2,
    "umol/mol": 1e-6, "nmol/mol": 1e-9,
}  # fmt: skip


def molar_mass_g_mol(quantity: str) -> float | None:
    """Return the molar mass of a gas by its name or formula, None where it is neither."""
    name = quantity.strip().lower().replace(" ", "_").replace("-", "_")
    formula = _FORMULA.get(name, name)
    atoms = _ATOM.findall(formula)
    if not atoms or "".join(symbol + count for symbol, count in atoms) != formula:
        return None
    return sum(_ATOMIC_MASS[symbol] * int(count or 1) for symbol, count in atoms)


def plain_unit(unit: str) -> str:
    """Return a unit as the tables have it: without superscripts, signs for micro and points."""
    plain = unit.strip().replace("µ", "u").replace("μ", "u").replace("³", "3").replace("^", "")
    plain = plain.replace("**", "").replace(" ", "").replace("·", ".")
    for written, meant in ((".m-3", "/m3"), ("m-3", "/m3"), ("/Nm3", "/m3")):
        plain = plain.replace(written, meant)
    return plain if plain == "vol%" else plain.lower()


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
    plain = plain_unit(unit)
    if plain in _MASS_UNITS:
        return _MASS_UNITS[plain]
    if plain not in _MOLE_UNITS:
        raise ValueError(f"unit {unit!r} is none of {', '.join([*_MASS_UNITS, *_MOLE_UNITS])}")
    mass = molar_mass_g_mol(quantity)
    if mass is None:
        raise ValueError(f"{quantity!r} has no molar mass here, so {unit} cannot be converted")
    return _MOLE_UNITS[plain] * mass * pressure_pa / (GAS_CONSTANT_J_MOL_K * temperature_k)


def column_length(unit: str) -> str | None:
    """Return the unit of the mean along a path, where a unit is that times metres (ppm.m); else None."""
    plain = plain_unit(unit)
    for suffix in (".m", "*m", "-m"):
        if plain.endswith(suffix) and plain.removesuffix(suffix) in {*_MOLE_UNITS, *_MASS_UNITS}:
            return plain.removesuffix(suffix)
    return {"g/m2": "g/m3", "mg/m2": "mg/m3", "ug/m2": "ug/m3"}.get(plain)
