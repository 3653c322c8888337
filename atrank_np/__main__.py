"""`python -m atrank_np`, or `atrank` where the package is installed: lists the commands, or runs one by its name."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__, cli
from .errors import DataError

COMMANDS = {
    "train": "train a model on a data folder; without one, on the simulated shop",
    "evaluate": "score a run again, with its controls",
    "recommend": "rank the catalogue for a user, a history, or all users",
    "explain": "look inside a ranking: attention, effects, pictures",
    "compare": "train all models under one protocol",
    "departures": "where this differs from the paper",
    "gradcheck": "the error of every gradient",
    "bench": "speed and memory",
    "datasets.stats": "what a data set holds",
    "datasets.shop": "simulate a shop",
    "datasets.amazon": "make a data set of Amazon reviews",
    "datasets.complete_journey": "make a data set of several groups",
}


def main(arguments: Sequence[str]) -> int:
    name, *others = [*arguments] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: atrank COMMAND …, or python -m atrank_np.COMMAND …; each has a --help\n")
        print(*(f"  {command:26} {what}" for command, what in COMMANDS.items()), sep="\n")
    elif name == "--version":
        print(f"atrank_np {__version__}")
    elif name not in COMMANDS:
        raise DataError(f"{name}: no command of that name; there are {', '.join(COMMANDS)}")
    else:
        module = importlib.import_module(f"{__package__}.{name}")
        if hasattr(module, "__path__"):  # a package has its command in __main__
            module = importlib.import_module(f"{__package__}.{name}.__main__")
        code: int = module.main(others)
        return code
    return 0


def command() -> NoReturn:
    cli.run(main)


if __name__ == "__main__":
    sys.exit(command())
