"""The keys of schema.toml, and the values that they may have."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import DataError

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Rule(NamedTuple):
    """What a value must be."""

    fits: Callable[[Any], bool]
    expected: str  # the same in words


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value)) and len(set(value)) == len(value)


def _is_whole(value: Any, least: int, below: int) -> bool:
    return type(value) is int and least <= value < below  # `type`, because True is an instance of int


def _one_of(*words: str) -> Rule:
    return Rule(lambda value: isinstance(value, str) and value in words, "one of " + ", ".join(words))


NAME = Rule(_is_name, "a name")
NAMES = Rule(_are_names, "a list of different names")
SOME_NAMES = Rule(lambda value: _are_names(value) and value != [], "a list of at least one name, all different")
TABLE = Rule(lambda value: isinstance(value, dict), "a table")
SIZE = Rule(lambda value: _is_whole(value, 1, 2**31), "a whole number of at least 1 and less than 2^31")
BUCKETS = Rule(lambda value: _is_whole(value, 1, 53), "a whole number from 1 to 52")  # as far as `bucketize` is exact
UNIT = Rule(
    lambda value: _is_whole(value, 1, 2**62) or isinstance(value, str) and value in UNITS,
    "ticks, at least 1, or one of " + ", ".join(UNITS),
)

# The keys of each level.
TOP = {
    "targets": SOME_NAMES,
    "history": SOME_NAMES,
    "history_rule": _one_of("before_event", "before_time"),
    "target_repeats": _one_of("drop", "keep"),
    "duplicates": _one_of("drop", "keep"),
    "actions": NAMES,
    "groups": TABLE,
}
GROUP = {
    "bucket_unit": UNIT,
    "buckets": BUCKETS,
    "target_action": NAME,
    "target_actions": NAMES,
    "negative_actions": NAMES,
    "features": TABLE,
}
FEATURE = {"kind": _one_of("id", "categorical", "tokens", "number"), "table": NAME, "size": SIZE, "separator": NAME}


def fields_of(table: Any, where: str, allowed: Mapping[str, Rule]) -> dict[str, Any]:
    """The keys and values of `table`, checked against `allowed`; lists become tuples."""
    if not isinstance(table, dict):
        raise DataError(f"{where.rstrip('. :')}: expected a table, got {table!r}")
    for key, value in table.items():
        if key not in allowed:
            raise DataError(f"{where}{key}: unknown key, expected one of {', '.join(allowed)}")
        if not allowed[key].fits(value):
            raise DataError(f"{where}{key}: expected {allowed[key].expected}, got {value!r}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def plain_of(item: object, keys: Iterable[str]) -> dict[str, Any]:
    """The inverse of `fields_of`: the attributes `keys` of item that are not None, without tables; tuples become lists."""
    values = {key: getattr(item, key, None) for key in keys if key not in ("groups", "features")}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v is not None}
