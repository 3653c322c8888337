"""Negatives: objects that a user never takes."""

import numpy as np

from ..errors import DataError
from .log import Log, may_be_target, not_taken, user_of_event
from .packing import ranges
from .samples import BLOCK


class Negatives:
    """Draws objects that a user never takes in any of his events (as the authors do).

    First those that he was shown and did not take (`negative_actions`), at times after his positive before, of the same
    group, up to that of his positive; then, for want of those, any, uniformly.
    It knows the future of a user, and so tells the model what never is a negative: one of the departures. For a validation
    the log is without the test events.
    """

    def __init__(self, log: Log) -> None:
        self.sizes = [len(log.catalogues[group.name].objects) for group in log.schema.groups]
        self.names, self.users = [group.name for group in log.schema.groups], log.users
        self.offsets, self.group, self.object = log.offsets, log.group, log.object
        self.not_taken = shown = not_taken(log.schema, log.actions, log.group, log.action)
        # Sorted arrays of user · times + time, over the different times, place the objects shown and the positives.
        user, self.times = user_of_event(log), np.unique(log.time) if shown.any() else np.zeros(0, np.int64)
        moment = lambda events: user[events].astype(np.int64) * len(self.times) + np.searchsorted(self.times, log.time[events])
        self.shown, self.shown_at, self.positive_at = [], [], []
        for g, name in enumerate(self.names):
            usable = np.flatnonzero((log.group == g) & shown & (log.object > 0))
            usable = usable[~self._takes(g, user[usable], log.object[usable][:, None])[:, 0]]
            self.shown.append(log.object[usable])
            self.shown_at.append(moment(usable))
            self.positive_at.append(moment(np.flatnonzero(may_be_target(log, name)) if len(usable) else usable))

    def _takes(self, g, user, object):
        """Mask [n, m]: whether the users [n] take the objects [n, m] of group g at some time."""
        found = np.zeros(object.shape, bool)
        key = lambda user, object: user.astype(np.int64) * self.sizes[g] + object
        for start in range(0, len(user), BLOCK):
            some = slice(start, start + BLOCK)
            users = np.unique(user[some])
            length = self.offsets[users + 1] - self.offsets[users]
            events = ranges(self.offsets[users], length)
            kept = (self.group[events] == g) & ~self.not_taken[events]
            taken = np.unique(key(np.repeat(users, length)[kept], self.object[events[kept]]))
            if len(taken):
                wanted = key(user[some, None], object[some])
                found[some] = taken[np.minimum(np.searchsorted(taken, wanted), len(taken) - 1)] == wanted
        return found

    def draw(self, rng, samples, count=1):
        """[S, count] int32: negatives for each of Samples or LazySamples, of its target group. DataError if a user has taken
        everything."""
        group = samples.group
        drawn = np.empty((len(group), count), np.int32)
        for g in np.unique(group):
            mine = group == g
            self._never_taken(rng, samples, mine, g, drawn)
            if len(self.shown[g]):
                rows = np.flatnonzero(mine)
                row, object = self.shown_to(samples.take(rows), g)
                order = np.lexsort((rng.random(len(row)), row))  # those of each sample in random order
                place = np.arange(len(row)) - np.searchsorted(row, row)
                first = place < count
                drawn[rows[row[first]], place[first]] = object[order][first]
        return drawn

    def _never_taken(self, rng, samples, mine, g, drawn):
        """Rows `mine` of drawn [S, count]: objects of group g, uniform over those that the sample's user never takes."""
        again = []  # (row, column, user) of those that he does take
        for start in range(0, len(drawn), BLOCK):
            some = slice(start, start + BLOCK)
            rows, user = start + np.flatnonzero(mine[some]), samples.take(some).user[mine[some]]
            drawn[rows] = value = rng.integers(1, self.sizes[g], (len(rows), drawn.shape[1]), np.int32)
            row, column = np.nonzero(self._takes(g, user, value))
            again.append((rows[row], column, user[row]))
        row, column, user = map(np.concatenate, zip(*again))
        for _ in range(99):
            if len(row) == 0:
                break
            drawn[row, column] = value = rng.integers(1, self.sizes[g], len(row), np.int32)
            taken = self._takes(g, user, value[:, None])[:, 0]
            row, column, user = row[taken], column[taken], user[taken]
        for r, c, u in zip(row, column, user):  # users who take nearly everything: among what is left
            left = np.arange(1, self.sizes[g])
            left = left[~self._takes(g, np.array([u]), left[None])[0]]
            if len(left) == 0:
                name = str(self.users[u])
                raise DataError(f"events.csv: user {name!r} acts on every object of {self.names[g]}: no negative is left")
            drawn[r, c] = rng.choice(left)

    def shown_to(self, samples, g):
        """What may be a negative of samples of group g because it was shown: (row of the sample, object), all different,
        sorted by row."""
        user = samples.user.astype(np.int64) * len(self.times)
        here = user + np.searchsorted(self.times, samples.time)
        before = np.append(-1, self.positive_at[g])[np.searchsorted(self.positive_at[g], here)]  # the last one, or -1
        start, end = (np.searchsorted(self.shown_at[g], at, "right") for at in (np.maximum(before, user - 1), here))
        length = end - start
        row = np.repeat(np.arange(len(length)), length)
        object = self.shown[g][ranges(start, length)]
        return np.divmod(np.unique(row * self.sizes[g] + object), self.sizes[g])

    def uniform(self, samples, count=1):
        """How many of the negatives that are drawn for samples were not shown, by group name; groups that show nothing aside."""
        found, group = {}, samples.group
        for g in np.unique(group):
            if len(self.shown[g]):
                mine = samples.take(group == g)
                shown = np.bincount(self.shown_to(mine, g)[0], minlength=len(mine.user))
                found[self.names[g]] = int((count - np.minimum(shown, count)).sum())
        return found
