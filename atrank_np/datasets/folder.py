"""Where a behaviour log lies."""

import os
from pathlib import Path

from .reading import read_log
from .schema import Schema
from .shop_ceiling import load_world


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


def read_data(options):
    """The log of a dict with data, features, history, target and embedding_size; and its simulator or None."""
    folder = find_data(options["data"])
    log = read_log(folder, options["features"])
    log.schema = read_schema(options)
    return log, load_world(folder, log)


def read_schema(options):
    """The schema of that log alone."""
    schema = Schema.load(find_data(options["data"]))
    if options["features"] is not None:
        schema = schema.select_features(options["features"])
    return schema.choose(options["history"], options["target"], options["embedding_size"])
