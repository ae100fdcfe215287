"""Readings as mass: molar mass, pressure and temperature count."""

import pytest

from pipeline.tracing.units import grams_per_cubic_metre


def test_a_ppm_of_methane_weighs_what_the_ideal_gas_law_says() -> None:
    """At 101325 Pa and 0 °C a mole fills 22.414 l: 16.043 / 22.414 µg a litre and ppm."""
    factor = grams_per_cubic_metre("ppm", "ch4", temperature_k=273.15, pressure_pa=101_325.0)
    assert factor == pytest.approx(16.043e-6 / 22.41396954e-3, rel=1e-6)


def test_a_ppm_weighs_less_in_thinner_and_in_warmer_air() -> None:
    """Mass is in proportion to pressure, and inversely to temperature."""
    here = grams_per_cubic_metre("ppm", "ch4", temperature_k=300.0, pressure_pa=100_000.0)
    assert grams_per_cubic_metre("ppm", "ch4", temperature_k=300.0, pressure_pa=84_000.0) == pytest.approx(
        0.84 * here
    )
    assert grams_per_cubic_metre("ppm", "ch4", temperature_k=270.0, pressure_pa=100_000.0) == pytest.approx(
        here / 0.9
    )


@pytest.mark.parametrize(("unit", "factor"), [("g/m3", 1.0), ("mg/m3", 1e-3), ("ug/m3", 1e-6)])
def test_mass_units_do_not_depend_on_the_air(unit: str, factor: float) -> None:
    """A mass a volume is one already."""
    assert grams_per_cubic_metre(unit, "anything", pressure_pa=1.0) == factor


@pytest.mark.parametrize(("unit", "quantity"), [("ppm", "pm10"), ("furlong", "ch4")])
def test_what_does_not_convert_is_refused_by_name(unit: str, quantity: str) -> None:
    """No molar mass, no conversion; an unknown unit is named."""
    with pytest.raises(ValueError, match=unit):
        grams_per_cubic_metre(unit, quantity)
