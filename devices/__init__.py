"""Sensors that sign: a device as firmware would be, simulated and replayed ones, the city they measure."""
