"""A behaviour log in memory: which user acted on which object, how and when, and the features of the objects."""

from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from ..arrays import Floats, Ints, Mask, Texts
from .schema import Schema


@dataclass(frozen=True)
class Bag:
    """A feature of M objects with several values each: object m has ids[offsets[m]:offsets[m + 1]], repeats included."""

    ids: Ints  # int32 [total]
    offsets: Ints  # int64 [M+1]


@dataclass(frozen=True)
class Catalogue:
    """The M objects of one group. Row 0 stands for every unknown object; the others follow in file order.

    The features of row 0 are value 0, an empty bag, or NaN. Names are unique in objects[1:], where an object may be called
    'unknown' as well.
    """

    objects: Texts  # [M]
    features: dict[str, Ints | Floats | Bag]  # int32 [M] (id, categorical), Bag (tokens), float64 [M], NaN: missing (number)

    def codes(self, feature: str) -> Ints:
        """An id or a categorical feature of each object [M]: rows of its table."""
        return cast(Ints, self.features[feature])

    def numbers(self, feature: str) -> Floats:
        """A number of each object [M]; NaN where it is missing."""
        return cast(Floats, self.features[feature])


@dataclass
class Log:
    """All events of U users, sorted by (user, time, file order); user u has rows offsets[u]:offsets[u + 1]."""

    schema: Schema
    actions: tuple[str, ...]
    tables: dict[str, Texts]  # table name -> [rows], its vocabulary; [0] is 'unknown'; numbers have no table
    catalogues: dict[str, Catalogue]  # by group name
    users: Texts  # [U], by first appearance in the file
    offsets: Ints  # int64 [U+1]
    group: Ints  # int8 [E], index in schema.groups
    object: Ints  # int32 [E], row in its group's catalogue; 0: unknown
    action: Ints  # int16 [E], index in actions
    time: Ints  # int64 [E], ticks
    counts: dict[str, int] = field(default_factory=dict)  # what was counted, in words to print -> how often


def with_events(log: Log, kept: Mask) -> Log:  # [E]
    """The log with some of its events only, and all its users."""
    offsets = np.append(0, np.cumsum(np.bincount(user_of_event(log)[kept], minlength=len(log.users))))
    columns = {name: getattr(log, name)[kept] for name in ("group", "object", "action", "time")}
    return replace(log, offsets=offsets, **columns)


def user_of_event(log: Log) -> Ints:  # -> int32 [E]
    """The index of each event's user."""
    return np.repeat(np.arange(len(log.users), dtype=np.int32), np.diff(log.offsets))


def may_be_target(log: Log, name: str) -> Mask:  # -> [E]
    """Which events may be targets: those of the group `name` whose action is a target action, and not a negative one."""
    group = log.schema.group(name)
    mask: Mask = (log.group == log.schema.index(name)) & ~not_taken(log.schema, log.actions, log.group, log.action)
    if group.target_actions:
        mask &= np.isin(log.action, [log.actions.index(action) for action in group.target_actions])
    return mask


def not_taken(schema: Schema, actions: tuple[str, ...], group: Ints, action: Ints) -> Mask:  # …, [E], [E] -> [E]
    """Which events say "shown and not taken". They are no behaviours: neither part of a history nor positives."""
    mask = np.zeros(len(group), bool)
    for g, names in enumerate(group.negative_actions for group in schema.groups):
        mask |= (group == g) & np.isin(action, [actions.index(name) for name in names])
    return mask
