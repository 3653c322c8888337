"""Negatives: objects that a user never takes."""

from typing import Any

import numpy as np

from ..arrays import Ints, Mask
from ..errors import DataError
from .log import Log, may_be_target, not_taken, user_of_event
from .packing import ranges
from .samples import BLOCK, LazySamples, Samples


class Negatives:
    """Draws objects that a user never takes in any event of the log, as the authors do.

    First it draws objects that were shown to the user and not taken (`negative_actions` of the schema). They must have been
    shown after the user's last positive of the same group, up to the time of the present positive. If these are too few, the
    others are uniform over all objects of the group that the user never takes.

    An object that a user takes later is never a negative. So the negatives know the user's future, and tell the model some of
    it: this is one of the departures. For a validation, the log has no test events.
    """

    def __init__(self, log: Log) -> None:
        self.sizes = [len(log.catalogues[group.name].objects) for group in log.schema.groups]
        self.names, self.users = [group.name for group in log.schema.groups], log.users
        self.offsets, self.group, self.object = log.offsets, log.group, log.object
        self.not_taken = shown = not_taken(log.schema, log.actions, log.group, log.action)
        # A moment is one integer: user · len(times) + the index of the time among the different times. For each group, the
        # sorted moments shown_at of the objects `shown`, and positive_at of the positives.
        user = user_of_event(log)
        self.times: Ints = np.unique(log.time) if shown.any() else np.zeros(0, np.int64)
        self.shown: list[Ints] = []
        self.shown_at: list[Ints] = []
        self.positive_at: list[Ints] = []
        for g, name in enumerate(self.names):
            usable = np.flatnonzero((log.group == g) & shown & (log.object > 0))
            usable = usable[~self._takes(g, user[usable], log.object[usable][:, None])[:, 0]]
            positive = np.flatnonzero(may_be_target(log, name)) if len(usable) else usable
            self.shown.append(log.object[usable])
            self.shown_at.append(self._moment(user[usable], log.time[usable]))
            self.positive_at.append(self._moment(user[positive], log.time[positive]))

    def _moment(self, user: Ints, time: Ints) -> Ints:  # [n], [n] -> [n]
        return user.astype(np.int64) * len(self.times) + np.searchsorted(self.times, time)

    def _key(self, g: int, user: Ints, object: Ints) -> Any:
        """User and object of group g in one integer; they broadcast against each other."""
        return user.astype(np.int64) * self.sizes[g] + object

    def _takes(self, g: int, user: Ints, object: Ints) -> Mask:  # [n], [n, m] -> [n, m]
        """Whether each user takes the objects of group g in their row at some time."""
        found = np.zeros(object.shape, bool)
        for start in range(0, len(user), BLOCK):
            some = slice(start, start + BLOCK)
            users = np.unique(user[some])
            length = self.offsets[users + 1] - self.offsets[users]
            events = ranges(self.offsets[users], length)
            kept = (self.group[events] == g) & ~self.not_taken[events]
            taken = np.unique(self._key(g, np.repeat(users, length)[kept], self.object[events[kept]]))
            if len(taken):
                wanted = self._key(g, user[some, None], object[some])
                found[some] = taken[np.minimum(np.searchsorted(taken, wanted), len(taken) - 1)] == wanted
        return found

    def draw(self, rng: np.random.Generator, samples: Samples | LazySamples, count: int = 1) -> Ints:  # -> int32 [S, count]
        """`count` negatives for each sample, objects of its target group.

        DataError if a user takes every object of the group, so that none is left.
        """
        group = samples.group
        drawn = np.empty((len(group), count), np.int32)
        for g in np.unique(group):
            mine = group == g
            self._never_taken(rng, samples, mine, g, drawn)
            if len(self.shown[g]):
                rows = np.flatnonzero(mine)
                row, object = self.shown_to(samples.take(rows), g)
                order = np.lexsort((rng.random(len(row)), row))  # the objects of each sample in random order
                place = np.arange(len(row)) - np.searchsorted(row, row)
                first = place < count
                drawn[rows[row[first]], place[first]] = object[order][first]
        return drawn

    def _never_taken(self, rng: np.random.Generator, samples: Samples | LazySamples, mine: Mask, g: int, drawn: Ints) -> None:
        """Fills the rows `mine` [S] of drawn [S, count]: uniform over the objects of group g that the user never takes."""
        again = []  # (row, column, user) of the objects that the user does take
        for start in range(0, len(drawn), BLOCK):
            some = slice(start, start + BLOCK)
            rows, user = start + np.flatnonzero(mine[some]), samples.take(some).user[mine[some]]
            drawn[rows] = value = rng.integers(1, self.sizes[g], (len(rows), drawn.shape[1]), np.int32)
            row, column = np.nonzero(self._takes(g, user, value))
            again.append((rows[row], column, user[row]))
        row, column, user = map(np.concatenate, zip(*again))
        for _ in range(20):
            if len(row) == 0:
                return
            drawn[row, column] = value = rng.integers(1, self.sizes[g], len(row), np.int32)
            taken = self._takes(g, user, value[:, None])[:, 0]
            row, column, user = row[taken], column[taken], user[taken]
        full = []
        for u in np.unique(user):  # users who take nearly every object: what is left is looked up once
            left = np.arange(1, self.sizes[g])
            left = left[~self._takes(g, np.array([u]), left[None])[0]]
            own = user == u
            if len(left):
                drawn[row[own], column[own]] = rng.choice(left, int(own.sum()))
            else:
                full.append(str(self.users[u]))
        if full:
            raise DataError(
                f"{len(full)} users ({', '.join(map(repr, full[:3]))}{', …' * (len(full) > 3)}) act on every object of "
                f"{self.names[g]}, so no negative is left for them; leave them out with --drop-full-users"
            )

    def shown_to(self, samples: Samples | LazySamples, g: int) -> tuple[Ints, Ints]:
        """The objects that may be negatives of samples of group g because they were shown.

        Returns (index of the sample, object), arrays [n] of different pairs, sorted by sample and object.
        """
        user = samples.user.astype(np.int64) * len(self.times)  # the user's first moment
        here = self._moment(samples.user, samples.time)
        before = np.append(-1, self.positive_at[g])[np.searchsorted(self.positive_at[g], here)]  # the last positive before, or -1
        start, end = (np.searchsorted(self.shown_at[g], at, "right") for at in (np.maximum(before, user - 1), here))
        length = end - start
        row = np.repeat(np.arange(len(length)), length)
        object = self.shown[g][ranges(start, length)]
        return np.divmod(np.unique(row * self.sizes[g] + object), self.sizes[g])

    def uniform(self, samples: Samples | LazySamples, count: int = 1) -> dict[str, int]:
        """How many of the `count` negatives of each sample are uniform, because too few objects were shown.

        Sums by group name; only groups of which objects are shown.
        """
        found: dict[str, int] = {}
        group = samples.group
        for g in np.unique(group):
            if len(self.shown[g]):
                mine = samples.take(group == g)
                shown = np.bincount(self.shown_to(mine, g)[0], minlength=len(mine.user))
                found[self.names[g]] = int((count - np.minimum(shown, count)).sum())
        return found
