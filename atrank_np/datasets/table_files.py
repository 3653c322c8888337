"""The tables of a data folder: events and the objects of each group, as CSV or Parquet."""

from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError
from .csv_files import CsvTable
from .parquet import ParquetTable
from .tables import Table

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")


def open_table(path: Path) -> Table:
    """A CSV file, a Parquet file, or a folder of Parquet files."""
    return ParquetTable(path) if path.suffix == ".parquet" or path.is_dir() else CsvTable(path)


def open_tables(folder: Path, groups: Iterable[str] | None = None) -> dict[str, Table]:
    """`events`, and the tables of the groups that have one. groups: their names; None: all that the folder has."""
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with events.csv, found none")
    found: dict[str, list[Path]] = {"events": []}
    for path in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
        if suffix and path.name != suffix:
            found.setdefault(path.name.removesuffix(suffix), []).append(path)
    tables = {}
    for name in found if groups is None else ["events", *groups]:
        paths = found.get(name, [])
        if len(paths) > 1:
            raise DataError(f"{folder}: expected one table {name}, found {' and '.join(path.name for path in paths)}")
        if paths or name == "events":
            tables[name] = open_table(paths[0] if paths else folder / "events.csv")
    return tables
