"""The protocol: which behaviours are ranked, what came before them, and which objects they are ranked against."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from .packing import ranges
from .reading import Log

BLOCK = 2**14  # events or samples that are looked up at a time: a large log needs little room beside its arrays


class Events(NamedTuple):
    """The behaviours of the history groups, by (user, time, file order); arrays [E]."""

    group: np.ndarray
    object: np.ndarray
    action: np.ndarray
    time: np.ndarray


class Samples(NamedTuple):
    """Ranking moments; arrays [S]. The history of sample s is events[start[s]:end[s]], at most the cap's last ones.

    time is the moment of ranking, group the schema's index of the target's group, object the positive.
    """

    user: np.ndarray
    start: np.ndarray
    end: np.ndarray
    time: np.ndarray
    group: np.ndarray
    object: np.ndarray

    def take(self, index):
        return Samples(*(column[index] for column in self))


@dataclass(frozen=True, eq=False)
class Moments:
    """Samples whose positives are events of a log. A log has millions, so only their places are kept, 8 bytes for each;
    the columns of Samples are looked up when they are asked for."""

    log: Log
    first: np.ndarray  # [U+1] where the history events of a user start
    cap: int
    place: np.ndarray  # [S] of the positive among the log's events
    end: np.ndarray  # [S] that of Samples

    def __len__(self):
        return len(self.place)

    def __iter__(self):
        return iter(self.take(slice(None)))

    def take(self, index):
        """Samples."""
        some = replace(self, place=self.place[index], end=self.end[index])
        user = some.user
        return Samples(user, some._start(user), some.end, some.time, some.group, some.object)

    @property
    def user(self):
        user = np.empty(len(self), np.int32)
        for start in range(0, len(self), BLOCK):
            some = slice(start, start + BLOCK)
            user[some] = np.searchsorted(self.log.offsets, self.place[some], "right") - 1
        return user

    @property
    def start(self):
        return self._start(self.user)

    def _start(self, user):
        return np.maximum(self.first[user], self.end - self.cap)

    @property
    def time(self):
        return self.log.time[self.place]

    @property
    def group(self):
        return self.log.group[self.place]

    @property
    def object(self):
        return self.log.object[self.place]


class Split(NamedTuple):
    """events: what histories are made of, those of user u from offsets[u] to offsets[u + 1]; counts: what was left out, in words.

    popularity: for each group of the schema the number of training events of each object [M]: those before the tested one;
    target_actions: for each group the action that its targets carry (positives, negatives and candidates alike: a
    negative has no action of its own, and the positive's would give it away);
    repeat_share: of the tested moments, how many have a positive that the history already holds, dropped or not.
    """

    events: Events
    offsets: np.ndarray
    train: Moments
    test: Samples
    counts: dict
    popularity: list
    target_actions: list
    repeat_share: float


def split(log, cap=100, validate=False):
    """The paper's protocol, for each target group: of a user's target events b_1 … b_n, the moment of b_(k+1) is a
    training sample for k = 1 … n-2 and the test for k = n-1. n counts the events that may be targets (`target_actions`).

    validate: all one event earlier, on the log without its test events. Training takes k ≤ n-3, and b_(n-1) is scored.
    """
    log = without_tests(log) if validate else log
    cap = min(cap, len(log.time))  # which fits into the columns' integers
    schema, user = log.schema, _user_of_event(log)
    taken = ~not_taken(schema, log.actions, log.group, log.action)
    in_history = taken & np.isin(log.group, [schema.index(name) for name in schema.history])
    events = Events(log.group, log.object, log.action, log.time)
    if not in_history.all():
        events = Events(*(column[in_history] for column in events))
    before = _running(in_history)
    first = before[log.offsets]  # where the history events of a user start
    if schema.history_rule == "before_time":
        before[:-1] = before[_first_of_its_moment(user, log.time)]
    counts, train, test, repeats, popularity, target_actions = Counter(), [], [], [], {}, {}
    first_tested = log.offsets[1:].copy()  # of each user: what training may know of stands before it
    for name in schema.targets:
        target = _may_be_target(log, name)
        k = _running(target)
        n = np.diff(k[log.offsets])
        k = k[:-1] - k[log.offsets[:-1]][user]  # how many of his target events stand before an event
        counts[f"users without a target among {name}"] += int((n < 2).sum())
        counts[f"users with a test among {name} and nothing to train on"] += int((n == 2).sum())
        seen = target & (k < n[user] - 1)  # all that training may know of: the behaviours before the tested one
        popularity[name] = _count(log, name, seen)
        target_actions[name] = _target_action(log, name, seen)
        tested = np.flatnonzero(target & ~seen & (k >= 1))
        first_tested[user[tested]] = np.minimum(first_tested[user[tested]], tested)
        for places, into in ((np.flatnonzero(seen & (k >= 1)), train), (tested, test)):
            places = places.astype(before.dtype)
            moments = Moments(log, first, cap, places, before[places])
            unknown = moments.object == 0
            repeated = _in_history(events, moments) & ~unknown
            if into is test:
                repeats.append(repeated)
            repeated = repeated & (schema.target_repeats == "drop")
            kept = ~unknown & ~repeated
            counts[f"targets that are in no file of {name}"] += int(unknown.sum())
            counts[f"targets among {name} dropped, already in the history"] += int(repeated.sum())
            counts["histories cut at the cap"] += int((moments.end - first[moments.user] > cap)[kept].sum())
            into.append((places[kept], moments.end[kept]))
    counts["events of what was shown and not taken"] = int((~taken).sum())
    repeats = np.concatenate(repeats)
    train, test = (_moments(log, first, cap, parts) for parts in (train, test))
    for g, group in enumerate(schema.groups):
        if group.name not in popularity:
            seen = taken & (log.group == g) & (np.arange(len(user)) < first_tested[user])
            popularity[group.name] = _count(log, group.name, seen)
    return Split(
        events,
        first,
        train,
        test.take(slice(None)),
        counts={what: n for what, n in counts.items() if n},
        popularity=[popularity[group.name] for group in schema.groups],
        target_actions=[target_actions.get(group.name, 0) for group in schema.groups],
        repeat_share=float(repeats.mean()) if len(repeats) else 0.0,
    )


def _moments(log, first, cap, parts):
    """Moments, of one (place, end) for each target group."""
    place, end = map(np.concatenate, zip(*parts))
    if np.array_equal(place, end):  # all events are history, and so many stand before one as its place says
        end = place
    return Moments(log, first, cap, place, end)


def without_tests(log):
    """The log without each user's last target event of every target group: what validation may know of."""
    user, keep = _user_of_event(log), np.ones(len(log.time), bool)
    for name in log.schema.targets:
        backwards = np.flatnonzero(_may_be_target(log, name))[::-1]
        keep[backwards[np.unique(user[backwards], return_index=True)[1]]] = False
    offsets = np.append(0, np.cumsum(np.bincount(user[keep], minlength=len(log.users))))
    columns = {name: getattr(log, name)[keep] for name in ("group", "object", "action", "time")}
    return replace(log, offsets=offsets, **columns)


def _user_of_event(log):
    return np.repeat(np.arange(len(log.users), dtype=np.int32), np.diff(log.offsets))


def _running(mask):
    """How many places of a mask [E] stand before each place, and how many in all: [E+1], int32 where that is enough."""
    before = np.zeros(len(mask) + 1, np.int32 if len(mask) < 2**31 else np.int64)
    np.cumsum(mask, out=before[1:])
    return before


def _blocks(offsets):
    """(slice of the users, slice of their events) for parts of some BLOCK events: no user is cut in two."""
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], BLOCK))
    cuts = np.unique(np.append(cuts, len(offsets) - 1))
    return [(slice(u0, u1), slice(offsets[u0], offsets[u1])) for u0, u1 in zip(cuts[:-1], cuts[1:])]


def _count(log, name, seen):
    return np.bincount(log.object[seen], minlength=len(log.catalogues[name].objects))


def _target_action(log, name, seen):
    """The schema's, or the most frequent one among the events of a mask (the first of equally frequent ones)."""
    wanted = log.schema.group(name).target_action
    if wanted is not None:
        return log.actions.index(wanted)
    return int(np.bincount(log.action[seen], minlength=len(log.actions)).argmax())


def _may_be_target(log, name):
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


def _first_of_its_moment(user, time):
    """For every event the place of the first event with the same user and time."""
    new = np.ones(len(user), bool)
    new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return np.maximum.accumulate(np.where(new, np.arange(len(user)), 0))


def _in_history(events, moments):
    """Mask over Moments, sorted by place: the positive stands among the user's history events before it, the cap aside."""
    found, first, offsets = np.zeros(len(moments), bool), moments.first, moments.log.offsets
    for users, rows in _blocks(first):
        mine = slice(*np.searchsorted(moments.place, offsets[[users.start, users.stop]]))
        samples = moments.take(mine)
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


class Negatives:
    """Draws objects that a user never takes in any of his events (as the authors do).

    First those that he was shown and did not take (`negative_actions`), at times after his positive before, of the same
    group, up to that of his positive; then, for want of those, any, uniformly.
    It knows the future of a user, and so tells the model what never is a negative: one of the departures. With
    `validate` that future ends before the test event.
    """

    def __init__(self, log, validate=False):
        log = without_tests(log) if validate else log
        self.sizes = [len(log.catalogues[group.name].objects) for group in log.schema.groups]
        self.names, self.users = [group.name for group in log.schema.groups], log.users
        self.offsets, self.group, self.object = log.offsets, log.group, log.object
        self.not_taken = shown = not_taken(log.schema, log.actions, log.group, log.action)
        # Sorted arrays of user · times + time, over the different times, place the objects shown and the positives.
        user, self.times = _user_of_event(log), np.unique(log.time) if shown.any() else np.zeros(0, np.int64)
        moment = lambda events: user[events].astype(np.int64) * len(self.times) + np.searchsorted(self.times, log.time[events])
        self.shown, self.shown_at, self.positive_at = [], [], []
        for g, name in enumerate(self.names):
            usable = np.flatnonzero((log.group == g) & shown & (log.object > 0))
            usable = usable[~self._takes(g, user[usable], log.object[usable][:, None])[:, 0]]
            self.shown.append(log.object[usable])
            self.shown_at.append(moment(usable))
            self.positive_at.append(moment(np.flatnonzero(_may_be_target(log, name)) if len(usable) else usable))

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
        """[S, count] int32: negatives for each of Samples or Moments, of its target group. DataError if a user has taken
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
