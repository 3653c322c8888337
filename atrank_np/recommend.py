"""Ranks the catalogue: `python -m atrank_np.recommend RUN --user U`, or --all --out FILE for every user."""

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import cli
from .arrays import Ints
from .datasets.folder import add_columns
from .datasets.reading import read_history
from .datasets.samples import Events
from .datasets.table_files import open_table
from .datasets.tables import Encoded
from .datasets.writing import whole_files
from .errors import DataError
from .evaluation.ranking import log_of, mask_of, moments, places_of, ranked, target_group
from .runs.checkpoint import load
from .runs.folder import note_unfinished, settings_of
from .runs.growth import known
from .runs.trained import Trained
from .text import quoted


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.recommend",
        description="Rank the whole catalogue for a user, a history, or all users. The data may have grown since the training.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    who = p.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="U", help="a user of the data")
    who.add_argument("--history", metavar="FILE", help="a CSV like events.csv without the column user; needs no data folder")
    who.add_argument("--all", action="store_true", help="all users of the data; with --out")
    who.add_argument("--users", metavar="FILE", help="the users that a CSV has in its column `user`; with --out")
    p.add_argument(
        "--at",
        type=int,
        metavar="TIME",
        help="the time of ranking; only behaviours before it count (default: one tick after the last)",
    )
    p.add_argument("--top", type=int, default=10, help="how many objects (default: %(default)s)")
    p.add_argument("--group", help="the target group to rank (default: the first)")
    p.add_argument("--candidates", metavar="FILE", help="rank only the objects that a CSV has in its column `object`")
    p.add_argument("--seen", action="store_true", help="rank the objects of the history too")
    p.add_argument(
        "--out",
        metavar="FILE",
        help=f"write the result to a file that ends with {', '.join(FORMATS)}; names are not escaped there",
    )
    add_columns(p)
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved or grown since")
    return p


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    _check(options)
    trained = load(options.run)
    note_unfinished(options.run, trained)
    if options.history:
        about = (trained.schema, trained.actions, trained.catalogues, getattr(options, "columns", None))
        log = log_of(trained, Events(**read_history(options.history, *about)))
    else:
        log = known(trained, settings_of(options.run, options.data)[0].read()[0])
    group = target_group(trained.schema, options.group)
    objects = trained.catalogues[group].objects
    places: Ints = np.arange(len(log.users))
    if options.user is not None or options.users:
        places = places_of(log, _column(options.users, "user") if options.users else [options.user])
    some = mask_of(trained, group, _column(options.candidates, "object")) if options.candidates else None
    asked = moments(trained, log, places, group, options.at)
    seen = False if options.seen else None
    blocks = ranked(trained, trained.backend(), asked, options.top, some, seen, show=bool(options.out))
    counted = [f"{n} {what}" for what, n in log.counts.items() if n and what.endswith("the model does not know")]
    if counted and not options.user:
        print("counted: " + "; ".join(counted))
    if options.out:

        def tables() -> Iterator[dict[str, list[Any]]]:
            for block, rows, scores in blocks:
                b, place = np.nonzero(rows)
                columns = {} if options.history else {"user": log.users[places[block[b]]].tolist()}
                columns |= {"group": [group] * len(b), "place": (place + 1).tolist()}
                yield columns | {
                    "object": objects[rows[b, place]].tolist(),
                    "score": [float(f"{x:.7g}") for x in scores[b, place]],
                }

        path = Path(options.out)
        with whole_files(path.parent, path.name) as (file,):
            FORMATS[path.suffix](file, tables())
        print(f"written to {path}: the best {group} for {len(places)} users")
        return 0
    ((_, (rows,), (scores,)),) = blocks
    if not rows.any():
        raise DataError(f"group {group!r}: no object is left to rank, because the history holds all of them")
    print(f"{'':3}  {'score':>8}  {group}")
    for place, (row, score) in enumerate(zip(rows[rows > 0].tolist(), scores), 1):
        print(f"{place:>3}  {score:8.4f}  {quoted(str(objects[row])):<16} {describe(trained, group, row)}")
    return 0


def _check(options: Any) -> None:
    """DataError for flags that do not go together."""
    if options.history and options.data:
        raise DataError("--data: not with --history, which needs no data folder")
    if options.top < 1:
        raise DataError(f"--top: expected at least 1, got {options.top}")
    if (options.all or options.users) and not options.out:
        raise DataError("--all and --users: expected --out FILE beside them")
    if options.out and Path(options.out).suffix not in FORMATS:
        raise DataError(f"--out: expected a name that ends with {', '.join(FORMATS)}, got {options.out!r}")


def _column(path: str, name: str) -> list[str]:
    """The different names in a column of a table."""
    table = open_table(Path(path))
    column = table.find(name)
    if column is None:
        raise DataError(f"{table.head}: expected a column {name!r}, got {', '.join(map(repr, table.columns))}")
    cells = (block[column] for _, block in table.blocks({column: "name"}))
    return list(dict.fromkeys(chain.from_iterable(each.values if isinstance(each, Encoded) else each for each in cells)))


def describe(trained: Trained, group: str, row: int) -> str:
    """The categorical features of an object, in the words of the data."""
    words = []
    for feature in trained.schema.group(group).features:
        if feature.kind == "categorical":
            codes = trained.catalogues[group].codes(feature.name)
            words.append(f"{feature.name} {quoted(str(trained.tables[feature.table][codes[row]]))}")
    return "  ".join(words)


# The formats of --out. Each function writes tables one after another; a table is a dict of columns.


def _write_csv(file: TextIO, tables: Iterator[dict[str, list[Any]]]) -> None:
    writer = csv.writer(file)
    for i, columns in enumerate(tables):
        writer.writerows([columns] if i == 0 else [])
        writer.writerows(zip(*columns.values()))


def _write_json(file: TextIO, tables: Iterator[dict[str, list[Any]]]) -> None:
    records = (dict(zip(columns, row)) for columns in tables for row in zip(*columns.values()))
    for i, record in enumerate(records):
        file.write((",\n" if i else "[") + json.dumps(record, ensure_ascii=False))
    file.write("]\n")


def _write_parquet(file: TextIO, tables: Iterator[dict[str, list[Any]]]) -> None:
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise DataError("--out: Parquet needs pyarrow; install it, or write .csv or .json") from None
    first = arrow.table(next(tables))
    with ParquetWriter(file.buffer, first.schema) as writer:
        writer.write_table(first)
        for columns in tables:
            writer.write_table(arrow.table(columns, first.schema))


FORMATS = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}


if __name__ == "__main__":
    cli.run(main)
