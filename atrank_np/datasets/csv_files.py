"""CSV files as people write them; every fault of one is a DataError."""

import csv
from contextlib import contextmanager

from ..errors import DataError


@contextmanager
def open_csv(path):
    """Opens a CSV file (UTF-8, with or without BOM): its csv.reader, past the header, and the header's columns.

    Every fault of the file, its encoding, its quoting and its header is a DataError.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = next(filter(None, reader), None)
            if columns is None:
                raise DataError(f"{path.name}:1: expected a header, found an empty file")
            for column in columns:
                if column == "" or columns.count(column) > 1:
                    raise DataError(
                        f"{path.name}:{reader.line_num}: expected different column names, got {column!r}"
                        + (" twice" if column else "")
                    )
            yield reader, columns
    except OSError as fault:
        raise DataError(f"{path}: expected a readable file: {fault.strerror}") from None
    except csv.Error as fault:
        raise DataError(f"{path.name}:{reader.line_num}: expected well-formed CSV: {fault} (is a quote open?)") from None
    except UnicodeDecodeError:
        # The text layer decodes far ahead of the reader, so the line is looked for in the bytes.
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            try:
                line.decode()
            except UnicodeDecodeError as fault:
                raise DataError(f"{path.name}:{number}: expected UTF-8, got byte 0x{line[fault.start]:02x}") from None
        raise
