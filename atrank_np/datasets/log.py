"""A behaviour log in memory: who did what with which object when, and what is known of the objects."""

from dataclasses import dataclass, field

import numpy as np

from .schema import Schema


@dataclass(frozen=True)
class Bag:
    """A multi-valued feature of M objects: object m has ids[offsets[m]:offsets[m + 1]], repeats included."""

    ids: np.ndarray  # int32 [total]
    offsets: np.ndarray  # int64 [M+1]


@dataclass(frozen=True)
class Catalogue:
    """The M objects of one group, in file order after row 0, which stands for every unknown object.

    Row 0 has code 0, an empty bag, or NaN. Names are unique in objects[1:]; a user may call an object 'unknown' too.
    """

    objects: np.ndarray  # str [M]
    features: dict  # name -> int32 [M] (id, categorical) | Bag (tokens) | float64 [M], NaN if missing (number)


@dataclass
class Log:
    """All events of U users, sorted by (user, time, file order); user u has rows offsets[u]:offsets[u + 1]."""

    schema: Schema
    actions: tuple[str, ...]
    tables: dict  # table name -> str [rows], its vocabulary; [0] is 'unknown'; numbers have none
    catalogues: dict  # group name -> Catalogue
    users: np.ndarray  # str [U], by first appearance in the file
    offsets: np.ndarray  # int64 [U+1]
    group: np.ndarray  # int8 [E], index in schema.groups
    object: np.ndarray  # int32 [E], row in its group's catalogue; 0: unknown
    action: np.ndarray  # int16 [E], index in actions
    time: np.ndarray  # int64 [E], ticks
    counts: dict = field(default_factory=dict)  # what was counted, in words fit to print -> how often


def user_of_event(log):
    return np.repeat(np.arange(len(log.users), dtype=np.int32), np.diff(log.offsets))


def may_be_target(log, name):
    """Mask over the log's events: those of the group whose action may be predicted."""
    group = log.schema.group(name)
    mask = (log.group == log.schema.index(name)) & ~not_taken(log.schema, log.actions, log.group, log.action)
    if group.target_actions:
        mask &= np.isin(log.action, [log.actions.index(action) for action in group.target_actions])
    return mask


def not_taken(schema, actions, group, action):
    """Mask over events: those that say "shown and not taken" are no behaviours, neither history nor positive."""
    mask = np.zeros(len(group), bool)
    for g, names in enumerate(group.negative_actions for group in schema.groups):
        mask |= (group == g) & np.isin(action, [actions.index(name) for name in names])
    return mask
