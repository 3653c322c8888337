"""Ranks the catalogue for a user or a history: `python -m atrank_np.recommend RUN --user U`."""

from collections.abc import Sequence

from . import cli
from .datasets.folder import add_columns
from .datasets.reading import read_history
from .datasets.samples import Events
from .errors import DataError
from .evaluation.ranking import rank, target_group
from .runs.checkpoint import load
from .runs.folder import open_run
from .runs.trained import Trained
from .text import one_line


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.recommend",
        description="Rank the whole catalogue for one history; ids are those of the data files.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    who = p.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="U", help="a user of the data that the run was trained on")
    who.add_argument("--history", metavar="FILE", help="a CSV like events.csv without the column user; needs no data folder")
    p.add_argument(
        "--at",
        type=int,
        metavar="TIME",
        help="the time of ranking; only behaviours before it count (default: one tick after the last)",
    )
    p.add_argument("--top", type=int, default=10, help="how many to show (default: %(default)s)")
    p.add_argument("--group", help="the target group to rank (default: the first)")
    add_columns(p)
    p.add_argument("--data", metavar="DIR", help="with --user: the data folder, if it has moved since")
    return p


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if options.history and options.data:
        raise DataError("--data: goes with --user; --history needs no data folder")
    if options.history:
        trained = load(options.run)
        columns = getattr(options, "columns", None)
        history = Events(**read_history(options.history, trained.schema, trained.actions, trained.catalogues, columns))
        log = None
    else:
        trained, log, _ = open_run(options.run, options.data)
        history = None
    ranked = rank(trained, log, user=options.user, history=history, at=options.at, top=options.top, group=options.group)
    if history is not None:
        unknown = int((history.object == 0).sum())
        if unknown:
            print(f"counted: {unknown} of {len(history.object)} behaviours whose object the model does not know")
    group = target_group(trained.schema, options.group)
    rows = {name: row for row, name in enumerate(trained.catalogues[group].objects[1:].tolist(), 1)}
    for place, (name, value) in enumerate(ranked, 1):
        print(f"{place:>3}  {value:8.4f}  {one_line(name):<16} {describe(trained, group, rows[name])}")
    return 0


def describe(trained: Trained, group: str, row: int) -> str:
    """The categorical features of an object, in the words of the data."""
    words = []
    for feature in trained.schema.group(group).features:
        if feature.kind == "categorical":
            codes = trained.catalogues[group].codes(feature.name)
            words.append(f"{feature.name} {one_line(str(trained.tables[feature.table][codes[row]]))}")
    return "  ".join(words)


if __name__ == "__main__":
    cli.run(main)
