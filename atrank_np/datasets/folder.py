"""Where a behaviour log lies."""

import os
from dataclasses import dataclass
from pathlib import Path

from .log import Log
from .reading import read_log
from .schema import Schema
from .shop_ceiling import load_world
from .shop_world import World


def default_data():
    """The simulated shop: beside the package in a clone, inside it in a wheel."""
    package = Path(__file__).parent.parent
    inside = package / "data" / "shop"
    return inside if inside.exists() else package.parent / "data" / "shop"


def find_data(name):
    """A data folder by its path, or by its name below the folder that ATRANK_DATA names."""
    path = Path(name)
    base = os.environ.get("ATRANK_DATA")
    if not path.exists() and base and (Path(base) / name).exists():
        return Path(base) / name
    return path


@dataclass(frozen=True)
class DataSource:
    """A data folder and what of it is used; None: what its schema says. `find_data` finds the folder."""

    data: str
    features: list[str] | None = None
    history: list[str] | None = None
    target: list[str] | None = None
    embedding_size: int | None = None

    def schema(self) -> Schema:
        schema = Schema.load(find_data(self.data))
        if self.features is not None:
            schema = schema.select_features(self.features)
        return schema.choose(self.history, self.target, self.embedding_size)

    def read(self) -> tuple[Log, World | None]:
        """The log, and the simulator that made it, if one did."""
        folder = find_data(self.data)
        log = read_log(folder, schema=self.schema())
        return log, load_world(folder, log)
