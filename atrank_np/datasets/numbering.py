"""From tables of names to the arrays of a log. Only here strings become dense integers.

Tables are read in blocks of rows, so a log needs memory for its arrays and its vocabularies, but not for a Python object per
event.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints, texts
from ..errors import DataError, checked
from ..mpi import Ranks, ranks
from .catalogue import Bag, Catalogue
from .cells import Numbering, Times, bags, categories, codes, numbering, numbers, refuse_empty
from .partition import OwnRows, merge, must_be_alike, to_owners
from .schema import Feature, Group, Schema
from .tables import Cells, Columns, Encoded, Table, columns_of, described, parsed_blocks
from .unknown_ids import unknown_ids

DTYPES = {
    "user": np.int32,
    "group": np.int8,
    "object": np.int32,
    "action": np.int16,
    "time": np.int64,
}  # of a table without events


def log_arrays(
    tables: Mapping[str, Table], schema: Schema, columns: Columns, allow_unknown: bool = False, partitions: int = 0
) -> dict[str, Any]:
    """The fields of a Log.

    Parameters
    ----------
    tables : `events`, and the objects of each group by its name. A group without one has the objects of its events.
    allow_unknown : whether more than half of the events may have an object that is not in the table of its group.
    partitions : of the users, see `read_log`.

    Raises
    ------
    DataError
        Any fault of the data: the text says where it is, what was expected, and what was found.
    """
    used = [feature for group in schema.groups for feature in group.features]
    vocabularies = {feature.table: numbering([None]) for feature in used if feature.kind != "number"}  # 0 is `unknown`
    found: dict[str, Catalogue] = {}
    notes: list[str] = []
    odd: list[str] = []
    for group in schema.groups:
        if group.name in tables:
            found[group.name], note = _catalogue(tables[group.name], group, vocabularies, columns)
            notes.append(note)
    names = [found[group.name].objects[1:].tolist() if group.name in found else [] for group in schema.groups]
    rows_of = [numbering([None, *own]) for own in names]
    holders = ranks() if partitions else Ranks()
    users, actions, events, note = read_events(tables["events"], schema, rows_of, columns, partitions=partitions)
    notes.insert(0, note)
    for group in schema.groups:
        for action in filter(None, (group.target_action, *group.target_actions, *group.negative_actions)):
            if action not in actions:
                known = ", ".join(actions)
                raise DataError(f"schema.toml: groups.{group.name}: expected actions among {known}, got {action!r}")
    events, repeated = in_order(events, schema.duplicates == "keep")
    for g, group in enumerate(schema.groups):
        if group.name not in found:
            found[group.name] = _catalogue_of_events(tables["events"], group, list(rows_of[g])[1:], vocabularies)
            notes.append(f"{group.name}: the objects of the events")
        mine, size = events["group"] == g, len(found[group.name].objects)
        unknown = mine & (events["object"] >= size)
        events["object"][unknown] = 0
        count, of = holders.sum(np.array([unknown.sum(), mine.sum()]))
        if count:
            new = list(islice(rows_of[g], size, None))
            odd += unknown_ids(group.name, tables[group.name].name, names[g], new, count / of)
    count, of = holders.sum(np.array([np.count_nonzero(events["object"] == 0), len(events["object"])]))
    if not allow_unknown and count > 0.5 * of:
        raise DataError(f"{odd[0]}; so have {count / of:.1%} of all: make the names equal, or go on with `allow_unknown`")
    lengths = np.bincount(events.pop("user"), minlength=len(users))
    counts = {
        "events whose object is in no group file": int(np.count_nonzero(events["object"] == 0)),
        "users with one event": int(np.count_nonzero(lengths == 1)),
        "events left out, equal to another one in all columns": repeated,
    }
    return {
        "schema": schema,
        "actions": actions,
        "tables": {name: checked(texts, ["unknown", *islice(vocabulary, 1, None)]) for name, vocabulary in vocabularies.items()},
        "catalogues": {group.name: found[group.name] for group in schema.groups},
        "users": checked(texts, users),
        "offsets": _offsets(lengths),
        **events,
        "counts": holders.count(counts),
        "notes": [f"read {'; '.join(notes)}", *odd],
    }


def read_events(
    table: Table, schema: Schema, rows_of: Sequence[Numbering], columns: Columns, one_user: bool = False, partitions: int = 0
) -> tuple[list[str], tuple[str, ...], dict[str, Any], str]:
    """users, actions, a dict of arrays [E] in the table's order (user, group, object, action, time), and what was read, in words.

    rows_of: of the objects of each group; an unknown one gets the next number. one_user: no column `user` is needed.
    partitions: of the users, see `read_log`.
    """
    groups = {group.name: g for g, group in enumerate(schema.groups)}
    users, times = numbering(), Times()
    actions = {name: a for a, name in enumerate(schema.actions)} or numbering()
    needed = {"user": not one_user, "group": len(groups) > 1, "action": len(schema.actions) > 1, "object": True, "time": True}
    if one_user and "user" in columns and not table.find(columns["user"]):
        needed.pop("user")
    taken = columns_of(table, needed, columns)
    known, holders = [len(rows) for rows in rows_of], ranks()
    divided = bool(partitions) and table.divide(holders.rank, holders.size)
    own_rows = OwnRows(partitions) if partitions and holders.size > 1 and not divided else None

    def parse(cells: Cells, n: int) -> dict[str, Any]:
        group = codes("group", cells["group"], groups, np.int8) if "group" in cells else np.zeros(n, np.int8)
        found: dict[str, Any] = {
            "user": codes("user", cells["user"], users, np.int32) if "user" in cells else np.zeros(n, np.int32),
            "group": group,
            "object": _objects(cells["object"], group, rows_of),
            "action": codes("action", cells["action"], actions, np.int16) if "action" in cells else np.zeros(n, np.int16),
            "time": times(cells["time"]),
        }
        if own_rows is None:
            return found
        own = own_rows(found["user"], cells["user"])
        return {name: column[own] for name, column in found.items()}

    blocks = list(parsed_blocks(table, taken, {"time": "time"}, parse, may_be_empty=one_user or divided))
    blocks = blocks or [{name: np.zeros(0, dtype) for name, dtype in DTYPES.items()}]
    events = {name: np.concatenate([block.pop(name) for block in blocks]) for name in list(blocks[0])}
    if divided:
        must_be_alike(holders, table.name, times.found == "ISO dates" if times.found else None)
        for name, numbers, first in [("user", users, 0), *([] if schema.actions else [("action", actions, 0)])]:
            events[name] = merge(holders, numbers, first)[events[name]].astype(events[name].dtype)
        for g, rows in enumerate(rows_of):
            mine = events["group"] == g
            events["object"][mine] = merge(holders, rows, known[g])[events["object"][mine]]
        events = to_owners(holders, events, list(users), partitions)
    if one_user and len(users) > 1:
        raise DataError(f"{table.name}: expected the events of one user, got those of {', '.join(map(repr, list(users)[:2]))} …")
    return list(users), tuple(actions) or ("act",), events, f"{described(table, taken)} in {times.found})"


def in_order(events: dict[str, Any], keep_repeats: bool) -> tuple[dict[str, Any], int]:
    """Events sorted by (user, time), equal times in file order; and the number of repeated events, which are left out.

    Only now times lose their fractions of a tick. `events` is emptied, which bounds the memory.
    """
    ordered = bool((np.diff(events["user"]) * 2 + np.sign(np.diff(events["time"])) >= 0).all())
    halves = [(events["user"] >> bits).astype(np.uint16) for bits in (0, 16)]  # which NumPy sorts by radix
    order = slice(None) if ordered else np.lexsort((events["time"], *halves))
    found = {name: events.pop(name)[order] for name in list(events)}
    dropped = np.zeros(len(found["user"]), bool)
    if not keep_repeats:
        again = (found["user"][1:] == found["user"][:-1]) & (found["time"][1:] == found["time"][:-1])
        tied = np.flatnonzero(np.append(again, False) | np.append(False, again))
        by = tied[np.lexsort([found[name][tied] for name in found])]
        dropped[by[1:]] = np.logical_and.reduce([column[by[1:]] == column[by[:-1]] for column in found.values()])
        if dropped.any():
            found = {name: column[~dropped] for name, column in found.items()}
    if found["time"].dtype.kind == "f":
        found["time"] = np.floor(found["time"]).astype(np.int64)
    return found, int(dropped.sum())


def _objects(column: Any, group: Ints, rows_of: Sequence[Numbering]) -> Ints:  # …, [n] -> int32 [n]
    """The rows of the events' objects in the catalogues of their groups."""
    if len(rows_of) == 1:
        return codes("object", column, rows_of[0], np.int32)
    names = list(map(column.values.__getitem__, column.codes.tolist())) if isinstance(column, Encoded) else column
    refuse_empty("object", names)
    return np.fromiter(map(getitem, map(rows_of.__getitem__, group.tolist()), names), np.int32, len(names))


def _catalogue(table: Table, group: Group, vocabularies: Mapping[str, Numbering], columns: Columns) -> tuple[Catalogue, str]:
    """The objects of a group, and what was read, in words. Their values are numbered by the vocabularies, which grow."""
    features = {feature.name: feature for feature in group.features}
    taken = columns_of(table, dict.fromkeys(["object", *features], True), {"object": table.object_name(columns)})

    def parse(cells: Cells, n: int) -> tuple[Sequence[str], dict[str, Any]]:
        values, places = cells["object"] if isinstance(cells["object"], Encoded) else (cells["object"], None)
        refuse_empty("object", values)
        names = values if places is None else list(map(values.__getitem__, places.tolist()))
        return names, {name: _values(feature, cells[name], vocabularies) for name, feature in features.items()}

    kinds = {f.name: f.kind for f in group.features if f.kind in ("tokens", "number")}
    blocks = list(parsed_blocks(table, taken, kinds, parse))
    objects = [name for names, _ in blocks for name in names]
    if len(set(objects)) < len(objects):
        first = {name: row for row, name in reversed(list(enumerate(objects)))}
        row = next(row for row, name in enumerate(objects) if first[name] < row)
        raise DataError(f"{table.place(row)}: object: expected every object once, got {objects[row]!r} again")
    joined = {name: _joined(feature.kind, [values[name] for _, values in blocks]) for name, feature in features.items()}
    return Catalogue(checked(texts, ["unknown", *objects]), joined), f"{described(table, taken)})"


def _catalogue_of_events(table: Table, group: Group, names: list[str], vocabularies: Mapping[str, Numbering]) -> Catalogue:
    """The catalogue of a group without a table: it can have no other feature than the id."""
    for feature in group.features:
        if feature.kind != "id":
            raise DataError(f"{group.name}: expected a table of its objects, with a column {feature.name!r}; found none")
    if not names:
        raise DataError(f"{group.name}: expected a table of its objects, or events of it in {table.name}; found neither")
    ids = {feature.name: _joined("id", [_values(feature, names, vocabularies)]) for feature in group.features}
    return Catalogue(checked(texts, ["unknown", *names]), ids)


def _values(feature: Feature, column: Any, vocabularies: Mapping[str, Numbering]) -> Any:
    """The values of a feature in a block of n rows: [n], or for tokens (ids [total], lengths [n])."""
    if feature.kind == "number":
        return numbers(feature.name, column)
    if feature.kind == "tokens":
        return bags(feature.name, column, vocabularies[feature.table], feature.separator)
    return categories(feature.name, column, vocabularies[feature.table])


def _joined(kind: str, blocks: Sequence[Any]) -> Bag | NDArray[Any]:
    """The blocks of one feature as one, with row 0 in front."""
    if kind == "tokens":
        ids, lengths = zip(*blocks)
        return Bag(np.concatenate(ids), _offsets(np.concatenate([[0], *lengths])))
    first = np.array([np.nan if kind == "number" else 0], blocks[0].dtype)
    return np.concatenate([first, *blocks])


def _offsets(lengths: Ints) -> Ints:  # [n] -> [n+1]
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
