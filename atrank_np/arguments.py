"""Checks of arguments: each function returns the value as the package uses it, or raises an ArgumentError with its name."""

import contextlib
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Ints
from .errors import ArgumentError


def path(name: str, value: Any) -> Path:
    """The Path that a string or an os.PathLike stands for."""
    if not isinstance(value, str | os.PathLike):
        raise ArgumentError(f"{name}: expected a path, got {value!r}")
    return Path(os.fsdecode(value))


def whole(name: str, value: Any, least: int = 0, below: int = 2**31) -> int:
    """A whole number."""
    try:
        found = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name}: expected a whole number, got {value!r}") from None
    if not least <= found < below:
        limit = f"at least {least}" if found < least else f"less than {below}"
        raise ArgumentError(f"{name}: expected {limit}, got {found}")
    return found


def items(name: str, values: Any) -> list[Any]:
    """The elements of a list, an array or another iterable."""
    with contextlib.suppress(TypeError):
        if not isinstance(values, str | bytes | dict):
            return list(values)
    raise ArgumentError(f"{name}: expected a list, got {values!r}")


def names(name: str, values: Any) -> list[str]:
    """Names of users, objects or actions. A whole number becomes the text that a file has for it."""
    found = items(name, values)
    for value in found:
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
            raise ArgumentError(f"{name}: expected names, got {value!r}")
    return [str(value) for value in found]


def times(name: str, values: Any) -> Ints:
    """Whole numbers of 64 bits."""
    return np.array([whole(name, value, -(2**62), 2**62) for value in items(name, values)], np.int64)
