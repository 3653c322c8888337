"""The schema of a data set: its groups of objects, their features, and what is ranked from which history (data/README.md).

schema.toml, its default and the checkpoint have one layout: the plain dict that `Schema.from_dict` takes.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..errors import DataError
from .schema_keys import FEATURE, GROUP, TOP, UNITS, fields_of, plain_of
from .table_files import open_tables
from .tables import Table


@dataclass(frozen=True)
class Feature:
    """A column of a group's file."""

    name: str
    kind: str  # id | categorical | tokens | number
    table: str  # its embedding table; features that name the same table share it
    size: int = 64  # numbers in its embedding
    separator: str | None = None  # between the tokens of a cell; None: spaces


@dataclass(frozen=True)
class Group:
    """A group of objects that share their features: items, queries, coupons, …"""

    name: str
    features: tuple[Feature, ...]
    unit: int = UNITS["day"]  # ticks of the time column in one unit of the time buckets
    buckets: int = 14  # of elapsed time
    target_action: str | None = None  # the action that targets carry; None: the most frequent one
    target_actions: tuple[str, ...] = ()  # actions whose events may be targets; empty: all
    negative_actions: tuple[str, ...] = ()  # actions that say "shown and not taken"

    @property
    def width(self) -> int:
        """b_i, the width of a behaviour's embedding: the sum over its features."""
        return sum(feature.size for feature in self.features)


@dataclass(frozen=True)
class Schema:
    """All groups, which of them are ranked, and from which history."""

    groups: tuple[Group, ...]
    history: tuple[str, ...]  # the groups that a history is made of
    targets: tuple[str, ...]  # the groups that are ranked
    target_repeats: str = "drop"  # "drop" or "keep" targets that the history already holds
    history_rule: str = "before_event"  # or "before_time": without events at the target's own time
    actions: tuple[str, ...] = ()  # empty: those of events.csv, by first appearance
    duplicates: str = "drop"  # or "keep": events that are equal in user, group, action, object and time

    @classmethod
    def load(cls, folder: str | Path, columns: Mapping[str, str] | None = None) -> Self:
        """Reads the schema.toml of a data folder; without one, `of_tables`. columns: as `read_log` takes them.

        DataError if the folder does not exist or the schema has a fault.
        """
        folder = Path(folder)
        path = folder / "schema.toml"
        if path.exists():
            try:
                return cls.from_dict(tomllib.loads(path.read_text("utf-8-sig")))
            except RecursionError:
                raise DataError("schema.toml: expected a schema, got too many brackets inside each other") from None
            except (ValueError, OSError) as fault:  # not TOML, not UTF-8, not to be read
                raise DataError(f"schema.toml: {fault}") from None
        tables = open_tables(folder, ["items"])
        if tables["events"].find((columns or {}).get("group", "group")):
            tables = open_tables(folder)
        return cls.of_tables(tables, columns or {}, f"{folder} (without schema.toml)")

    @classmethod
    def of_tables(cls, tables: Mapping[str, Table], columns: Mapping[str, str], source: str) -> Self:
        """The schema of data that have none. All columns of objects are categorical, except `object`, the id.

        tables: `events`, and the objects of each group by its name. Without the objects there is one group, `items`.
        """
        kinds = {}
        for name, table in tables.items():
            if name != "events":
                own = table.find(table.object_name(columns))
                kinds[name] = {"object" if c == own else c: "id" if c == own else "categorical" for c in table.columns}
        if not kinds and not tables["events"].find(columns.get("group", "group")):
            kinds["items"] = {"object": "id"}
        return cls.from_dict({"groups": {name: {"features": features} for name, features in kinds.items()}}, source)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "schema.toml") -> Self:
        """The schema of a dict in the layout of schema.toml. DataError for a fault of it; the text begins with `source`.

        >>> Schema.from_dict({"groups": {"items": {"features": {"object": "id"}}}}).targets
        ('items',)
        """
        fields = fields_of(data, f"{source}: ", TOP)
        groups = tuple(_group(name, table, source) for name, table in fields.pop("groups", {}).items())
        names = tuple(group.name for group in groups)
        if not 1 <= len(names) <= 127:  # Log.group is int8
            raise DataError(f"{source}: groups: expected 1 to 127 groups, got {len(names)}")
        schema = cls(groups, **{"history": names, "targets": names, **fields})
        for key in ("history", "targets"):
            for name in sorted(set(getattr(schema, key)) - set(names)):
                raise DataError(f"{source}: {key}: expected groups among {', '.join(names)}, got {name!r}")
        first: dict[str, Feature] = {}  # table -> the first feature that uses it
        for where, f in [(f"{source}: groups.{g.name}.features.{f.name}", f) for g in groups for f in g.features]:
            other = first.setdefault(f.table, f)
            if other.size != f.size:
                raise DataError(f"{where}.size: expected {other.size} as elsewhere in table {f.table!r}, got {f.size}")
            if other is not f and "number" in (f.kind, other.kind):
                raise DataError(f"{where}.table: expected a table that no number shares, got {f.table!r}")
        return schema

    def to_dict(self) -> dict[str, Any]:
        """The dict that `from_dict` takes, in plain JSON types, with every default written out."""
        groups = {
            group.name: {
                **plain_of(group, GROUP),
                "bucket_unit": group.unit,
                "features": {f.name: plain_of(f, FEATURE) for f in group.features},
            }
            for group in self.groups
        }
        return {**plain_of(self, TOP), "groups": groups}

    def index(self, name: str) -> int:
        """The index of a group in `groups`: the number that stands for it in a Log and in a Batch."""
        return [group.name for group in self.groups].index(name)

    def group(self, name: str) -> Group:
        """The group of that name."""
        return self.groups[self.index(name)]

    def choose(
        self,
        history: Iterable[str] | None = None,
        targets: Iterable[str] | None = None,
        size: int | None = None,
        duplicates: str | None = None,
    ) -> Self:
        """The schema with other history groups, other target groups, one embedding size for all features, or duplicates kept.

        None leaves a choice as it is. DataError for a group that does not exist, or a size below 1.
        """
        names = [group.name for group in self.groups]
        for name in (*(history or ()), *(targets or ())):
            if name not in names:
                raise DataError(f"`history` and `target`: expected groups among {', '.join(names)}, got {name!r}")
        groups = self.groups
        if size is not None:
            if size < 1:
                raise DataError(f"`embedding_size`: expected at least 1, got {size}")
            groups = tuple(replace(group, features=tuple(replace(f, size=size) for f in group.features)) for group in groups)
        history, targets = tuple(history or self.history), tuple(targets or self.targets)
        return replace(self, groups=groups, history=history, targets=targets, duplicates=duplicates or self.duplicates)

    def select_features(self, names: Iterable[str]) -> Self:
        """The schema with the features `names` only, in every group.

        DataError for a feature that no group has, or if a group is left without any.
        """
        known = dict.fromkeys(f.name for group in self.groups for f in group.features)
        for name in sorted(set(names) - set(known)):
            raise DataError(f"`features`: expected features among {', '.join(known)}, got {name!r}")
        groups = []
        for group in self.groups:
            groups.append(replace(group, features=tuple(f for f in group.features if f.name in names)))
            if not groups[-1].features:
                wanted = ", ".join(f.name for f in group.features)
                raise DataError(f"`features`: expected at least one feature of group {group.name!r} ({wanted}), got none")
        return replace(self, groups=tuple(groups))


def _group(name: str, table: Any, source: str) -> Group:
    """The group of one table [groups.NAME]."""
    where = f"{source}: groups.{name}."
    fields = fields_of(table, where, GROUP)
    features = []
    for key, entry in fields.pop("features", {}).items():
        entry = fields_of({"kind": entry} if isinstance(entry, str) else entry, f"{where}features.{key}.", FEATURE)
        kind = entry.setdefault("kind", None)
        if kind is None or (kind == "id") != (key == "object"):
            wanted = "'id'" if key == "object" else "categorical, tokens or number (id is for 'object')"
            raise DataError(f"{where}features.{key}.kind: expected {wanted}, got {kind!r}")
        # Equal names share a table between groups; ids and numbers have their own unless a table is named.
        entry.setdefault("table", f"{name}.{key}" if kind in ("id", "number") else key)
        if kind != "tokens" and "separator" in entry:
            raise DataError(f"{where}features.{key}.separator: only tokens have one, and this is {kind}")
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
