"""Reads CSV files as people write them. Every fault of a file is a DataError."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from ..errors import DataError
from .tables import ROWS, Block, Table, Wanted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LONGEST = 2**24  # characters of a cell: an open quote must not take a whole large file into memory


class Rows(Iterator[list[str]], Protocol):
    """What csv.reader returns: the rows, and the number of the line that was read last."""

    @property
    def line_num(self) -> int: ...


class CsvTable(Table):
    """A CSV file (UTF-8, with or without BOM, also .gz).

    The separator of its cells is the one that is most frequent in the header, outside of quotes. Spaces around the names in
    the header are removed. If each name but the first has a space in front of it, spaces in front of cells are removed too.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.opener: Any = gzip.open if path.suffix == ".gz" else open
        with self._opened() as file:
            line = next((line for line in file if line.strip("\r\n")), "")
            self.separator = max(SEPARATORS, key=re.sub('"[^"]*"', "", line).count)
        self.spaces = False
        with self._rows() as (_, header):
            self.spaces = len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])
            self.head = f"{self.name}:{self._line(-1)}"
            self.named([cell.strip() for cell in header])
        self.kind = SEPARATORS[self.separator]

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        with self._rows() as (reader, _):
            rows, done = filter(None, reader), 0
            while block := list(islice(rows, ROWS)):
                if set(map(len, block)) != {len(self.columns)}:
                    i, cells = next((i, len(row)) for i, row in enumerate(block) if len(row) != len(self.columns))
                    raise DataError(f"{self.place(done + i)}: expected {len(self.columns)} cells, got {cells}")
                cells_of = dict(zip(self.columns, zip(*block)))
                yield len(block), {column: cells_of[column] for column in wanted}
                done += len(block)

    def place(self, row: int) -> str:
        return f"{self.name}:{self._line(row)}"

    @contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
        if self.path.exists() and not self.path.is_file():  # a pipe can be read only once
            raise DataError(f"{self.path}: expected a file, not a pipe; save the data in a file first")
        try:
            with self.opener(self.path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        except (OSError, EOFError, zlib.error) as fault:
            raise DataError(f"{self.path}: expected a readable file: {getattr(fault, 'strerror', None) or fault}") from None
        except UnicodeDecodeError:
            raise DataError(self._not_utf8()) from None

    @contextmanager
    def _rows(self) -> Iterator[tuple[Rows, list[str]]]:
        """The rows below the header as csv.reader reads them, and the cells of the header."""
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.separator, skipinitialspace=self.spaces, strict=True)
            try:
                header = next(filter(None, reader), None)
                if header is None:
                    raise DataError(f"{self.name}:1: expected a header, found an empty file")
                yield reader, header
            except csv.Error as fault:
                where = f"{self.name}:{self._line(None)}: expected well-formed CSV:"
                if "field limit" in str(fault):
                    raise DataError(f"{where} a cell of the row that begins here is longer than {LONGEST:,} characters") from None
                raise DataError(f"{where} the row that begins here has a quote that is not closed ({fault})") from None

    def _line(self, row: int | None) -> int:
        """The line in which a row begins. Row -1 is the header, None the row that csv cannot read. Blank lines are no rows."""
        left, line = -1, 1
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.separator, skipinitialspace=self.spaces, strict=True)
            try:
                for cells in reader:
                    if cells and left == row:
                        break
                    left += bool(cells)
                    line = reader.line_num + 1
            except csv.Error:
                pass
        return line

    def _not_utf8(self) -> str:
        # Python decodes far ahead of the row that it returns, so the faulty line is searched in the bytes.
        with self.opener(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as fault:
                    return f"{self.name}:{number}: expected UTF-8, got byte 0x{line[fault.start]:02x}; save the file as UTF-8"
        return f"{self.name}: expected a file that does not change while it is read"
