"""From cells to numbers: names by a vocabulary, times, tokens, numbers. A ValueError says what is wrong with a cell."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..arrays import Floats, Ints
from .tables import Column, Encoded

LATEST = 2**62  # times are smaller in absolute value, so the difference of two is exact in 64 bits
EXACT = 2**53  # decimal times are smaller in absolute value, so that no whole one is rounded

Numbering = dict[Any, int]  # `numbering` makes one


def numbering(names: Sequence[Hashable] = ()) -> Numbering:
    """A dict that numbers the names from 0 on. Any other key gets the next number when it is first looked up."""
    return defaultdict(count(len(names)).__next__, zip(names, range(len(names))))


def codes(name: str, column: Column, numbers: Numbering, dtype: DTypeLike) -> Ints:  # -> [n]
    """The numbers of the names in a column. ValueError for an empty name."""
    values, places = _distinct(column)
    refuse_empty(name, values)
    try:
        found: Ints = np.fromiter(map(numbers.__getitem__, values), dtype, len(values))
    except KeyError:
        raise ValueError(f"{name}: expected one of {', '.join(numbers)}, got {values[0]!r}") from None
    except OverflowError:
        raise ValueError(f"{name}: expected at most {np.iinfo(np.dtype(dtype)).max + 1} names, got one more") from None
    return found if places is None else found[places]


def categories(name: str, column: Column, vocabulary: Numbering) -> Ints:  # -> int32 [n]
    """The numbers of categories; an empty cell is the category `missing`."""
    values, places = _distinct(column)
    refuse_nul(name, values)
    found = np.fromiter((vocabulary[value or "missing"] for value in values), np.int32, len(values))
    return found if places is None else found[places]


def _distinct(column: Column) -> tuple[Sequence[str], Any]:
    """Names, and which of them each row has; None: each row has its own."""
    return column if isinstance(column, Encoded) else (cast(Sequence[str], column), None)


def bags(name: str, column: Sequence[Any], vocabulary: Numbering, separator: str | None) -> tuple[Ints, Ints]:
    """The numbers of all tokens [total], and how many each cell has [n]. separator: of the tokens in a cell; None: spaces."""
    split = [cell if isinstance(cell, list) else cell.split(separator) for cell in column]
    if separator is not None:
        split = [[token.strip() for token in tokens] for tokens in split]
    refuse_nul(name, chain.from_iterable(split))
    found = [[vocabulary[token] for token in tokens if token] for tokens in split]
    return np.fromiter(chain.from_iterable(found), np.int32), np.fromiter(map(len, found), np.int64, len(found))


def refuse_empty(name: str, values: Sequence[str]) -> None:
    if "" in values:
        raise ValueError(f"{name}: expected a name, got an empty cell")
    refuse_nul(name, values)


def refuse_nul(name: str, values: Iterable[str]) -> None:
    """ValueError for a name with a character of code 0: such a file is not a text file."""
    if "\0" in "".join(values):
        raise ValueError(f"{name}: expected a name, got a character of code 0")


def numbers(name: str, column: Sequence[str] | NDArray[Any]) -> Floats:  # -> float64 [n]
    """Finite numbers; NaN where a cell is empty. The NaN of a data frame is an empty cell too."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        if np.isinf(column).any():
            raise ValueError(f"{name}: expected a finite number or an empty cell, got {column[0]}")
        return column.astype(np.float64)
    values = np.empty(len(column))
    for place, cell in enumerate(column):
        try:
            values[place] = float(cell) if cell else np.nan
        except ValueError:
            values[place] = np.inf
        if "_" in cell or cell and not np.isfinite(values[place]):
            raise ValueError(f"{name}: expected a finite number or an empty cell, got {cell!r}")
    return values


class Times:
    """Reads a column of times: whole or decimal numbers, or ISO dates, whose ticks are seconds since 1970 (UTC).

    The first block says whether they are numbers or dates. Decimal numbers and dates keep their fractions for now: float64.
    """

    forms: Sequence[str]  # the forms that the next block may have
    found: str  # the form of all blocks so far: decimal if the times of one block are

    def __init__(self) -> None:
        self.forms, self.found = ("whole numbers", "decimal numbers", "ISO dates"), ""

    def __call__(self, column: Sequence[str] | NDArray[Any]) -> Ints | Floats:
        """The times of a block [n]. ValueError for a cell that is no time, or for a date among numbers."""
        for form in self.forms:
            times = _times(column, form)
            if times is not None and times.min() > -LIMIT[form] and times.max() < LIMIT[form]:  # false with a NaN
                self.found = max(self.found, form, key=["", *LIMIT].index)
                self.forms = [other for other in self.forms if (other == "ISO dates") == (form == "ISO dates")]
                return times.astype(np.int64) if form == "whole numbers" else times
        raise ValueError(f"time: expected {' or '.join(EXPECTED[form] for form in self.forms)}, got {str(column[0])!r}")


LIMIT = {"whole numbers": LATEST, "decimal numbers": EXACT, "ISO dates": EXACT}
EXPECTED = {"whole numbers": "an integer below 2^62", "decimal numbers": "a decimal below 2^53", "ISO dates": "an ISO date"}


def _times(column: Sequence[str] | NDArray[Any], form: str) -> Ints | Floats | None:
    """The times of a block that are written in this form; None if one is written in another."""
    if isinstance(column, np.ndarray):
        if form != {"f": "decimal numbers", "M": "ISO dates"}.get(column.dtype.kind, "whole numbers"):
            return None
        seconds = column.astype("datetime64[us]").astype(np.int64) / 1e6 if form == "ISO dates" else column
        return np.where(np.isnat(column), np.nan, seconds) if form == "ISO dates" else seconds
    try:
        if "_" in "".join(column):  # int() reads 1_000 as 1000
            return None
        if form == "whole numbers":
            return np.fromiter(map(int, column), np.int64, len(column))
        return np.fromiter(map(float if form == "decimal numbers" else _seconds, column), np.float64, len(column))
    except (ValueError, OverflowError):
        return None


def _seconds(date: str) -> float:
    """Seconds since 1970 of an ISO date; without a time zone it is UTC."""
    read = datetime.fromisoformat(date)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
