"""Types of the fields in the log's CBOR objects."""

from typing import TypeGuard

from pipeline.log.merkle import HASH_SIZE
from pipeline.wire.statement import COUNTER_MAX


def is_uint(value: object) -> TypeGuard[int]:
    """Tell whether this is an integer, and not a bool, that every language counts exactly."""
    return type(value) is int and 0 <= value <= COUNTER_MAX


def are_uints(*values: object) -> bool:
    """Tell whether all these are such integers."""
    return all(map(is_uint, values))


def is_hash(value: object) -> TypeGuard[bytes]:
    """Tell whether this is a byte string of 32 bytes."""
    return isinstance(value, bytes) and len(value) == HASH_SIZE
