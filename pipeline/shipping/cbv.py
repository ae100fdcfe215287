"""Terms of the Core Business Vocabulary, and in which fields of an EPCIS event each stands as a bare word.

Source: GS1 CBV 2.0, 7; the JSON-LD context of EPCIS 2.0.
"""

from collections.abc import Mapping
from types import MappingProxyType

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
CBV = "https://ref.gs1.org/cbv/"
VOC = "https://gs1.org/voc/"

# Prefixes that the standard's context declares.
NAMESPACES: Mapping[str, str] = MappingProxyType(
    {
        "epcis": "https://ref.gs1.org/epcis/",
        "cbv": CBV,
        "cbvmda": "urn:epcglobal:cbv:mda:",
        "gs1": VOC,
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "owl": "http://www.w3.org/2002/07/owl#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "dcterms": "http://purl.org/dc/terms/",
    }
)

BIZ_STEPS = frozenset(
    {
        "accepting", "arriving", "assembling", "collecting", "commissioning", "consigning",
        "creating_class_instance", "cycle_counting", "decommissioning", "departing", "destroying",
        "disassembling", "dispensing", "encoding", "entering_exiting", "holding", "inspecting", "installing",
        "killing", "loading", "other", "packing", "picking", "receiving", "removing", "repackaging",
        "repairing", "replacing", "reserving", "retail_selling", "sampling", "sensor_reporting", "shipping",
        "staging_outbound", "stock_taking", "stocking", "storing", "transporting", "unloading", "unpacking",
        "void_shipping",
    }
)  # fmt: skip
DISPOSITIONS = frozenset(
    {
        "active", "available", "completeness_verified", "completeness_inferred", "conformant",
        "container_closed", "container_open", "damaged", "destroyed", "dispensed", "disposed", "encoded",
        "expired", "in_progress", "in_transit", "inactive", "mismatch_instance", "mismatch_class",
        "mismatch_quantity", "needs_replacement", "no_pedigree_match", "non_conformant", "non_sellable_other",
        "partially_dispensed", "recalled", "reserved", "retail_sold", "returned", "sellable_accessible",
        "sellable_not_accessible", "stolen", "unavailable", "unknown",
    }
)  # fmt: skip
TRANSACTIONS = frozenset(
    {
        "bol", "cert", "desadv", "inv", "pedigree", "po", "poc", "prodorder", "recadv", "rma", "testprd",
        "testres", "upevt",
    }
)  # fmt: skip
PARTIES = frozenset({"owning_party", "possessing_party", "location"})
ERROR_REASONS = frozenset({"did_not_occur", "incorrect_data"})
EXCEPTIONS = frozenset({"ALARM_CONDITION", "ERROR_CONDITION"})
COMPONENTS = frozenset(
    {
        "x", "y", "z", "axial_distance", "azimuth", "height", "spherical_radius", "polar_angle",
        "elevation_angle", "easting", "northing", "latitude", "longitude", "altitude",
    }
)  # fmt: skip
MEASUREMENTS = frozenset(
    {
        "AbsoluteHumidity", "AbsorbedDose", "AbsorbedDoseRate", "Acceleration", "Altitude",
        "AmountOfSubstance", "AmountOfSubstancePerUnitVolume", "Angle", "AngularAcceleration",
        "AngularMomentum", "AngularVelocity", "Area", "Capacitance", "Conductance", "Conductivity", "Count",
        "Density", "Dimensionless", "DoseEquivalent", "DoseEquivalentRate", "DynamicViscosity",
        "ElectricCharge", "ElectricCurrent", "ElectricCurrentDensity", "ElectricFieldStrength", "Energy",
        "Exposure", "Force", "Frequency", "Illuminance", "Inductance", "Irradiance", "KinematicViscosity",
        "Length", "LinearMomentum", "Luminance", "LuminousFlux", "LuminousIntensity", "MagneticFlux",
        "MagneticFluxDensity", "MagneticVectorPotential", "Mass", "MassConcentration", "MassFlowRate",
        "MassPerAreaTime", "MemoryCapacity", "MolalityOfSolute", "MolarEnergy", "MolarMass", "MolarVolume",
        "Power", "Pressure", "RadiantFlux", "RadiantIntensity", "Radioactivity", "RelativeHumidity",
        "Resistance", "Resistivity", "SolidAngle", "SpecificVolume", "Speed", "SurfaceDensity",
        "SurfaceTension", "Temperature", "Time", "Torque", "Voltage", "Volume", "VolumeFlowRate",
        "VolumeFraction", "VolumetricFlux", "Wavenumber",
    }
)  # fmt: skip

# (field, of which element) -> its bare words, and what stands before them in full.
TERMS: Mapping[tuple[str, str], tuple[frozenset[str], str]] = MappingProxyType(
    {
        ("bizStep", ""): (BIZ_STEPS, CBV + "BizStep-"),
        ("disposition", ""): (DISPOSITIONS, CBV + "Disp-"),
        ("set", ""): (DISPOSITIONS, CBV + "Disp-"),
        ("unset", ""): (DISPOSITIONS, CBV + "Disp-"),
        ("type", "bizTransaction"): (TRANSACTIONS, CBV + "BTT-"),
        ("type", "source"): (PARTIES, CBV + "SDT-"),
        ("type", "destination"): (PARTIES, CBV + "SDT-"),
        ("type", ""): (MEASUREMENTS, VOC),
        ("exception", ""): (EXCEPTIONS, VOC),
        ("component", ""): (COMPONENTS, CBV + "Comp-"),
    }
)


def full_term(field: str, word: str, of: str = "") -> str:
    """Return a bare word's web address; other text, and words of other fields, as they are."""
    words, prefix = TERMS.get((field, of), (frozenset(), ""))
    return prefix + word if word in words else word
