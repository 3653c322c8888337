"""Ranks the catalogue for a user or a history: `python -m atrank_np.recommend RUN --user U`."""

import numpy as np

from . import cli
from .assembly import load
from .backend import make_backend
from .datasets.log import not_taken
from .datasets.reading import LATEST, read_history
from .datasets.samples import Events, Samples
from .errors import DataError
from .evaluate import catalogue_scores, open_run
from .text import one_line


def rank(trained, log=None, *, user=None, history=None, at=None, top=10, group=None):
    """The `top` best objects of a target group, best first, as (name, score); scores are logits of (8).

    user: a user of the log, or history: Events in time order. Behaviours before the time `at` count, all by default;
    ranking then happens one tick after the last. Objects of the history itself are left out unless the schema keeps
    repeated targets. The log may have grown since the training, but its objects and actions must be the model's, in that order.
    DataError if they are not, for a user beside a history, a user that the log does not hold, a group that is not ranked, a
    history that leaves no object to rank, or one without a user before a model that knows users only.
    """
    schema, config = trained.schema, trained.config
    if history is not None and config.model == "bpr_mf":
        raise DataError("bpr_mf ranks for users of its training data, not for a history of somebody else")
    if history is not None and user is not None:
        raise DataError("either a user of the log is ranked, or a history; got both")
    if history is not None and (np.diff(history.time) < 0).any():
        raise DataError("history: expected the behaviours in the order of their times")
    if top < 1:
        raise DataError(f"--top: expected at least 1, got {top}")
    group = target_group(schema, group)
    place = -1  # nobody's
    if history is None:
        if log is None or not (trained.fits if config.model == "bpr_mf" else trained.reads)(log):
            raise DataError("a user is ranked with the log that the model was trained on, or one of the same objects")
        place, history = place_of(log, user), history_of(log, user)
    history = visible(history, schema, trained.actions)
    at, end = moment(history, at)
    g = schema.index(group)
    sample = Samples(*(np.array([v]) for v in (place, max(0, end - config.cap), end, at, g, 0)))
    backend = make_backend(trained.model(), trained.params, config, trained.step, trained.table_scale)
    scores = catalogue_scores(backend, schema, history, sample)
    scores[0] = -np.inf  # `unknown` is nobody's object
    if schema.target_repeats == "drop":
        scores[history.object[:end][history.group[:end] == g]] = -np.inf
    best = np.argsort(-scores, kind="stable")[:top]
    names = trained.catalogues[group].objects
    if not np.isfinite(scores[best[0]]):
        raise DataError(f"group {group!r}: no object is left to rank, the history holds them all")
    return [(str(names[i]), float(scores[i])) for i in best if np.isfinite(scores[i])]


def target_group(schema, group=None):
    """The name of a target group, by default the first. DataError for one that is not ranked."""
    group = group or schema.targets[0]
    if group not in schema.targets:
        raise DataError(f"group {group!r}: expected one that the model ranks: {', '.join(schema.targets)}")
    return group


def moment(history, at=None):
    """-> the time of ranking, by default one tick after the last behaviour, and how many behaviours come before it.

    DataError for a time that no log can hold.
    """
    if at is None:
        at = int(history.time[-1]) + 1 if len(history.time) else 0
    if abs(at) > LATEST:
        raise DataError(f"--at: expected an integer below 2^62, got {at}")
    return at, int(np.searchsorted(history.time, at))


def visible(history, schema, actions):
    """The Events that a history is made of: those of its groups, but for what was shown and not taken."""
    kept = np.isin(history.group, [schema.index(name) for name in schema.history])
    kept &= ~not_taken(schema, actions, history.group, history.action)
    return Events(*(column[kept] for column in history))


def place_of(log, user):
    """A user's place in the log. DataError if it holds no such user."""
    found = np.flatnonzero(log.users == str(user))
    if len(found) == 0:
        raise DataError(f"user {user!r}: not in the log, whose users are such as {', '.join(map(repr, log.users[:3].tolist()))}")
    return int(found[0])


def history_of(log, user):
    """All Events of a user of the log, in time order. DataError if it holds no such user."""
    place = place_of(log, user)
    own = slice(log.offsets[place], log.offsets[place + 1])
    return Events(log.group[own], log.object[own], log.action[own], log.time[own])


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
