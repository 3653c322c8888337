"""Parquet files, and folders of part files as Spark and Dask write them. They need pyarrow: the extra [parquet]."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .tables import Block, Column, Encoded, Table, Wanted, cells_of, text_of


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
        """All rows as one block: names take four bytes a row, and pyarrow looks each different one up."""
        import pyarrow

        kinds = list(wanted.values())
        parts: list[list[Any]] = [[] for _ in wanted]
        try:
            with ThreadPoolExecutor() as pool:
                for fragment in self.parts.get_fragments():
                    for batch in fragment.to_batches(schema=self.parts.schema, columns=list(wanted)):
                        for part, array in zip(parts, pool.map(_encoded, batch.columns, kinds)):
                            part.append(array)
            if rows := sum(map(len, parts[0])):
                yield rows, {c: _column(pyarrow.chunked_array(part), kind) for (c, kind), part in zip(wanted.items(), parts)}
        except (self.fault, OSError) as fault:
            raise DataError(f"{self.name}: expected readable Parquet: {fault}") from None

    def place(self, row: int) -> str:
        return f"{self.name}: row {row}"


def _encoded(array: Any, kind: str) -> Any:
    """An array of pyarrow, with names encoded by first appearance; a missing name is encoded like any other."""
    if kind == "name" and hasattr(array, "dictionary"):  # whose values may stand in any order
        array = array.cast(array.type.value_type)
    return array.dictionary_encode("encode") if kind == "name" else array


def _column(array: Any, kind: str) -> Column:
    """A chunked array of pyarrow as `kind` needs it."""
    if kind != "name":
        return cells_of(np.asarray(array), kind)
    chunks = array.unify_dictionaries().chunks
    names = chunks[0].dictionary.to_pylist()
    codes = np.concatenate([np.asarray(chunk.indices) for chunk in chunks])
    return Encoded(names if set(map(type, names)) == {str} else list(map(text_of, names)), codes)
