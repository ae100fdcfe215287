"""The table of quantities: units of IANA's registries, one a quantity, names in both languages."""

import re

from pipeline.wire.quantities import KINDS, QUANTITIES

# IANA, "SenML Units" and "Secondary Units" (as of 2025-03-27): those in use here.
PRIMARY = {
    "m", "s", "Pa", "Cel", "lx", "m/s", "m/s2", "m3/s", "l/s", "lat", "lon", "pH", "count", "/", "%", "%RH",
    "%EL", "S/m", "deg", "NTU",
}  # fmt: skip
SECONDARY = {"ug/m3", "ppm", "hPa", "mm", "mg/l"}


def test_units_are_registered() -> None:
    """Every signed unit is in a registry, and exactly the secondary ones ask for SenML version 26."""
    for quantity in QUANTITIES.values():
        assert quantity.unit in PRIMARY | SECONDARY
        assert quantity.secondary == (quantity.unit in SECONDARY)
    assert {quantity.unit for quantity in QUANTITIES.values()} == PRIMARY | SECONDARY


def test_quantities_are_named_in_both_languages() -> None:
    """Names are distinct identifiers, which a SenML name may hold; both languages have words for each."""
    for name, quantity in QUANTITIES.items():
        assert quantity.name == name
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,22}", name)
        assert re.search(r"[\u4e00-\u9fff]", quantity.name_zh)
        assert quantity.name_en.isascii()
    for language in ("name_en", "name_zh"):
        assert len({getattr(quantity, language) for quantity in QUANTITIES.values()}) == len(QUANTITIES)


def test_every_quantity_belongs_to_a_kind() -> None:
    """Kinds name quantities of the table, each once; meter and parking are reserved."""
    assert set(KINDS) == {"air", "weather", "water", "traffic", "cold", "meter", "parking"}
    assert {name for names in KINDS.values() for name in names} == set(QUANTITIES)
    assert all(len(set(names)) == len(names) for names in KINDS.values())
    assert KINDS["meter"] == KINDS["parking"] == ()
    assert [len(KINDS[kind]) for kind in ("air", "weather", "water", "traffic", "cold")] == [7, 6, 13, 6, 8]


def test_how_quantities_are_shown() -> None:
    """Where the shown unit is another one, the factor leads to it; elsewhere it is 1."""
    shown = {q.name: (q.shown_unit, q.shown_factor) for q in QUANTITIES.values() if q.shown_factor != 1}
    assert shown == {
        "co": ("mg/m³", 1e-3),
        "conductivity": ("µS/cm", 1e4),
        "network_pressure": ("kPa", 1e-3),
        "speed": ("km/h", 3.6),
    }
    assert [quantity.name for quantity in QUANTITIES.values() if quantity.boolean] == ["door"]


def test_no_unit_is_shown_but_that_of_the_value_shown() -> None:
    """Where the factor is 1 the shown unit is the signed one, in print; counts and states have none."""
    print_of = {
        "ug/m3": "µg/m³", "m3/s": "m³/s", "m/s2": "m/s²", "mg/l": "mg/L", "l/s": "L/s", "Cel": "°C",
        "deg": "°", "lon": "°", "lat": "°", "%RH": "%", "%EL": "%", "pH": "", "count": "", "/": "",
    }  # fmt: skip
    for quantity in QUANTITIES.values():
        if quantity.shown_factor == 1:
            assert quantity.shown_unit == print_of.get(quantity.unit, quantity.unit), quantity.name
