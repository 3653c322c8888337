"""Behaviour logs from disk to arrays (the format: data/README.md).

Only here strings become dense integers. Files are read in blocks of rows, so a log needs memory for its arrays and its
vocabularies, but not for a Python object per event. Parsing a block finds a fault, but not its line. Then the rows of that
block are parsed again one by one, by the same code, to find the line.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import arguments
from ..arrays import Floats, Ints, Texts
from ..errors import DataError
from .csv_files import open_csv
from .log import Bag, Catalogue, Log
from .schema import Feature, Group, Schema

ROWS = 4_096  # that are read at a time; more is no faster and only costs memory
LONGEST = 1_000  # characters of a name
LATEST = 2**62  # times are smaller in absolute value, so the difference of two is exact in 64 bits

Cells = Mapping[str, Sequence[str]]  # column -> its n strings
Numbering = dict[str, int]  # `_numbering` makes one
Parsed = TypeVar("Parsed")


def read_log(folder: str | Path, features: list[str] | None = None, schema: Schema | None = None) -> Log:
    """Reads the log of a data folder.

    Parameters
    ----------
    features : names of the features to use. None: all. Columns of other features are not read.
    schema : the schema to read it by. None: the one of the folder.

    Raises
    ------
    DataError
        Any fault of the data: the text says the file, the line, what was expected, and what was found.
    """
    folder = arguments.path("folder", folder)
    if isinstance(features, str):
        raise DataError(f"features: expected a list of names, got {features!r}")
    schema = schema or Schema.load(folder)
    if features is not None:
        schema = schema.select_features(features)
    used = [feature for group in schema.groups for feature in group.features]
    vocabularies = {feature.table: _vocabulary() for feature in used if feature.kind != "number"}
    catalogues = {group.name: _read_catalogue(folder / f"{group.name}.csv", group, vocabularies) for group in schema.groups}
    tables = {name: _names(vocabulary) for name, vocabulary in vocabularies.items()}
    users, actions, events = _read_events(folder / "events.csv", schema, catalogues)
    for group in schema.groups:
        for action in filter(None, (group.target_action, *group.target_actions, *group.negative_actions)):
            if action not in actions:
                known = ", ".join(actions)
                raise DataError(f"schema.toml: groups.{group.name}: expected actions among {known}, got {action!r}")
    order = np.lexsort((events["time"], events["user"]))  # stable, so events at the same time keep file order
    lengths = np.bincount(events.pop("user"), minlength=len(users))
    for name in events:
        events[name] = events[name][order]
    counts = {
        "events whose object is in no group file": int(np.count_nonzero(events["object"] == 0)),
        "users with one event": int(np.count_nonzero(lengths == 1)),
    }
    return Log(schema, actions, tables, catalogues, users, _offsets(lengths), **events, counts=counts)


def read_history(
    path: str | Path, schema: Schema, actions: tuple[str, ...], catalogues: Mapping[str, Catalogue]
) -> dict[str, Ints]:
    """Reads one user's history from a CSV file like events.csv; it needs no column `user`.

    actions, catalogues: those of the log that gives the numbers.
    Returns group, object, action and time, arrays [E] sorted by (time, file order). DataError for a fault of the file.
    """
    _, _, events = _read_events(Path(path), replace(schema, actions=actions), catalogues, one_user=True)
    order = np.argsort(events["time"], kind="stable")
    return {name: events[name][order] for name in ("group", "object", "action", "time")}


def _read_events(
    path: Path, schema: Schema, catalogues: Mapping[str, Catalogue], one_user: bool = False
) -> tuple[Texts, tuple[str, ...], dict[str, Ints]]:
    """users [U], actions, and a dict of arrays [E] in file order: user, group, object, action, time."""
    names = [group.name for group in schema.groups]
    groups = {name: code for code, name in enumerate(names)}
    rows_of: dict[str, dict[str, int]] = {
        name: {object: row for row, object in enumerate(catalogues[name].objects[1:].tolist(), 1)} for name in names
    }
    users = _numbering()
    actions = {name: code for code, name in enumerate(schema.actions)} or _numbering()
    only = {"group": names[:1], "action": list(schema.actions[:1]) or ["act"]}  # the value of a column that is left out
    if one_user:
        only["user"] = ["the user"]

    def parse(cells: Cells, n: int) -> dict[str, Ints]:
        cells = {**{name: value * n for name, value in only.items()}, **cells}
        _refuse_empty("object", cells)
        group = _codes("group", cells, groups, np.int8)
        rows = map(dict.get, map(rows_of.__getitem__, cells["group"]), cells["object"], repeat(0))
        return {
            "user": _codes("user", cells, users, np.int32),
            "group": group,
            "object": np.fromiter(rows, np.int32, n),
            "action": _codes("action", cells, actions, np.int16),
            "time": _integers("time", cells),
        }

    choices: dict[str, Sequence[str]] = {"group": names, "action": schema.actions}
    required = [*([] if one_user else ["user"]), *(name for name, choice in choices.items() if len(choice) > 1), "object", "time"]
    blocks = list(_parsed_blocks(path, required, parse))
    events = {name: np.concatenate([block.pop(name) for block in blocks]) for name in list(blocks[0])}
    if one_user and len(users) > 1:
        raise DataError(f"{path.name}: expected the events of one user, got those of {', '.join(map(repr, list(users)[:2]))} …")
    return np.array(list(users)), tuple(actions), events


def _read_catalogue(path: Path, group: Group, vocabularies: Mapping[str, Numbering]) -> Catalogue:
    """The file of a group; its values are numbered by the vocabularies (table -> vocabulary), which grow."""

    def parse(cells: Cells, n: int) -> tuple[Sequence[str], dict[str, Any]]:
        _refuse_empty("object", cells)
        values = {f.name: _values(f, cells, vocabularies) for f in group.features}
        return cells["object"], values

    blocks = list(_parsed_blocks(path, ["object", *(f.name for f in group.features)], parse))
    objects = [name for names, _ in blocks for name in names]
    if len(set(objects)) < len(objects):
        _raise_fault(path, _refuse_repeats(), 0)
    features = {f.name: _join(f.kind, [values[f.name] for _, values in blocks]) for f in group.features}
    return Catalogue(np.array(["unknown", *objects]), features)


# Blocks of rows and their faults


def _parsed_blocks(path: Path, required: Iterable[str], parse: Callable[[Cells, int], Parsed]) -> Iterator[Parsed]:
    """Yields parse(cells, n) for each block of n rows. Blank lines are not rows.

    `parse` raises a ValueError for a faulty block. For a block of one row, the text of that error describes the fault.
    """
    with open_csv(path) as (reader, columns):
        for name in required:
            if name not in columns:
                raise DataError(f"{path.name}:1: expected a column {name!r}, got {', '.join(columns)}")
        rows, done = filter(None, reader), 0
        while block := list(islice(rows, ROWS)):
            try:
                parsed = parse(_cells(block, columns), len(block))
            except ValueError:
                _raise_fault(path, parse, done)
            yield parsed
            done += len(block)
        if not done:
            raise DataError(f"{path.name}:{reader.line_num}: expected rows below the header, found none")


def _raise_fault(path: Path, parse: Callable[[Cells, int], object], first: int) -> NoReturn:
    """Raises the DataError of the first row, from row `first` on, for which `parse` raises a ValueError."""
    with open_csv(path) as (reader, columns):
        for row in islice(filter(None, reader), first, None):
            try:
                parse(_cells([row], columns), 1)
            except ValueError as fault:
                raise DataError(f"{path.name}:{reader.line_num}: {fault}") from None
    raise DataError(f"{path.name}: expected a file that does not change while it is read")


def _cells(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Cells:
    if set(map(len, rows)) != {len(columns)}:
        raise ValueError(f"expected {len(columns)} cells, got {len(rows[0])}")
    return dict(zip(columns, zip(*rows)))


def _refuse_empty(name: str, cells: Cells) -> None:
    if "" in cells[name]:
        raise ValueError(f"{name}: expected a name, got an empty cell")
    _refuse_texts(name, cells)


def _refuse_texts(name: str, cells: Cells) -> None:
    """Refuses what a NumPy array of strings cannot hold well.

    In it, every string takes as much memory as the longest one, and characters of code 0 at its end are lost.
    """
    if (length := max(map(len, cells[name]), default=0)) > LONGEST:
        raise ValueError(f"{name}: expected a name of at most {LONGEST:,} characters, got one of {length:,}")
    if any("\0" in cell for cell in cells[name]):
        raise ValueError(f"{name}: expected a name, got a character of code 0")


def _refuse_repeats() -> Callable[[Cells, int], None]:
    """A `parse` for blocks of one row, that refuses an object which it has seen before."""
    seen: set[str] = set()

    def parse(cells: Cells, n: int) -> None:
        (name,) = cells["object"]
        if name in seen:
            raise ValueError(f"object: expected every object once, got {name!r} again")
        seen.add(name)

    return parse


# Strings to numbers


def _numbering() -> Numbering:
    """A dict that numbers its keys 0, 1, 2, … in the order in which they are first looked up."""
    return defaultdict(count().__next__)


def _vocabulary() -> Numbering:
    """A numbering of strings from 1 on. Number 0 stands for `unknown`; no string gets it."""
    numbering: dict[Any, int] = _numbering()
    numbering[None]  # gets number 0
    return numbering


def _names(vocabulary: Numbering) -> Texts:
    return np.array(["unknown", *islice(vocabulary, 1, None)])


def _codes(name: str, cells: Cells, numbers: Numbering, dtype: DTypeLike) -> Ints:
    """The numbers [n] of the cells of a column."""
    _refuse_empty(name, cells)
    try:
        return np.fromiter(map(numbers.__getitem__, cells[name]), dtype, len(cells[name]))
    except KeyError:
        raise ValueError(f"{name}: expected one of {', '.join(numbers)}, got {cells[name][0]!r}") from None
    except OverflowError:
        raise ValueError(f"{name}: expected at most {np.iinfo(np.dtype(dtype)).max + 1} names, got one more") from None


def _integers(name: str, cells: Cells) -> Ints:
    try:
        if "_" not in "".join(cells[name]):  # int() reads 1_000 as 1000
            values = np.fromiter(map(int, cells[name]), np.int64, len(cells[name]))
            if values.min() > -LATEST and values.max() < LATEST:
                return values
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name}: expected an integer below 2^62, got {cells[name][0]!r}")


def _values(feature: Feature, cells: Cells, vocabularies: Mapping[str, Numbering]) -> Any:
    """The values of a feature in a block of n rows: [n], or for tokens (ids [total], lengths [n])."""
    if feature.kind == "number":
        return _numbers(feature.name, cells)
    if feature.kind == "tokens":
        return _bags(feature.name, cells, vocabularies[feature.table])
    return _categories(feature.name, cells, vocabularies[feature.table])


def _numbers(name: str, cells: Cells) -> Floats:
    values = np.empty(len(cells[name]))
    for place, cell in enumerate(cells[name]):
        try:
            values[place] = float(cell) if cell else np.nan
        except ValueError:
            values[place] = np.inf
        if "_" in cell or cell and not np.isfinite(values[place]):
            raise ValueError(f"{name}: expected a finite number or an empty cell, got {cell!r}")
    return values


def _categories(name: str, cells: Cells, vocabulary: Numbering) -> Ints:
    _refuse_texts(name, cells)
    return np.fromiter((vocabulary[cell or "missing"] for cell in cells[name]), np.int32, len(cells[name]))


def _bags(name: str, cells: Cells, vocabulary: Numbering) -> tuple[Ints, Ints]:
    for cell in cells[name]:
        if len(cell) > LONGEST or "\0" in cell:
            _refuse_texts(name, {name: cell.split()})
    bags = [[vocabulary[token] for token in cell.split()] for cell in cells[name]]
    return np.fromiter(chain.from_iterable(bags), np.int32), np.fromiter(map(len, bags), np.int64, len(bags))


def _join(kind: str, blocks: Sequence[Any]) -> Bag | NDArray[Any]:
    """The blocks of one feature as one, with row 0 in front."""
    if kind == "tokens":
        ids, lengths = zip(*blocks)
        return Bag(np.concatenate(ids), _offsets(np.concatenate([[0], *lengths])))
    first = np.array([np.nan if kind == "number" else 0], blocks[0].dtype)
    return np.concatenate([first, *blocks])


def _offsets(lengths: Ints) -> Ints:  # [n] -> [n+1]
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
