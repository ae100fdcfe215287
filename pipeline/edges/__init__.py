"""Drivers: one per file, the only place that imports it. They move bytes, report failures, decide nothing."""
