"""The part of `bench` that reads a log from disk, as CSV and as Parquet."""

import argparse
import csv
import importlib.util
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.electronics_shaped import ITEMS, electronics_shaped
from ..datasets.log import Log
from ..datasets.reading import read_log
from .turns import Report, put


def part_read(report: Report, options: argparse.Namespace) -> list[str]:
    """Reading a log from disk; the best of some turns, since the first one brings the files into memory."""
    log, lines = electronics_shaped(options.users), []
    for kind in FORMATS if importlib.util.find_spec("pyarrow") else ["csv"]:
        with tempfile.TemporaryDirectory() as folder:
            write_log(log, Path(folder), kind)
            seconds = min(_seconds(folder) for _ in range(3))
        rate = len(log.object) / seconds
        put(report, ("reading", kind), {"events": len(log.object), "events_per_second": rate})
        lines.append(f"Reading {len(log.object):,} events and {ITEMS:,} objects from {kind}: {rate:,.0f} events/s.")
    return lines


def _seconds(folder: str) -> float:
    begin = time.perf_counter()
    read_log(folder)
    return time.perf_counter() - begin


def write_log(log: Log, folder: Path, kind: str = "csv") -> None:
    """Writes the tables events and items. kind: one of FORMATS."""
    names, items = np.array(log.actions), log.catalogues["items"]
    events = {
        "user": np.repeat(log.users, np.diff(log.offsets)),
        "object": items.objects[log.object],
        "action": names[log.action],
        "time": log.time,
    }
    objects = {"object": items.objects[1:], "category": log.tables["category"][items.codes("category")[1:]]}
    for name, columns in {"events": events, "items": objects}.items():
        FORMATS[kind](folder / f"{name}.{kind}", {column: values.tolist() for column, values in columns.items()})


def _write_csv(path: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values())])


def _write_parquet(path: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    from pyarrow import parquet, table

    parquet.write_table(table(columns), path)


FORMATS = {"csv": _write_csv, "parquet": _write_parquet}
