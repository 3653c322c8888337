"""Checks of data from files and callers. With wrong numbers, compiled code would read outside of an array, without an error."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from .catalogue import Bag, Catalogue
from .cells import LATEST
from .log import Log
from .schema import Group


def check_log(log: Log) -> None:
    """ArgumentError for a Log whose arrays do not belong together. It costs some passes over the events."""
    for group in log.schema.groups:
        if group.name not in log.catalogues:
            raise ArgumentError(f"catalogues: expected one of each group, got none of {group.name}")
        check_catalogue(group, log.catalogues[group.name], {name: len(names) for name, names in log.tables.items()})
    events = {name: getattr(log, name) for name in ("group", "object", "action", "time")}
    E = np.size(log.group)  # any object has a size; len() would fail for some
    check_offsets("offsets", log.offsets, len(log.users), E)
    for name, column in events.items():
        check_codes(name, column, LATEST + 1 if name == "time" else 2**31, E, -LATEST if name == "time" else 0)
    check_codes("action", log.action, len(log.actions), E)
    check_codes("group", log.group, len(log.schema.groups), E)
    for g, group in enumerate(log.schema.groups):
        own = log.object[log.group == g]
        check_codes(f"object of {group.name}", own, len(log.catalogues[group.name].objects), len(own))
    later = np.diff(log.time) < 0
    later[log.offsets[1:-1][(log.offsets[1:-1] > 0) & (log.offsets[1:-1] < len(log.time))] - 1] = False  # a new user begins here
    if later.any():
        raise ArgumentError("history: expected the behaviours in the order of their times")


def check_catalogue(group: Group, catalogue: Catalogue, tables: dict[str, int]) -> None:
    """ArgumentError unless each feature of a group has a value of its kind for each object. tables: name -> its rows."""
    M = len(catalogue.objects)
    check_names(f"objects of {group.name}", catalogue.objects)
    for f in group.features:
        name, values = f"{group.name}.{f.name}", catalogue.features.get(f.name)
        if f.kind != "number" and f.table not in tables:
            raise ArgumentError(f"{name}: expected a table {f.table!r}, got none")
        if isinstance(values, Bag) and f.kind == "tokens":
            check_codes(name, values.ids, tables[f.table], len(values.ids))
            check_offsets(name, values.offsets, M, len(values.ids))
        elif isinstance(values, np.ndarray) and f.kind == "number":
            check_array(name, values, np.dtype(np.float64), (M,))
            if np.isinf(values).any():
                raise ArgumentError(f"{name}: expected finite numbers, or NaN where one is missing")
        elif isinstance(values, np.ndarray) and f.kind != "tokens":
            check_codes(name, values, tables[f.table], M)
        else:
            raise ArgumentError(f"{name}: expected values of the kind {f.kind}, got {type(values).__name__}")


def check_names(what: str, names: NDArray[Any]) -> None:
    """ArgumentError unless these are strings [V], with V at least 1."""
    if not isinstance(names, np.ndarray) or names.dtype.kind not in "UT" or names.ndim != 1 or len(names) < 1:
        raise ArgumentError(f"{what}: expected an array of at least one name")


def check_array(what: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """ArgumentError unless an array has this type, in the byte order of the machine, and this shape."""
    if array.dtype != dtype or array.shape != shape:
        expected, got = (f"{kind} {list(size)}" for kind, size in ((dtype, shape), (array.dtype, array.shape)))
        raise ArgumentError(f"{what}: expected {expected}, got {got}")


def check_codes(what: str, codes: NDArray[Any], below: int, n: int, least: int = 0) -> None:
    """ArgumentError unless these are n integers, of the byte order of the machine, from `least` on and below a limit."""
    if not isinstance(codes, np.ndarray) or codes.dtype.kind != "i" or not codes.dtype.isnative or codes.shape != (n,):
        got = f"{codes.dtype} {list(codes.shape)}" if isinstance(codes, np.ndarray) else type(codes).__name__
        raise ArgumentError(f"{what}: expected integers [{n}], got {got}")
    if n and not least <= int(codes.min()) <= int(codes.max()) < below:
        wrong = int(codes.min()) if codes.min() < least else int(codes.max())
        raise ArgumentError(f"{what}: expected numbers from {least} to {below - 1}, got {wrong}")


def check_offsets(what: str, offsets: NDArray[Any], n: int, end: int) -> None:
    """ArgumentError unless these are the bounds of n parts [n+1] of `end` values."""
    check_codes(what, offsets, end + 1, n + 1)
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
        raise ArgumentError(f"{what}: expected to begin at 0, to rise, and to end at {end}")
