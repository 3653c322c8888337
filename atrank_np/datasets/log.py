"""A behaviour log in memory: which user acted on which object, how and when, and the features of the objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import Ints, Mask, Texts
from ..mpi import Ranks
from .catalogue import Catalogue
from .numbering import log_arrays
from .schema import Schema
from .tables import FrameTable, check_columns


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
    notes: list[str] = field(default_factory=list)  # what was read, and what is odd about it: lines to print

    @classmethod
    def from_frame(
        cls,
        events: Any,
        items: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
        keep_duplicates: bool = False,
        allow_unknown: bool = False,
        drop_full_users: bool = False,
    ) -> "Log":
        """A log of data in memory, the same as `read_log` makes of these data in files.

        A table is a dict of arrays or lists, or a data frame of pandas, polars or pyarrow. Its names become texts; a whole
        number has no decimal point, so 12.0 is "12". Times may be numbers, ISO dates or datetimes.

        Parameters
        ----------
        events : a table with the columns user, object and time; group and action where there are several.
        items : the table of the objects, with a column object, or a dict of such tables: group -> table. None: the objects
            are those of the events, and their id is the only feature.
        columns : other names of these columns, such as {"user": "visitorid"}.
        schema : a Schema, or the dict of a schema.toml. None: one group `items`, all its columns categorical.
        keep_duplicates, allow_unknown, drop_full_users : as for `read_log`.

        Raises
        ------
        DataError
            Any fault of the data: the text says the table, the row (from 0), what was expected, and what was found.

        Examples
        --------
        >>> events = {"visitor": ["ann", "ann", "bob"], "object": [7, 9, 7], "time": [1000, 1060, 990]}
        >>> log = Log.from_frame(events, {"object": [7, 8, 9], "price": [1.5, 2, 3]}, columns={"user": "visitor"})
        >>> log.users.tolist(), log.object.tolist(), log.catalogues["items"].objects.tolist()
        (['ann', 'bob'], [1, 3, 1], ['unknown', '7', '8', '9'])
        """
        groups = {} if items is None else {"items": items}
        if isinstance(items, Mapping) and all(isinstance(t, Mapping) or hasattr(t, "columns") for t in items.values()):
            groups = dict(items)
        tables = {name: FrameTable(name, table) for name, table in {**groups, "events": events}.items()}
        columns = check_columns(columns)
        if not isinstance(schema, Schema):
            schema = Schema.from_dict(schema, "schema") if schema else Schema.of_tables(tables, columns, "events and items")
        if keep_duplicates:
            schema = schema.choose(duplicates="keep")
        log = cls(**log_arrays(tables, schema, columns, allow_unknown))
        return without_full_users(log) if drop_full_users else log


def without_full_users(log: Log, holders: Ranks | None = None) -> Log:
    """The log without the events of users who act on every object of a group that is ranked: they have no negative.

    holders: the ranks that hold the users together, if one does not hold all.
    """
    user, full = user_of_event(log), np.zeros(len(log.users), bool)
    for name in log.schema.targets:
        taken = (
            (log.group == log.schema.index(name)) & ~not_taken(log.schema, log.actions, log.group, log.action) & (log.object > 0)
        )
        pairs = np.unique(np.stack([user[taken], log.object[taken]]), axis=1)
        full |= np.bincount(pairs[0], minlength=len(full)) == len(log.catalogues[name].objects) - 1
    found = with_events(log, ~full[user])
    counts = {"users left out, who act on every object": int(full.sum())}
    return replace(found, counts=log.counts | (holders or Ranks()).count(counts))


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
