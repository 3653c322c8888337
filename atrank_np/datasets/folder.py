"""Where the data folders are, and what is used of one."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..config import Config
from .log import Log
from .reading import read_log
from .schema import Schema
from .shop_ceiling import load_world
from .shop_world import World
from .time_units import time_units

DEFAULTS = Config()
READING = ("columns", "keep_duplicates", "allow_unknown", "drop_full_users")  # of DataSource: how a folder is read


def default_data() -> Path:
    """The folder of the simulated shop: beside the package in a clone, inside it in a wheel."""
    package = Path(__file__).parent.parent
    inside = package / "data" / "shop"
    return inside if inside.exists() else package.parent / "data" / "shop"


def find_data(name: str | Path) -> Path:
    """The data folder of that path; if there is none, the one of that name in the folder that ATRANK_DATA names.

    The path is returned as it is if neither exists.
    """
    path = Path(name)
    base = os.environ.get("ATRANK_DATA")
    if not path.exists() and base and (Path(base) / name).exists():
        return Path(base) / name
    return path


@dataclass(frozen=True)
class DataSource:
    """A data folder and what is used of it. None: as its schema says."""

    data: str  # as `find_data` takes it
    features: list[str] | None = None  # names
    history: list[str] | None = None  # groups that a history is made of
    target: list[str] | None = None  # groups that are ranked
    embedding_size: int | None = None  # of every feature
    columns: dict[str, str] | None = None  # other names of the columns of events, as `read_log` takes them
    keep_duplicates: bool = False  # events that are equal in all columns
    allow_unknown: bool = False  # although more than half of the events have an unknown object
    drop_full_users: bool = False  # who act on every object of a ranked group

    def schema(self) -> Schema:
        """The folder's schema with these choices. DataError for a fault."""
        schema = Schema.load(find_data(self.data), self.columns)
        if self.features is not None:
            schema = schema.select_features(self.features)
        return schema.choose(self.history, self.target, self.embedding_size, "keep" if self.keep_duplicates else None)

    def read(self, config: Config = DEFAULTS) -> tuple[Log, World | None]:
        """The log, and the world that simulated it, or None. DataError for a fault.

        With `config.partition` the log has all users, and the events of this rank's own.
        """
        folder = find_data(self.data)
        how = {name: getattr(self, name) for name in ("columns", "allow_unknown", "drop_full_users")}
        log = read_log(folder, schema=self.schema(), partitions=config.parts if config.partition else 0, **how)
        log.notes += time_units(log)
        return log, load_world(folder, log)


def add_flags(group: argparse._ActionsContainer) -> None:
    """The flags that say what is used of a data folder, and how it is read: fields of DataSource."""

    def flag(name: str, help: str, **options: Any) -> None:
        group.add_argument(name, help=help, default=argparse.SUPPRESS, **options)

    flag("--features", "use only these features of the objects", metavar="A,B", type=names)
    flag("--history", "the groups that a history is made of (default: the schema's)", metavar="G,H", type=names)
    flag("--target", "the groups that are ranked (default: the schema's)", metavar="G,H", type=names)
    add_columns(group)
    flag("--keep-duplicates", "keep events that are equal in all columns; without it one of them stays", action="store_true")
    flag("--allow-unknown", "go on where more than half of the events have an unknown object", action="store_true")
    flag("--drop-full-users", "leave out users who act on every object of a ranked group", action="store_true")


def add_columns(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--columns",
        metavar="N=C,…",
        type=_columns,
        help="other names of the columns of events, such as user=visitorid,object=itemid,time=timestamp",
        default=argparse.SUPPRESS,
    )


def source_of(data: str | Path, given: Mapping[str, Any]) -> DataSource:
    """The data folder with the flags that are given: name -> value, others are ignored."""
    return DataSource(str(data), **{f.name: given[f.name] for f in fields(DataSource)[1:] if f.name in given})


def names(text: str) -> list[str]:
    """The different names in a comma-separated list."""
    return list(dict.fromkeys(text.split(",")))


def _columns(text: str) -> dict[str, str]:
    if not all("=" in pair for pair in text.split(",")):
        raise argparse.ArgumentTypeError(f"expected NAME=COLUMN,…, got {text!r}")
    return dict(pair.split("=", 1) for pair in text.split(","))
