"""Tracing pollution to its source: pure functions, without I/O, clock or randomness."""
