"""Parquet files, and folders of part files as Spark and Dask write them. They need pyarrow: the extra [parquet]."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Ints
from ..errors import DataError
from .tables import Block, Column, Encoded, Table, Wanted, cells_of, text_of

ROWS = 2**22  # rows that pyarrow decodes at a time: so many that it looks up each name of a row group once


class ParquetTable(Table):
    """A Parquet file or a folder of them, also with folders NAME=VALUE in it. Parts are read in the order of their numbers."""

    kind = "Parquet"

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.head = path, path.name, path.name
        parts = [part for part in path.rglob("*.parquet") if not part.name.startswith((".", "_"))] if path.is_dir() else [path]
        if not parts:
            raise DataError(f"{path}: expected Parquet files in the folder, found none")
        self.files = sorted(map(str, parts), key=lambda file: re.sub(r"\d+", lambda digits: digits[0].zfill(20), file))
        self.share = slice(None)  # of the files that are read
        with self._opened() as data:
            self.named(data.schema.names)

    def divide(self, rank: int, size: int) -> bool:
        files = len(self.files)
        if size == 1 or files < size:
            return False
        self.share = slice(files * rank // size, files * (rank + 1) // size)
        return True

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """All rows as one block: a name takes four bytes a row."""
        with self._opened(column for column, kind in wanted.items() if kind == "name") as data:
            batches = [
                batch
                for part in list(data.get_fragments())[self.share]
                for batch in part.to_batches(schema=data.schema, columns=list(wanted), batch_size=ROWS)
            ]
            columns = {}
            for i, (column, kind) in enumerate(wanted.items()):
                columns[column] = _column([batch.column(i) for batch in batches], kind) if batches else []
            if rows := sum(map(len, batches)):
                yield rows, columns

    def place(self, row: int) -> str:
        return f"{self.name}: row {row}"

    @contextmanager
    def _opened(self, names: Iterable[str] = ()) -> Iterator[Any]:
        """The files as a dataset of pyarrow. names: columns of texts whose dictionaries are read as they stand in the files."""
        try:
            import pyarrow
            from pyarrow import dataset
        except ImportError:
            raise DataError(f"{self.path}: Parquet needs pyarrow: pip install pyarrow") from None
        try:
            form = dataset.ParquetFileFormat(dictionary_columns=set(names))
            yield dataset.dataset(self.files, format=form, partitioning="hive", partition_base_dir=str(self.path))
        except (pyarrow.ArrowException, OSError) as fault:
            raise DataError(f"{self.name}: expected readable Parquet: {fault}") from None


def _column(arrays: list[Any], kind: str) -> Column:
    """The arrays of pyarrow, one after the other, as `kind` needs them."""
    import pyarrow

    if kind != "name":
        return cells_of(np.asarray(pyarrow.chunked_array(arrays)), kind)
    chunks = pyarrow.chunked_array(list(map(_encoded, arrays))).unify_dictionaries().chunks
    names = chunks[0].dictionary.to_pylist()
    codes = np.concatenate([np.asarray(chunk.indices) for chunk in chunks])
    return _by_first_appearance(names if set(map(type, names)) == {str} else list(map(text_of, names)), codes)


def _encoded(array: Any) -> Any:
    """An array with its names looked up in a dictionary; a missing name is in it like any other."""
    if hasattr(array, "dictionary") and array.null_count:
        array = array.cast(array.type.value_type)
    return array if hasattr(array, "dictionary") else array.dictionary_encode("encode")


def _by_first_appearance(names: list[str], codes: Ints) -> Encoded:
    """names[codes] as Encoded. The dictionary of a file may have any order, and names that no row has."""
    first = np.full(len(names), len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last that is written stays
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(order))
    return Encoded([names[i] for i in order.tolist()], place[codes])
