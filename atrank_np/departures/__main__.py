"""The command `python -m atrank_np.departures`."""

import shutil
from collections.abc import Sequence

from .. import cli
from . import AUTHORS, DEPARTURES, EFFECTS, lines


def main(arguments: Sequence[str]) -> int:
    parser = cli.Parser(
        prog="python -m atrank_np.departures",
        description="Where this differs from the paper, and what the authors' code does otherwise, with measured effects.",
        epilog=EFFECTS,
    )
    parser.add_argument("name", nargs="*", help="only those whose name contains this, for example: epochs")
    parser.add_argument("--names", action="store_true", help="list the names only")
    options = parser.parse_args(arguments)
    if options.names:
        print("\n".join([*(d.what for d in DEPARTURES), *(f"{c.what} (the authors' code)" for c in AUTHORS)]))
    else:
        print(*lines(max(40, min(100, shutil.get_terminal_size().columns)), options.name), sep="\n")
    return 0


if __name__ == "__main__":
    cli.run(main)
