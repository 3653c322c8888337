"""CSV files as people write them; every fault of one is a DataError."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ..errors import DataError


class Rows(Iterator[list[str]], Protocol):
    """What csv.reader returns: the rows, and the number of the line that was read last."""

    @property
    def line_num(self) -> int: ...


@contextmanager
def open_csv(path: Path) -> Iterator[tuple[Rows, list[str]]]:
    """Opens a CSV file (UTF-8, with or without BOM) for a `with` statement.

    Yields
    ------
    (rows, columns): the rows after the header as csv.reader reads them, and the header's column names.

    Raises
    ------
    DataError
        The file cannot be read, is not UTF-8, has a broken quote, or has no header of different names. A fault that
        appears only while the rows are read is a DataError too.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = next(filter(None, reader), None)
            if columns is None:
                raise DataError(f"{path.name}:1: expected a header, found an empty file")
            for column in columns:
                if column == "" or columns.count(column) > 1:
                    twice = " twice" if column else ""
                    raise DataError(f"{path.name}:{reader.line_num}: expected different column names, got {column!r}{twice}")
            yield reader, columns
    except OSError as fault:
        raise DataError(f"{path}: expected a readable file: {fault.strerror}") from None
    except csv.Error as fault:
        raise DataError(f"{path.name}:{reader.line_num}: expected well-formed CSV: {fault} (is a quote open?)") from None
    except UnicodeDecodeError:
        # Python decodes far ahead of the row that it returns, so the faulty line is searched in the bytes.
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            try:
                line.decode()
            except UnicodeDecodeError as fault:
                raise DataError(f"{path.name}:{number}: expected UTF-8, got byte 0x{line[fault.start]:02x}") from None
        raise
