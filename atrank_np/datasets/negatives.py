"""Negatives: objects that a user never takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Floats, Ints, Mask
from ..errors import DataError
from .log import Log, may_be_target, not_taken, user_of_event
from .packing import ranges
from .samples import BLOCK, LazySamples, Samples


class Negatives:
    """Draws objects that a user never takes in any event of the log, as the authors do.

    First it draws objects that were shown to the user and not taken (`negative_actions` of the schema). They must have been
    shown after the user's last positive of the same group, up to the time of the present positive. If these are too few, the
    others are drawn from all objects of the group that the user never takes: uniformly, or in proportion to weights.

    An object that a user takes later is never a negative. So the negatives contain some information about the user's future,
    which the model can learn: this is one of the departures. For a validation, the log has no test events.
    """

    def __init__(self, log: Log) -> None:
        self.sizes = [len(log.catalogues[group.name].objects) for group in log.schema.groups]
        self.names, self.users = [group.name for group in log.schema.groups], log.users
        self.offsets, self.group, self.object = log.offsets, log.group, log.object
        self.not_taken = shown = not_taken(log.schema, log.actions, log.group, log.action)
        # A moment is one integer: user · len(times) + the index of the time among the different times. Each group has
        # shown_at, the sorted moments of the objects `shown`, and positive_at, those of the positives.
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

    def taken(self, g: int, user: Ints) -> tuple[Ints, Ints]:  # [n] -> [t], [t]
        """The objects of group g that each user takes at some time, with repeats: (place in `user`, object)."""
        length = self.offsets[user + 1] - self.offsets[user]
        events = ranges(self.offsets[user], length)
        kept = (self.group[events] == g) & ~self.not_taken[events]
        return np.repeat(np.arange(len(user)), length)[kept], self.object[events[kept]]

    def _takes(self, g: int, user: Ints, object: Ints) -> Mask:  # [n], [n, m] -> [n, m]
        """Whether each user takes the objects of group g in their row at some time."""
        found = np.zeros(object.shape, bool)
        for start in range(0, len(user), BLOCK):
            some = slice(start, start + BLOCK)
            users = np.unique(user[some])
            place, objects = self.taken(g, users)
            taken = np.unique(self._key(g, users[place], objects))
            if len(taken):
                wanted = self._key(g, user[some, None], object[some])
                found[some] = taken[np.minimum(np.searchsorted(taken, wanted), len(taken) - 1)] == wanted
        return found

    def draw(
        self, rng: np.random.Generator, samples: Samples | LazySamples, count: int = 1, weights: Sequence[Ints] | None = None
    ) -> Ints:  # -> int32 [S, count]
        """`count` negatives for each sample, objects of its target group.

        weights: for each group whole numbers [M], in proportion to which its objects are drawn; None: uniformly.
        DataError if a user takes every object of the group, so that none is left.
        """
        group = samples.group
        drawn = np.empty((len(group), count), np.int32)
        for g in np.unique(group):
            mine = group == g
            objects = np.arange(1, self.sizes[g], dtype=np.int32)
            self._never_taken(rng, samples, mine, g, np.repeat(objects, 1 if weights is None else weights[g][1:]), drawn)
            if len(self.shown[g]):
                rows = np.flatnonzero(mine)
                row, object = self.shown_to(samples.take(rows), g)
                order = np.lexsort((rng.random(len(row)), row))  # the objects of each sample in random order
                place = np.arange(len(row)) - np.searchsorted(row, row)
                first = place < count
                drawn[rows[row[first]], place[first]] = object[order][first]
        return drawn

    def _never_taken(
        self, rng: np.random.Generator, samples: Samples | LazySamples, mine: Mask, g: int, pot: Ints, drawn: Ints
    ) -> None:
        """Fills the rows `mine` [S] of drawn [S, count], from the pot: objects of group g, each as often as its weight."""
        again = []  # (row, column, user) of the objects that the user does take
        block = max(1, BLOCK // drawn.shape[1])
        for start in range(0, len(drawn), block):
            some = slice(start, start + block)
            rows, user = start + np.flatnonzero(mine[some]), samples.take(some).user[mine[some]]
            drawn[rows] = value = pot[rng.integers(len(pot), size=(len(rows), drawn.shape[1]), dtype=np.int32)]
            row, column = np.nonzero(self._takes(g, user, value))
            again.append((rows[row], column, user[row]))
        row, column, user = map(np.concatenate, zip(*again))
        for _ in range(20):
            if len(row) == 0:
                return
            drawn[row, column] = value = pot[rng.integers(len(pot), size=len(row), dtype=np.int32)]
            taken = self._takes(g, user, value[:, None])[:, 0]
            row, column, user = row[taken], column[taken], user[taken]
        full = []
        for u in np.unique(user):  # users who take nearly every object: draw from the objects that are left
            left = pot[~self._takes(g, np.array([u]), pot[None])[0]]
            own = user == u
            if len(left):
                drawn[row[own], column[own]] = rng.choice(left, int(own.sum()))
            else:
                full.append(str(self.users[u]))
        if full:
            raise DataError(
                f"{len(full)} users ({', '.join(map(repr, full[:3]))}{', …' * (len(full) > 3)}) act on every object of "
                f"{self.names[g]}, so no negative is left for them; leave them out with `drop_full_users`"
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

    def log_q(self, samples: Samples, drawn: Ints, weights: Sequence[Ints]) -> Floats:  # -> [S, count]
        """log(q / u) of each of the negatives `drawn` [S, count]: q is its chance by these weights, u that by a uniform draw.

        0 for objects that were shown. The objects that a user takes change q / u by the same factor for all negatives of the
        user, so this factor is left out.
        """
        found = np.zeros(drawn.shape, np.float32)
        for g in np.unique(samples.group):
            mine = samples.group == g
            found[mine] = np.log(weights[g][drawn[mine]] / weights[g][1:].mean())
            if len(self.shown[g]):
                found[mine] *= self._shown(samples.take(mine), g)[:, None] <= np.arange(drawn.shape[1])
        return found

    def _shown(self, samples: Samples, g: int) -> Ints:  # -> [S]
        """How many objects may be negatives of each sample because they were shown."""
        return np.bincount(self.shown_to(samples, g)[0], minlength=len(samples.user))

    def uniform(self, samples: Samples | LazySamples, count: int = 1) -> dict[str, int]:
        """How many of the `count` negatives of each sample are drawn from all objects, because too few were shown.

        group name -> the sum over the samples, for groups with objects that were shown.
        """
        found: dict[str, int] = {}
        group = samples.group
        for g in np.unique(group):
            if len(self.shown[g]):
                shown = self._shown(samples.take(group == g), g)
                found[self.names[g]] = int((count - np.minimum(shown, count)).sum())
        return found
