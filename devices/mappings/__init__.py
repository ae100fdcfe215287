"""Mapping files: which column of a wide table is which quantity of which device."""
