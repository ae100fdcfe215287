"""Bytes that devices and the pipeline exchange. Pure: no I/O, no clock, no randomness."""
