"""Tracing in water: pipe networks, from what few sensors and grab samples say back to where it entered."""
