"""Where a behaviour log lies."""

import os
from pathlib import Path


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
