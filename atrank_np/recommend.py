"""Ranks the catalogue for a user or a history: `python -m atrank_np.recommend RUN --user U`."""

from . import cli
from .datasets.reading import read_history
from .datasets.samples import Events
from .errors import DataError
from .evaluation.ranking import rank, target_group
from .runs.checkpoint import load
from .runs.folder import open_run
from .text import one_line


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.recommend",
        description="Rank the whole catalogue for one history; ids are those of the data files.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    who = p.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="U", help="a user of the data that the run was trained on")
    who.add_argument("--history", metavar="FILE", help="a CSV like events.csv without the user's column; needs no other data")
    p.add_argument(
        "--at",
        type=int,
        metavar="TIME",
        help="the time of ranking; only behaviours before it count (default: one tick after the last)",
    )
    p.add_argument("--top", type=int, default=10, help="how many to show (default: %(default)s)")
    p.add_argument("--group", help="the target group to rank (default: the first)")
    p.add_argument("--data", metavar="DIR", help="with --user: the data folder, if it has moved since")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.history and options.data:
        raise DataError("--data: goes with --user; a --history needs no other data")
    if options.history:
        trained = load(options.run)
        history = Events(**read_history(options.history, trained.schema, trained.actions, trained.catalogues))
        log = None
    else:
        trained, log, _ = open_run(options.run, options.data)
        history = None
    ranked = rank(trained, log, user=options.user, history=history, at=options.at, top=options.top, group=options.group)
    if history is not None and (unknown := int((history.object == 0).sum())):
        print(f"counted: {unknown} of {len(history.object)} behaviours whose object the model does not know")
    group = target_group(trained.schema, options.group)
    rows = {name: row for row, name in enumerate(trained.catalogues[group].objects[1:].tolist(), 1)}
    for place, (name, value) in enumerate(ranked, 1):
        print(f"{place:>3}  {value:8.4f}  {one_line(name):<16} {describe(trained, group, rows[name])}")
    return 0


def describe(trained, group, row):
    """The object's other categorical features, in the words of the data."""
    group = trained.schema.group(group)
    values = trained.catalogues[group.name].features
    return "  ".join(
        f"{f.name} {one_line(str(trained.tables[f.table][values[f.name][row]]))}"
        for f in group.features
        if f.kind == "categorical"
    )


if __name__ == "__main__":
    cli.run(main)
