"""Behaviour logs from disk (the format: data/README.md)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import arguments
from ..arrays import Ints
from ..errors import DataError
from ..mpi import Ranks, ranks
from .catalogue import Catalogue
from .cells import numbering
from .log import Log, without_full_users
from .numbering import in_order, log_arrays, read_events
from .schema import Schema
from .table_files import open_table, open_tables
from .tables import check_columns


def read_log(
    folder: str | Path,
    features: list[str] | None = None,
    schema: Schema | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    keep_duplicates: bool = False,
    allow_unknown: bool = False,
    drop_full_users: bool = False,
    partitions: int = 0,
) -> Log:
    """Reads the log of a data folder: CSV, CSV in gzip, or Parquet.

    Parameters
    ----------
    features : names of the features to use. None: all. Columns of other features are not read.
    schema : the schema to read it by. None: the one of the folder.
    columns : other names of the columns user, group, action, object and time, such as {"user": "visitorid"}.
    keep_duplicates : whether an event stays that equals another one in all columns. False: as the schema says.
    allow_unknown : whether more than half of the events may have an object that the file of its group does not have.
    drop_full_users : whether users are left out who act on every object of a group that is ranked.
    partitions : 0, or how many the users are divided into. Then the log has all users, but only the events of those partitions
        that this rank of mpiexec holds. Each rank reads some of a table's Parquet files, or else all of it.

    Raises
    ------
    DataError
        Any fault of the data: the text says the file, the line, what was expected, and what was found.

    Examples
    --------
    >>> from atrank_np.datasets.folder import default_data
    >>> log = read_log(default_data())
    >>> len(log.users), log.notes[0].partition(";")[0]
    (2000, 'read events.csv (commas: user, group, action, object, time in whole numbers)')
    """
    folder, columns = arguments.path("folder", folder), check_columns(columns)
    if isinstance(features, str):
        raise DataError(f"`features`: expected a list of names, got {features!r}")
    schema = schema or Schema.load(folder, columns)
    if features is not None:
        schema = schema.select_features(features)
    if keep_duplicates:
        schema = schema.choose(duplicates="keep")
    tables = open_tables(folder, [group.name for group in schema.groups])
    log = Log(**log_arrays(tables, schema, columns, allow_unknown, partitions))
    return without_full_users(log, ranks() if partitions else Ranks()) if drop_full_users else log


def read_history(
    path: str | Path,
    schema: Schema,
    actions: tuple[str, ...],
    catalogues: Mapping[str, Catalogue],
    columns: Mapping[str, str] | None = None,
) -> dict[str, Ints]:
    """Reads one user's history from a file like events.csv; it needs no column `user`.

    actions, catalogues: those of the log that gives the numbers; columns: as for `read_log`.
    Returns group, object, action and time, arrays [E] sorted by (time, file order). DataError for a fault of the file.
    """
    objects = [catalogues[group.name].objects[1:].tolist() for group in schema.groups]
    rows_of = [numbering([None, *names]) for names in objects]
    table = open_table(Path(path))
    _, _, events, _ = read_events(table, replace(schema, actions=actions), rows_of, check_columns(columns), one_user=True)
    events, _ = in_order(events, schema.duplicates == "keep")
    known = np.array([1 + len(names) for names in objects])[events["group"]]
    events["object"] = np.where(events["object"] < known, events["object"], 0).astype(np.int32)
    return {name: events[name] for name in ("group", "object", "action", "time")}
