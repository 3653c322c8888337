"""Parquet files, and folders of part files as Spark and Dask write them. They need pyarrow: the extra [parquet]."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .tables import Block, Column, Encoded, Table, Wanted, cells_of, text_of

ROWS = 2**20  # that are read at a time: each different name of a block is looked up once


class ParquetTable(Table):
    """A Parquet file or a folder of them, also with folders NAME=VALUE in it. Parts are read in the order of their numbers."""

    kind = "Parquet"

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow import dataset
        except ImportError:
            raise DataError(f"{path}: Parquet needs pyarrow: pip install pyarrow") from None
        self.name = self.head = path.name
        self.fault: type[Exception] = pyarrow.ArrowException
        parts = [part for part in path.rglob("*.parquet") if not part.name.startswith((".", "_"))] if path.is_dir() else [path]
        if not parts:
            raise DataError(f"{path}: expected Parquet files in the folder, found none")
        files = sorted(map(str, parts), key=lambda file: re.sub(r"\d+", lambda digits: digits[0].zfill(20), file))
        try:
            self.parts = dataset.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(path))
        except (pyarrow.ArrowException, OSError) as fault:
            raise DataError(f"{self.name}: expected readable Parquet: {fault}") from None
        self.named(self.parts.schema.names)

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        try:
            for part in self.parts.get_fragments():
                for batch in part.to_batches(schema=self.parts.schema, columns=list(wanted), batch_size=ROWS):
                    if len(batch):
                        columns = {column: _column(batch.column(column), kind) for column, kind in wanted.items()}
                        yield len(batch), columns
        except (self.fault, OSError) as fault:
            raise DataError(f"{self.name}: expected readable Parquet: {fault}") from None

    def place(self, row: int) -> str:
        return f"{self.name}: row {row}"


def _column(array: Any, kind: str) -> Column:
    """A column of pyarrow as `kind` needs it."""
    if kind != "name":
        return cells_of(array.to_numpy(zero_copy_only=False), kind)
    if hasattr(array, "dictionary"):  # whose values may stand in any order
        array = array.cast(array.type.value_type)
    encoded = array.dictionary_encode("encode")  # a missing value becomes None, a value as any other
    names = encoded.dictionary.to_pylist()
    return Encoded(names if set(map(type, names)) == {str} else list(map(text_of, names)), np.asarray(encoded.indices))
