"""The schema of a data set: its groups of objects, their features, and what is ranked from what (data/README.md).

One layout serves schema.toml, its default and the checkpoint: the plain dict that `Schema.from_dict` takes.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DataError
from .csv_files import open_csv

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class Feature:
    name: str
    kind: str  # id | categorical | tokens | number
    table: str  # its embedding table; features that name the same one share it
    size: int = 64


@dataclass(frozen=True)
class Group:
    name: str
    features: tuple[Feature, ...]
    unit: int = UNITS["day"]  # ticks of the time column in one bucket unit
    buckets: int = 14
    target_action: str | None = None  # None: the most frequent target action
    target_actions: tuple[str, ...] = ()  # actions whose events may be targets; empty: all
    negative_actions: tuple[str, ...] = ()  # shown and not taken

    @property
    def width(self):
        """b_i, the width of a behaviour's embedding: its features side by side."""
        return sum(feature.size for feature in self.features)


@dataclass(frozen=True)
class Schema:
    groups: tuple[Group, ...]
    history: tuple[str, ...]  # the groups that a history is made of
    targets: tuple[str, ...]  # the groups that are ranked
    target_repeats: str = "drop"  # or "keep": targets that the history already holds
    history_rule: str = "before_event"  # or "before_time", which leaves the target's ties out
    actions: tuple[str, ...] = ()  # empty: those of events.csv, by first appearance

    @classmethod
    def load(cls, folder):
        """The schema.toml of a data folder; without one, every column of every group file is categorical."""
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: expected a folder with events.csv, found none")
        path = folder / "schema.toml"
        if path.exists():
            try:
                return cls.from_dict(tomllib.loads(path.read_text("utf-8-sig")))
            except (ValueError, OSError) as fault:  # not TOML, not UTF-8, not to be read
                raise DataError(f"schema.toml: {fault}") from None
        with open_csv(folder / "events.csv") as (_, columns):
            names = ["items"]
            if "group" in columns:
                names = sorted(path.stem for path in folder.glob("*.csv") if path.stem != "events")
        groups = {}
        for name in names:
            with open_csv(folder / f"{name}.csv") as (_, columns):
                groups[name] = {"features": {c: "id" if c == "object" else "categorical" for c in columns}}
        return cls.from_dict({"groups": groups}, f"{folder} (without schema.toml)")

    @classmethod
    def from_dict(cls, data, source="schema.toml"):
        """The schema in a dict of schema.toml's layout; errors name `source`."""
        fields = _fields(data, f"{source}: ", TOP)
        groups = tuple(_group(name, table, source) for name, table in fields.pop("groups", {}).items())
        names = tuple(group.name for group in groups)
        if not 1 <= len(names) <= 127:  # Log.group is int8
            raise DataError(f"{source}: groups: expected 1 to 127 groups, got {len(names)}")
        schema = cls(groups, **{"history": names, "targets": names, **fields})
        for key in ("history", "targets"):
            for name in sorted(set(getattr(schema, key)) - set(names)):
                raise DataError(f"{source}: {key}: expected groups among {', '.join(names)}, got {name!r}")
        first = {}  # table -> the first feature that uses it
        for where, f in [(f"{source}: groups.{g.name}.features.{f.name}", f) for g in groups for f in g.features]:
            other = first.setdefault(f.table, f)
            if other.size != f.size:
                raise DataError(f"{where}.size: expected {other.size} as elsewhere in table {f.table!r}, got {f.size}")
            if other is not f and "number" in (f.kind, other.kind):
                raise DataError(f"{where}.table: expected a table that no number shares, got {f.table!r}")
        return schema

    def to_dict(self):
        """Plain JSON types in the layout that `from_dict` takes, every choice written out."""
        groups = {
            group.name: {
                **_plain(group, GROUP),
                "bucket_unit": group.unit,
                "features": {f.name: _plain(f, FEATURE) for f in group.features},
            }
            for group in self.groups
        }
        return {**_plain(self, TOP), "groups": groups}

    def index(self, name):
        """The place of a group in `groups`: its number in the arrays of a Log or a batch."""
        return [group.name for group in self.groups].index(name)

    def group(self, name):
        return self.groups[self.index(name)]

    def choose(self, history=None, targets=None, size=None):
        """The schema with other history groups, target groups or one size for all features; None keeps what is."""
        names = [group.name for group in self.groups]
        for name in (*(history or ()), *(targets or ())):
            if name not in names:
                raise DataError(f"--history and --target: expected groups among {', '.join(names)}, got {name!r}")
        groups = self.groups
        if size is not None:
            if size < 1:
                raise DataError(f"--embedding-size: expected at least 1, got {size}")
            groups = tuple(replace(group, features=tuple(replace(f, size=size) for f in group.features)) for group in groups)
        history, targets = tuple(history or self.history), tuple(targets or self.targets)
        return replace(self, groups=groups, history=history, targets=targets)

    def select_features(self, names):
        """The schema with the features `names` only, in every group."""
        known = dict.fromkeys(f.name for group in self.groups for f in group.features)
        for name in sorted(set(names) - set(known)):
            raise DataError(f"--features: expected features among {', '.join(known)}, got {name!r}")
        groups = []
        for group in self.groups:
            groups.append(replace(group, features=tuple(f for f in group.features if f.name in names)))
            if not groups[-1].features:
                wanted = ", ".join(f.name for f in group.features)
                raise DataError(f"--features: expected at least one feature of group {group.name!r} ({wanted}), got none")
        return replace(self, groups=tuple(groups))


def _group(name, table, source):
    where = f"{source}: groups.{name}."
    fields = _fields(table, where, GROUP)
    features = []
    for key, entry in fields.pop("features", {}).items():
        entry = _fields({"kind": entry} if isinstance(entry, str) else entry, f"{where}features.{key}.", FEATURE)
        kind = entry.setdefault("kind", None)
        if kind is None or (kind == "id") != (key == "object"):
            wanted = "'id'" if key == "object" else "categorical, tokens or number (id is for 'object')"
            raise DataError(f"{where}features.{key}.kind: expected {wanted}, got {kind!r}")
        # Equal names share a table between groups; ids and numbers have their own unless a table is named.
        entry.setdefault("table", f"{name}.{key}" if kind in ("id", "number") else key)
        features.append(Feature(key, **entry))
    if not features:
        raise DataError(f"{where}features: expected at least one feature, got none")
    unit = fields.pop("bucket_unit", "day")
    group = Group(name, tuple(features), UNITS.get(unit, unit), **fields)
    for action in sorted(set(group.target_actions) & set(group.negative_actions)):
        raise DataError(f"{where}negative_actions: expected none of target_actions, got {action!r}")
    shown_with = group.target_action
    if shown_with in group.negative_actions or (group.target_actions and shown_with not in (None, *group.target_actions)):
        raise DataError(f"{where}target_action: expected an action of targets, got {shown_with!r}")
    return group


def _one_of(*words):
    return lambda value: isinstance(value, str) and value in words, "one of " + ", ".join(words)


# One table per level of schema.toml: key -> (test of its value, what is expected).
# `type(v) is int`, because True is an int too.
COUNT = (lambda v: type(v) is int and 1 <= v < 2**31, "a whole number of at least 1 and less than 2^31")
UNIT = (
    lambda v: type(v) is int and 1 <= v < 2**62 or isinstance(v, str) and v in UNITS,
    "ticks, at least 1, or one of " + ", ".join(UNITS),
)
TEXT = (lambda v: isinstance(v, str) and v != "", "a name")
NAMES = (lambda v: isinstance(v, list) and all(map(TEXT[0], v)) and len(set(v)) == len(v), "a list of different names")
SOME = (lambda v: NAMES[0](v) and v != [], "a list of at least one name, all different")
TABLE = (lambda v: isinstance(v, dict), "a table")
TOP = {
    "targets": SOME,
    "history": SOME,
    "history_rule": _one_of("before_event", "before_time"),
    "target_repeats": _one_of("drop", "keep"),
    "actions": NAMES,
    "groups": TABLE,
}
BUCKETS = (lambda v: type(v) is int and 1 <= v <= 52, "a whole number from 1 to 52")  # as far as `bucketize` is exact
GROUP = {
    "bucket_unit": UNIT,
    "buckets": BUCKETS,
    "target_action": TEXT,
    "target_actions": NAMES,
    "negative_actions": NAMES,
    "features": TABLE,
}
FEATURE = {"kind": _one_of("id", "categorical", "tokens", "number"), "table": TEXT, "size": COUNT}


def _fields(table, where, allowed):
    """`table` with its keys and values checked against `allowed`, and lists made tuples."""
    if not isinstance(table, dict):
        raise DataError(f"{where.rstrip('. :')}: expected a table, got {table!r}")
    for key, value in table.items():
        if key not in allowed:
            raise DataError(f"{where}{key}: unknown key, expected one of {', '.join(allowed)}")
        if not allowed[key][0](value):
            raise DataError(f"{where}{key}: expected {allowed[key][1]}, got {value!r}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _plain(item, keys):
    """The inverse of `_fields`, for those keys that are single values and set."""
    values = {key: getattr(item, key, None) for key in keys if key not in ("groups", "features")}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v is not None}
