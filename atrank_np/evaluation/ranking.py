"""Ranks the catalogue: for users of a log, or for a history."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..arrays import Floats, Ints, Mask, texts
from ..backend import Backend
from ..datasets.cells import LATEST
from ..datasets.log import Log, not_taken, user_of_event
from ..datasets.packing import ranges
from ..datasets.protocol import Protocol
from ..datasets.samples import Events, Samples
from ..datasets.schema import Schema
from ..datasets.soundness import check_log
from ..errors import ArgumentError
from ..mpi import Ranks, ranks
from ..progress import progress
from ..runs.trained import Trained
from .scoring import catalogue_scores

T = TypeVar("T")
Names = NDArray[np.object_]  # strings, and None where there is no name
NUMBERS = 2**22  # scores that are held at a time: this limits the users of a block


class Moments(NamedTuple):
    """Moments of ranking, without positives. The behaviours before moment s are events[first[s]:samples.end[s]]."""

    events: Events
    first: Ints  # [S]
    samples: Samples  # their `start` is later than `first` if the cap cuts the history


def moments(trained: Trained, log: Log, places: Ints, group: str, at: int | None = None) -> Moments:  # [U]
    """The moments of ranking for users, by their places in a log that has the numbers of the model.

    at: only behaviours before this time count. By default all count, and the time is one tick after the last, or 0 without any.
    """
    if at is not None:
        at = arguments.whole("at", at, -LATEST, LATEST)
    schema = trained.schema
    seen = np.isin(log.group, [schema.index(name) for name in schema.history])
    seen &= ~not_taken(schema, log.actions, log.group, log.action)
    events = Events(log.group[seen], log.object[seen], log.action[seen], log.time[seen])
    offsets = np.append(0, np.cumsum(np.bincount(user_of_event(log)[seen], minlength=len(log.users))))
    first, end = offsets[places], offsets[places + 1]
    if at is None:
        time = np.where(end > first, events.time[np.maximum(end, 1) - 1] + 1, 0) if len(events.time) else np.zeros_like(end)
    else:
        before = np.append(0, np.cumsum(events.time < at))
        time, end = np.full(len(places), at), first + before[end] - before[first]
    start, g = np.maximum(first, end - trained.config.cap), np.full(len(places), schema.index(group))
    return Moments(events, first, Samples(places, start, end, time, g, np.zeros_like(places)))


def log_of(trained: Trained, history: Events) -> Log:
    """The log of one user with this history, which has the numbers of the model.

    ArgumentError for numbers that the model does not have, for times that are not in order, and for bpr_mf, which has no
    parameters for a history.
    """
    if trained.config.model == "bpr_mf":
        raise ArgumentError("history: bpr_mf ranks for users of its training data, not for a history; name one of them")
    about = (trained.schema, trained.actions, trained.tables, trained.catalogues)
    counts = {"events of an object that the model does not know": int((history.object == 0).sum())}
    log = Log(*about, texts(["the user"]), np.array([0, len(history.time)]), *history, counts)
    check_log(log)
    return replace(log, group=log.group.astype(np.int8), object=log.object.astype(np.int32), action=log.action.astype(np.int16))


def named_history(trained: Trained, history: Any, times: Any, actions: Any) -> Log:
    """The log of one user with this history, in names; see `Recommender.recommend`."""
    names = arguments.names("history", history)
    n = len(names)
    schema, group, rows = trained.schema, np.zeros(n, np.int8), np.zeros(n, np.int32)
    for g in map(schema.index, reversed(schema.history)):
        found = {name: row for row, name in enumerate(trained.catalogues[schema.groups[g].name].objects[1:].tolist(), 1)}
        row = np.array([found.get(name, 0) for name in names], np.int32)
        group, rows = np.where(row > 0, g, group).astype(np.int8), np.where(row > 0, row, rows)
    action = np.array(trained.target_actions, np.int16)[group]
    if actions is not None:
        actions = arguments.names("actions", actions)
        for name in sorted(set(actions) - set(trained.actions)):
            raise ArgumentError(f"actions: expected some of {', '.join(trained.actions)}, got {name!r}")
        action = np.array([trained.actions.index(name) for name in actions], np.int16)
    time = np.zeros(n, np.int64) if times is None else arguments.times("times", times)
    if len(time) != n or len(action) != n:
        raise ArgumentError(f"times and actions: expected one for each of the {n} objects of the history")
    return log_of(trained, Events(group, rows, action, time))


def by_block(
    backend: Backend,
    objects: list[int],
    asked: Moments,
    schema: Schema,
    exclude_seen: bool,
    answer: Callable[[Ints, Floats], T],
    show: bool = False,
    part: Ints | None = None,  # [S]
) -> Iterator[tuple[Ints, T]]:
    """Yields the moments in blocks of one group: their numbers [B], and answer(numbers, scores [B, M] of the group's objects).

    `unknown` has the score -∞. With exclude_seen, so have all objects of the history, also those that the model does not
    read because of the cap. objects: M of each group. Each rank computes some blocks; but if a log is partitioned, each rank
    computes its own moments, and `part` names their partitions.
    """
    samples, blocks = asked.samples, list[Ints]()
    kinds = samples.group if part is None else part * len(objects) + samples.group
    for kind in np.unique(kinds):
        own, size = np.flatnonzero(kinds == kind), max(1, NUMBERS // objects[kind % len(objects)])
        blocks += np.split(own, range(size, len(own), size))

    def answer_of(block: Ints) -> T:
        some = samples.take(block)
        scores = catalogue_scores(backend, schema, asked.events, some)
        scores[:, 0] = -np.inf
        if exclude_seen:
            length = some.end - asked.first[block]
            rows, row = ranges(asked.first[block], length), np.repeat(np.arange(len(block)), length)
            mine = asked.events.group[rows] == some.group[0]
            scores[row[mine], asked.events.object[rows[mine]]] = -np.inf
        return answer(block, scores)

    with progress(show, total=len(asked.first), unit=" users") as bar:
        for block, found in zip(blocks, (ranks() if part is None else Ranks()).map(answer_of, blocks)):
            bar.update(len(block))
            yield block, found


def best(scores: Floats, n: int) -> tuple[Ints, Floats]:  # [B, M] -> [B, n], [B, n]
    """The objects with the n highest scores, highest first, equal ones by their rows; and these scores.

    Where fewer than n scores are above -∞, the last objects are row 0, with the score -∞.
    """
    found, values = np.zeros((len(scores), n), np.int32), np.full((len(scores), n), -np.inf, scores.dtype)
    n = min(n, scores.shape[1])
    for b, own in enumerate(scores):
        rows = np.flatnonzero((own >= np.partition(own, -n)[-n]) & (own > -np.inf))
        rows = rows[np.argsort(-own[rows], kind="stable")[:n]]
        found[b, : len(rows)], values[b, : len(rows)] = rows, own[rows]
    return found, values


def ranked(
    trained: Trained,
    backend: Backend,
    asked: Moments,
    n: int,
    candidates: Mask | None = None,
    exclude_seen: bool | None = None,
    show: bool = False,
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Yields the moments in blocks: their numbers [B], and the rows and scores [B, n] of their best objects.

    candidates [M]: which objects are ranked; None: all. exclude_seen: without those of the history; None: as the schema says.
    """
    objects = [len(catalogue.objects) for catalogue in trained.catalogues.values()]
    exclude_seen = trained.schema.target_repeats == "drop" if exclude_seen is None else exclude_seen

    def best_of(block: Ints, scores: Floats) -> tuple[Ints, Floats]:
        if candidates is not None:
            scores[:, ~candidates] = -np.inf
        return best(scores, n)

    for block, found in by_block(backend, objects, asked, trained.schema, exclude_seen, best_of, show):
        yield block, *found


def ranked_names(
    trained: Trained,
    backend: Backend,
    asked: Moments,
    group: str,
    n: int,
    candidates: Mask | None = None,
    exclude_seen: bool | None = None,
    show: bool = False,
) -> tuple[Names, Floats]:  # -> [S, n], [S, n]
    """As `ranked`, all moments together and with names, for moments of one group. None where fewer than n objects are left."""
    S, objects = len(asked.first), trained.catalogues[group].objects
    ids, scores = np.full((S, n), None, object), np.full((S, n), -np.inf, np.float32)
    for block, rows, values in ranked(trained, backend, asked, n, candidates, exclude_seen, show):
        names = objects[rows].astype(object)
        names[rows == 0] = None
        ids[block], scores[block] = names, values
    return ids, scores


def first_choices(trained: Trained, log: Log, user: str, n: int, group: str, at: int | None = None) -> list[str]:
    """The names of a user's n best objects, best first; fewer where fewer are left."""
    asked = moments(trained, log, places_of(log, [user]), group, at)
    return [name for name in ranked_names(trained, trained.backend(), asked, group, n)[0][0] if name is not None]


def target_group(schema: Schema, group: str | None = None) -> str:
    """The name of a target group, by default the first. ArgumentError for one that is not ranked."""
    group = schema.targets[0] if group is None else group
    if not isinstance(group, str) or group not in schema.targets:
        raise ArgumentError(f"group {group!r}: expected one that the model ranks: {', '.join(schema.targets)}")
    return group


def places_of(log: Log, users: Iterable[str]) -> Ints:  # -> [U]
    """The places of users in the log. ArgumentError for an unknown user."""
    places = {name: place for place, name in enumerate(log.users.tolist())}
    try:
        return np.array([places[str(user)] for user in users], np.int64)
    except KeyError as missing:
        some = ", ".join(map(repr, log.users[:3].tolist()))
        raise ArgumentError(f"user {missing}: not in the log; some of its users are {some}") from None


def objects_of(trained: Trained, group: str, names: Iterable[str]) -> Ints:  # -> [n]
    """The rows of objects in their group's catalogue. ArgumentError for an unknown object."""
    rows = {name: row for row, name in enumerate(trained.catalogues[group].objects[1:].tolist(), 1)}
    try:
        return np.array([rows[str(name)] for name in names], np.int64)
    except KeyError as missing:
        raise ArgumentError(f"object {missing}: expected one of the model's {group}; none has that name") from None


def mask_of(trained: Trained, group: str, names: Iterable[str]) -> Mask:  # -> [M]
    """Which objects of a group have one of these names. ArgumentError for an unknown name."""
    return np.isin(np.arange(len(trained.catalogues[group].objects)), objects_of(trained, group, names))


def full_ranks(backend: Backend, protocol: Protocol, samples: Samples, show: bool = False) -> Floats:  # -> [S]
    """The place of each positive among all objects of its group that are recommended; 0 is the first.

    Objects of the user's history are left out, unless the schema keeps repeated targets. A tie counts half, as in the AUC: if
    all scores are equal, each positive is in the middle. If the log is partitioned, each rank gives its own samples, and gets the
    places of all.
    """
    schema, rank = protocol.schema, np.empty(len(samples.user))
    objects = [len(protocol.log.catalogues[group.name].objects) for group in schema.groups]
    asked = Moments(protocol.events, protocol.offsets[samples.user], samples)

    def ranks_of(block: Ints, scores: Floats) -> Floats:
        mine = scores[np.arange(len(block)), samples.object[block]][:, None]
        found: Floats = (scores > mine).sum(1) + 0.5 * ((scores == mine).sum(1) - 1)  # - 1: the positive itself
        return found

    part = protocol.part_of(samples)
    for block, found in by_block(backend, objects, asked, schema, schema.target_repeats == "drop", ranks_of, show, part):
        rank[block] = found
    return protocol.holders.stack(rank)
