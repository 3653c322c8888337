"""The catalogue ranked for a user or a history."""

import numpy as np
from tqdm import tqdm

from ..arrays import Floats
from ..backend import Backend
from ..datasets.log import Log, not_taken
from ..datasets.protocol import Protocol
from ..datasets.reading import LATEST
from ..datasets.samples import Events, Samples
from ..datasets.schema import Schema
from ..errors import DataError
from ..runs.trained import Trained
from .scoring import catalogue_scores


def rank(
    trained: Trained,
    log: Log | None = None,
    *,
    user: str | None = None,
    history: Events | None = None,
    at: int | None = None,
    top: int = 10,
    group: str | None = None,
) -> list[tuple[str, float]]:
    """The `top` best objects of a target group, best first, as (name, score). A score is the logit f of (8).

        trained, log = load("runs/shop-1"), read_log("data/shop")
        for name, score in rank(trained, log, user="u7", top=3):
            print(name, score)

    user: a user of the log; or history: Events in the order of their times, which need no log.
    at: the time of ranking, in ticks; behaviours before it count. By default all count, and it is one tick after the last.
    group: the target group to rank, by default the first of the schema.

    Objects of the history are left out, unless the schema keeps repeated targets. The log may have grown since the training,
    but its objects and actions must be those of the model, in the same order.

    DataError for another log, a user that the log does not hold, a user beside a history, a group that is not ranked, a
    history without an object left to rank, or one without a user for bpr_mf, which has no parameters for it.
    """
    schema, config = trained.schema, trained.config
    if history is not None and config.model == "bpr_mf":
        raise DataError("bpr_mf ranks for users of its training data, not for a history; name one of them with --user")
    if history is not None and user is not None:
        raise DataError("expected a user of the log, or a history; got both")
    if history is not None and (np.diff(history.time) < 0).any():
        raise DataError("history: expected the behaviours in the order of their times")
    if top < 1:
        raise DataError(f"--top: expected at least 1, got {top}")
    group = target_group(schema, group)
    place = -1  # of an unknown user
    if history is None:
        if log is None or not (trained.fits if config.model == "bpr_mf" else trained.reads)(log):
            raise DataError("to rank for a user, give the log that the model was trained on, or one with the same objects")
        place, history = place_of(log, user), history_of(log, user)
    history = visible(history, schema, trained.actions)
    at, end = moment(history, at)
    g = schema.index(group)
    sample = Samples(*(np.array([value]) for value in (place, max(0, end - config.cap), end, at, g, 0)))
    scores = catalogue_scores(trained.backend(), schema, history, sample)
    scores[0] = -np.inf  # `unknown` is not an object
    if schema.target_repeats == "drop":
        scores[history.object[:end][history.group[:end] == g]] = -np.inf
    best = np.argsort(-scores, kind="stable")[:top]
    names = trained.catalogues[group].objects
    if not np.isfinite(scores[best[0]]):
        raise DataError(f"group {group!r}: no object is left to rank, because the history holds all of them")
    return [(str(names[i]), float(scores[i])) for i in best if np.isfinite(scores[i])]


def target_group(schema: Schema, group: str | None = None) -> str:
    """The name of a target group, by default the first. DataError for one that is not ranked."""
    group = group or schema.targets[0]
    if group not in schema.targets:
        raise DataError(f"group {group!r}: expected one that the model ranks: {', '.join(schema.targets)}")
    return group


def moment(history: Events, at: int | None = None) -> tuple[int, int]:
    """The time of ranking, by default one tick after the last behaviour, and how many behaviours come before it.

    DataError for a time that no log can hold.
    """
    if at is None:
        at = int(history.time[-1]) + 1 if len(history.time) else 0
    if abs(at) > LATEST:
        raise DataError(f"--at: expected an integer below 2^62, got {at}")
    return at, int(np.searchsorted(history.time, at))


def visible(history: Events, schema: Schema, actions: tuple[str, ...]) -> Events:
    """The events that a model reads: those of the history groups, without what was shown and not taken."""
    kept = np.isin(history.group, [schema.index(name) for name in schema.history])
    kept &= ~not_taken(schema, actions, history.group, history.action)
    return Events(*(column[kept] for column in history))


def place_of(log: Log, user: str | None) -> int:
    """A user's place in the log. DataError if it holds no such user."""
    found = np.flatnonzero(log.users == str(user))
    if len(found) == 0:
        raise DataError(f"user {user!r}: not in the log; some of its users are {', '.join(map(repr, log.users[:3].tolist()))}")
    return int(found[0])


def history_of(log: Log, user: str | None) -> Events:
    """All Events of a user of the log, in time order. DataError if it holds no such user."""
    place = place_of(log, user)
    own = slice(log.offsets[place], log.offsets[place + 1])
    return Events(log.group[own], log.object[own], log.action[own], log.time[own])


def full_ranks(backend: Backend, protocol: Protocol, samples: Samples, show: bool = False) -> Floats:  # -> [S]
    """The place of each positive among all objects of its group that `rank` would show; 0 is the first.

    Objects of the user's history are left out, unless the schema keeps repeated targets. A tie counts half, as in the AUC: if
    all scores are equal, each positive is in the middle.
    """
    schema, events = protocol.schema, protocol.events
    rank = np.empty(len(samples.user))
    for s in tqdm(range(len(rank)), unit=" users", disable=None if show else True, dynamic_ncols=True):
        one = samples.take(slice(s, s + 1))
        scores = catalogue_scores(backend, schema, events, one)
        history = slice(protocol.offsets[one.user[0]], one.end[0])  # all of it, even where the model reads only the last ones
        same_group = events.group[history] == one.group[0]
        mine = scores[one.object[0]]
        if schema.target_repeats == "drop":
            scores[events.object[history][same_group]] = -np.inf
        scores[[0, one.object[0]]] = -np.inf
        rank[s] = (scores > mine).sum() + 0.5 * (scores == mine).sum()
    return rank
