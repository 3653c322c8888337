"""Where the columns of a log come from: a CSV file, Parquet files or a data frame. Each is a `Table`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..errors import DataError

ROWS = 4_096  # that are read at a time; more is no faster and only costs memory


class Encoded(NamedTuple):
    """A column of n names, many of them equal: row i has values[codes[i]]. values are ordered by first appearance."""

    values: list[str]
    codes: Ints  # [n]


# A column of n cells: its texts ("" where a cell is empty), or for times and numbers an array of ints, floats or datetime64.
# A cell of a data frame may be a list of tokens.
Column = Sequence[Any] | Encoded | NDArray[Any]
Block = tuple[int, Mapping[str, Column]]  # n rows: column -> its cells
Wanted = Mapping[str, str]  # column -> what it is read as: name, tokens, number or time

EVENT = ("user", "group", "action", "object", "time")  # the columns of events
Columns = Mapping[str, str]  # a name in EVENT -> the name of its column in the tables, if that is another
Cells = Mapping[str, Any]  # name -> Column
Parsed = TypeVar("Parsed")


class Table(ABC):
    """A table with a header."""

    name: str  # in messages, such as events.csv
    head: str  # the place of the header in messages
    kind: str  # in words: commas, Parquet, …
    columns: list[str]

    @abstractmethod
    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """The rows, block by block."""

    @abstractmethod
    def place(self, row: int) -> str:
        """The place of a row in messages."""

    def divide(self, rank: int, size: int) -> bool:
        """Whether this table has files enough to give each of `size` ranks some. Then it has those of this rank from now on."""
        return False

    def named(self, columns: list[str]) -> None:
        """Sets `columns`. DataError unless they have different names."""
        for number, column in enumerate(columns, 1):
            if column == "":
                raise DataError(f"{self.head}: column {number} has no name (from pandas, write with to_csv(index=False))")
            if columns.count(column) > 1:
                raise DataError(f"{self.head}: expected different column names, got {column!r} twice")
        self.columns = columns

    def find(self, name: str) -> str | None:
        """The column of that name; the case of letters may differ. None if there is none, or if two differ in case only."""
        same = [column for column in self.columns if column.casefold() == name.casefold()]
        return name if name in same else same[0] if len(same) == 1 else None

    def object_name(self, columns: Mapping[str, str]) -> str:
        """The name of the column `object` in a table of objects: the one that `columns` gives, or `object`."""
        name = columns.get("object", "object")
        return name if self.find(name) else "object"


def check_columns(columns: Columns | None) -> Columns:
    """The columns, or none. DataError for names that events do not have."""
    for name in sorted(set(columns or {}) - set(EVENT)):
        raise DataError(f"columns: expected names among {', '.join(EVENT)}, got {name!r}")
    return columns or {}


def columns_of(table: Table, names: Mapping[str, bool], columns: Columns) -> dict[str, str]:
    """name -> the table's column for it. names: name -> whether it is needed; others are left out if they are missing."""
    found = {}
    for name, needed in names.items():
        column = table.find(columns.get(name, name))
        if column is not None:
            found[name] = column
        elif needed or name in columns:
            there, hint = ", ".join(map(repr, table.columns)), f" (say which it is: `columns` {name}=…)" if name in EVENT else ""
            raise DataError(f"{table.head}: expected a column {columns.get(name, name)!r}, got {there}{hint}")
    return found


def described(table: Table, taken: Mapping[str, str]) -> str:
    columns = (name if name == column else f"{name} = {column}" for name, column in taken.items())
    return f"{table.name} ({table.kind}: {', '.join(columns)}"


def parsed_blocks(
    table: Table,
    taken: Mapping[str, str],
    kinds: Mapping[str, str],
    parse: Callable[[Cells, int], Parsed],
    may_be_empty: bool = False,
) -> Iterator[Parsed]:
    """Yields parse(cells, n) for each block of n rows; taken: name -> column; kinds: what is no name (see tables.Wanted).

    `parse` raises a ValueError for a faulty block. Then the halves of the block are parsed, to find the place of the fault. For a
    block of one row, the text of that error describes the fault.
    """
    done, wanted = 0, {column: kinds.get(name, "name") for name, column in taken.items()}
    for n, block in table.blocks(wanted):
        cells = {name: block[column] for name, column in taken.items()}
        try:
            parsed = parse(cells, n)
        except ValueError:
            first, end = 0, n  # the rows first:end contain the first fault of the block
            while end - first > 1:
                middle = (first + end) // 2
                try:
                    parse({name: _part(column, first, middle) for name, column in cells.items()}, middle - first)
                    first = middle
                except ValueError:
                    end = middle
            try:
                parse({name: _part(column, first, end) for name, column in cells.items()}, 1)
            except ValueError as fault:
                raise DataError(f"{table.place(done + first)}: {fault}") from None
            raise
        yield parsed
        done += n
    if not done and not may_be_empty:
        raise DataError(f"{table.head}: expected rows below the header, found none")


def _part(column: Any, first: int, end: int) -> Any:
    """Some rows of a column, with only the values of these rows."""
    if isinstance(column, Encoded):
        used, codes = np.unique(column.codes[first:end], return_inverse=True)
        return Encoded([column.values[value] for value in used], codes)
    return column[first:end]


class FrameTable(Table):
    """A data frame in memory: a dict of arrays or lists, or a table of pandas, polars or pyarrow (none of them is imported)."""

    kind = "in memory"

    def __init__(self, name: str, frame: Any) -> None:
        self.name = self.head = name
        keys = getattr(frame, "column_names", getattr(frame, "columns", frame if isinstance(frame, Mapping) else None))
        if keys is None:
            raise DataError(f"{name}: expected a data frame or a dict of arrays, got {type(frame).__name__}")
        self.data = {str(key): frame[key] if isinstance(frame[key], list) else np.asarray(frame[key]) for key in keys}
        self.named(list(self.data))
        for column, values in self.data.items():
            if not isinstance(values, list) and values.ndim != 1:
                raise DataError(f"{name}: {column}: expected one value for each row, got an array of shape {np.shape(values)}")
            if len(values) != len(next(iter(self.data.values()))):
                raise DataError(f"{name}: expected columns of equal length, got {column} of another")

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        for start in range(0, len(next(iter(self.data.values()), ())), ROWS):
            block = {column: self.data[column][start : start + ROWS] for column in wanted}
            cells = {column: cells_of(values, wanted[column]) for column, values in block.items()}
            yield len(next(iter(cells.values()))), cells

    def place(self, row: int) -> str:
        return f"{self.name}: row {row}"


def cells_of(values: Any, kind: str) -> Column:
    """Values of any type as a Column that is read as `kind`."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufM" and kind in ("number", "time"):
        return values
    cells = values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind != "M" else list(values)
    if kind == "tokens":
        return [list(map(text_of, cell)) if isinstance(cell, list | tuple | np.ndarray) else text_of(cell) for cell in cells]
    return list(map(text_of, cells))


def text_of(value: Any) -> str:
    """The text of a value, "" for a missing one (None, NaN, NaT, pandas.NA). 12.0 is "12"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        if value is None or value != value:
            return ""
    except TypeError:  # pandas.NA
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
