"""Sensors that sign: a device as firmware would be, simulated and replayed ones, and the city they measure."""
