"""What a log ranks: the targets of training and test, the histories before them, and what training events count."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..arrays import Ints, Mask
from .log import Log, may_be_target
from .samples import BLOCK, Events, LazySamples
from .schema import Group


class Targets(NamedTuple):
    """A target group: its positives, as indices of the log's events, and what the training events say."""

    train: Ints  # of training samples
    test: Ints  # of test samples
    popularity: Ints  # [M] training events of each object
    actions: Ints  # [A] training events of each action


def targets_of(log: Log, name: str, user: Ints, split: int | None, held: Mask, counts: Counter[str]) -> Targets:  # …, [U], .
    """The targets of the group `name`; of the users `held`, those without a test or a training sample are counted."""
    target = may_be_target(log, name)
    k = _running(target)
    n = np.diff(k[log.offsets])
    k = k[:-1] - k[log.offsets[:-1]][user]  # [E] the number of the user's target events before each event
    tested = n - 1  # the number of the tested one
    if split is not None:
        tested = np.bincount(user[target & (log.time < split)], minlength=len(n))
    counts[f"users without a target among {name}{'' if split is None else ' on both sides of the split'}"] += int(
        (((tested < 1) | (tested == n)) & held).sum()
    )
    counts[f"users with a test among {name} and nothing to train on"] += int(((tested == 1) & (n > 1)).sum())
    seen = target & (k < tested[user])  # training knows only the target events before the tested one
    train, test = np.flatnonzero(seen & (k >= 1)), np.flatnonzero(target & (k == tested[user]) & (k >= 1))
    return Targets(train, test, count_objects(log, name, seen), count_actions(log, seen))


def histories(log: Log, taken: Mask, user: Ints) -> tuple[Events, Ints, Ints]:
    """The events that histories are made of, the first one of each user [U+1], and the end of the history of each event [E+1].

    taken, user [E]: which events are behaviours, and whose they are.
    """
    is_history = taken & np.isin(log.group, [log.schema.index(name) for name in log.schema.history])
    events = Events(log.group, log.object, log.action, log.time)
    if not is_history.all():
        events = Events(*(column[is_history] for column in events))
    before = _running(is_history)
    offsets = before[log.offsets]
    if log.schema.history_rule == "before_time":
        before[:-1] = before[_first_of_its_moment(user, log.time)]
    return events, offsets, before


def in_history(events: Events, lazy: LazySamples) -> Mask:  # -> [S]
    """Which samples have a positive that is among all of the user's history events before it, also those beyond the cap.

    The samples must be sorted by place.
    """
    found, first, offsets = np.zeros(len(lazy), bool), lazy.first, lazy.log.offsets
    for users, rows in _blocks(first):
        mine = slice(*np.searchsorted(lazy.place, offsets[[users.start, users.stop]]))
        samples = lazy.take(mine)
        width = 1 + max(int(events.object[rows].max(initial=0)), int(samples.object.max(initial=0)))
        groups = 1 + max(int(events.group[rows].max(initial=0)), int(samples.group.max(initial=0)))
        owner = np.repeat(np.arange(users.start, users.stop), np.diff(first[users.start : users.stop + 1]))
        key = (owner * groups + events.group[rows]) * width + events.object[rows]
        wanted = (samples.user.astype(np.int64) * groups + samples.group) * width + samples.object
        if len(key) == 0:  # users without a history
            continue
        seen, first_seen = np.unique(key, return_index=True)
        place = np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)
        found[mine] = (seen[place] == wanted) & (rows.start + first_seen[place] < samples.end)
    return found


def count_objects(log: Log, name: str, seen: Mask) -> Ints:  # …, [E] -> [M]
    """How often each object of the group `name` occurs in the events of a mask."""
    return np.bincount(log.object[seen], minlength=len(log.catalogues[name].objects))


def count_actions(log: Log, seen: Mask) -> Ints:  # ., [E] -> [A]
    """How often each action occurs in the events of a mask."""
    return np.bincount(log.action[seen], minlength=len(log.actions))


def target_action(log: Log, group: Group, counts: Ints) -> int:  # …, [A]
    """The schema's target_action, or else the most frequent one (ties: the first action)."""
    return int(counts.argmax()) if group.target_action is None else log.actions.index(group.target_action)


def _first_of_its_moment(user: Ints, time: Ints) -> Ints:  # [E], [E] -> [E]
    """For every event, the index of the first event with the same user and time."""
    new = np.ones(len(user), bool)
    new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    first: Ints = np.maximum.accumulate(np.where(new, np.arange(len(user)), 0))
    return first


def _running(mask: Mask) -> Ints:  # [E] -> [E+1], int32 where that is enough
    """The number of True before each index of the mask; the last entry is the number of all."""
    before: Ints = np.zeros(len(mask) + 1, np.int32 if len(mask) < 2**31 else np.int64)
    np.cumsum(mask, out=before[1:])
    return before


def _blocks(offsets: Ints) -> list[tuple[slice, slice]]:
    """Cuts the users into blocks of about BLOCK events: (slice of users, slice of their events). No user is cut in two."""
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], BLOCK))
    cuts = np.unique(np.append(cuts, len(offsets) - 1))
    return [(slice(u0, u1), slice(offsets[u0], offsets[u1])) for u0, u1 in zip(cuts[:-1], cuts[1:])]
