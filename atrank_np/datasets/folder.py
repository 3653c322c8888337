"""Where the data folders are, and what is used of one."""

import os
from dataclasses import dataclass
from pathlib import Path

from .log import Log
from .reading import read_log
from .schema import Schema
from .shop_ceiling import load_world
from .shop_world import World


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

    def schema(self) -> Schema:
        """The folder's schema with these choices. DataError for a fault."""
        schema = Schema.load(find_data(self.data))
        if self.features is not None:
            schema = schema.select_features(self.features)
        return schema.choose(self.history, self.target, self.embedding_size)

    def read(self) -> tuple[Log, World | None]:
        """The log, and the world that simulated it, or None. DataError for a fault."""
        folder = find_data(self.data)
        log = read_log(folder, schema=self.schema())
        return log, load_world(folder, log)
