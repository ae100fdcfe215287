"""Compile functions to machine code, once per machine: the code is kept beside the modules."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import config

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled at its first call.

    Arithmetic stays IEEE's, in the order it is written, so that a seed gives the same bytes.
    """
    return _compile(function, inline="never")


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled into its callers: handing over many arrays costs more than a step."""
    return _compile(function, inline="always")


def _compile(function: Callable[P, R], inline: str) -> Callable[P, R]:
    """Compile with numba, and keep the code under the hash of all our sources.

    numba itself only looks at the age of one file, and compiles in what that imports from others.
    """
    njit: Any = numba.njit  # Its types leave out most of its options.
    settings: Any = config
    ordinary, settings.CACHE_DIR = settings.CACHE_DIR, str(_folder())
    try:
        result: Callable[P, R] = njit(cache=True, error_model="numpy", inline=inline)(function)
    finally:
        settings.CACHE_DIR = ordinary
    return result


@cache
def _folder() -> Path:
    here = Path(__file__).parent
    sources = b"".join(file.read_bytes() for file in sorted(here.glob("*.py")))
    return here / "__pycache__" / f"compiled-{sha256(sources).hexdigest()[:16]}"
