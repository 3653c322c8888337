"""The protocol: which behaviours are ranked, what came before them, and which objects they are ranked against."""

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..config import Config
from ..randomness import stream
from .log import Log, may_be_target, not_taken, user_of_event
from .negatives import Negatives
from .samples import BLOCK, Events, LazySamples, Samples, Task
from .schema import Schema

DEFAULTS = Config()


class Protocol:
    """What a log and the settings say of a training. Made once; whoever needs a part of it, takes it from here.

    The paper's protocol, for each target group: of a user's target events b_1 … b_n, the moment of b_(k+1) is a training
    sample for k = 1 … n-2 and the test for k = n-1. n counts the events that may be targets (`target_actions`). With
    `config.validate` all is one event earlier, on the log without its test events: training takes k ≤ n-3, and b_(n-1) is
    scored.

    events: what histories are made of, those of user u from offsets[u] to offsets[u + 1]; counts: what was left out, in words.
    popularity: for each group of the schema the number of training events of each object [M]: those before the tested one;
    target_actions: for each group the action that its targets carry (positives, negatives and candidates alike: a
    negative has no action of its own, and the positive's would give it away);
    repeat_share: of the tested moments, how many have a positive that the history already holds, dropped or not.
    """

    log: Log
    schema: Schema
    config: Config
    events: Events
    offsets: np.ndarray
    train: LazySamples
    test: Samples
    negatives: Negatives
    popularity: list[np.ndarray]
    target_actions: list[int]
    repeat_share: float
    counts: dict[str, int]

    def __init__(self, log: Log, config: Config = DEFAULTS) -> None:
        self.log, self.schema, self.config = log, log.schema, config
        log = without_tests(log) if config.validate else log
        self.negatives = Negatives(log)
        cap = min(config.cap, len(log.time))  # which fits into the columns' integers
        user, counts = user_of_event(log), Counter()
        taken = ~not_taken(self.schema, log.actions, log.group, log.action)
        self.events, self.offsets, before = _histories(log, taken, user)
        train, test, repeats, popularity, target_actions = [], [], [], {}, {}
        first_tested = log.offsets[1:].copy()  # of each user: what training may know of stands before it
        for name in self.schema.targets:
            found = _targets(log, name, user, counts)
            popularity[name], target_actions[name] = found.popularity, found.action
            first_tested[user[found.test]] = np.minimum(first_tested[user[found.test]], found.test)
            for places, into in ((found.train, train), (found.test, test)):
                places = places.astype(before.dtype)
                samples = LazySamples(log, self.offsets, cap, places, before[places])
                repeated = _in_history(self.events, samples) & (samples.object > 0)
                if into is test:
                    repeats.append(repeated)
                kept = self._kept(samples, repeated, name, counts)
                into.append((places[kept], samples.end[kept]))
        counts["events of what was shown and not taken"] = int((~taken).sum())
        for g, group in enumerate(self.schema.groups):
            if group.name not in popularity:
                seen = taken & (log.group == g) & (np.arange(len(user)) < first_tested[user])
                popularity[group.name] = _count(log, group.name, seen)
        self.train = _joined(log, self.offsets, cap, train)
        self.test = _joined(log, self.offsets, cap, test).take(slice(None))
        self.popularity = [popularity[group.name] for group in self.schema.groups]
        self.target_actions = [target_actions.get(group.name, 0) for group in self.schema.groups]
        repeats = np.concatenate(repeats)
        self.repeat_share = float(repeats.mean()) if len(repeats) else 0.0
        self.counts = {what: n for what, n in counts.items() if n}

    def _kept(self, samples, repeated, name, counts):
        """Mask: which samples of a target group stay. Those that do not are counted."""
        unknown = samples.object == 0
        dropped = repeated & (self.schema.target_repeats == "drop")
        kept = ~unknown & ~dropped
        counts[f"targets that are in no file of {name}"] += int(unknown.sum())
        counts[f"targets among {name} dropped, already in the history"] += int(dropped.sum())
        counts["histories cut at the cap"] += int((samples.end - self.offsets[samples.user] > samples.cap)[kept].sum())
        return kept

    @cached_property
    def task(self) -> Task:
        """The test samples with negatives that depend on the data set and eval_seed alone, never on model or seed.

        Each group has a random stream of its own, so that its negatives are the same whatever else is ranked.
        """
        test, count = self.test, self.config.eval_negatives
        candidates = np.repeat(test.object[:, None], 1 + count, axis=1)
        for g in np.unique(test.group):
            rows = np.flatnonzero(test.group == g)
            rng = stream(self.config.eval_seed, "evaluation negatives", g)
            candidates[rows, 1:] = self.negatives.draw(rng, test.take(rows), count)
        return Task(test, candidates, self.negatives.uniform(test, count))


def _histories(log, taken, user):
    """Events that histories are made of, where those of each user start [U+1], and how many stand before each event [E+1]."""
    in_history = taken & np.isin(log.group, [log.schema.index(name) for name in log.schema.history])
    events = Events(log.group, log.object, log.action, log.time)
    if not in_history.all():
        events = Events(*(column[in_history] for column in events))
    before = _running(in_history)
    offsets = before[log.offsets]
    if log.schema.history_rule == "before_time":
        before[:-1] = before[_first_of_its_moment(user, log.time)]
    return events, offsets, before


class _Targets(NamedTuple):
    """A target group: the places of its training and test positives, and what the training events say."""

    train: np.ndarray
    test: np.ndarray
    popularity: np.ndarray
    action: int


def _targets(log, name, user, counts):
    target = may_be_target(log, name)
    k = _running(target)
    n = np.diff(k[log.offsets])
    k = k[:-1] - k[log.offsets[:-1]][user]  # how many of the user's target events stand before an event
    counts[f"users without a target among {name}"] += int((n < 2).sum())
    counts[f"users with a test among {name} and nothing to train on"] += int((n == 2).sum())
    seen = target & (k < n[user] - 1)  # all that training may know of: the behaviours before the tested one
    train, test = np.flatnonzero(seen & (k >= 1)), np.flatnonzero(target & ~seen & (k >= 1))
    return _Targets(train, test, _count(log, name, seen), _target_action(log, name, seen))


def _joined(log, first, cap, parts):
    """LazySamples, of one (place, end) for each target group."""
    place, end = map(np.concatenate, zip(*parts))
    if np.array_equal(place, end):  # all events are history, and so many stand before one as its place says
        end = place
    return LazySamples(log, first, cap, place, end)


def without_tests(log):
    """The log without each user's last target event of every target group: what validation may know of."""
    user, keep = user_of_event(log), np.ones(len(log.time), bool)
    for name in log.schema.targets:
        backwards = np.flatnonzero(may_be_target(log, name))[::-1]
        keep[backwards[np.unique(user[backwards], return_index=True)[1]]] = False
    offsets = np.append(0, np.cumsum(np.bincount(user[keep], minlength=len(log.users))))
    columns = {name: getattr(log, name)[keep] for name in ("group", "object", "action", "time")}
    return replace(log, offsets=offsets, **columns)


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


def _first_of_its_moment(user, time):
    """For every event the place of the first event with the same user and time."""
    new = np.ones(len(user), bool)
    new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return np.maximum.accumulate(np.where(new, np.arange(len(user)), 0))


def _in_history(events, lazy):
    """Mask over LazySamples, sorted by place: the positive stands among the user's history events before it, the cap aside."""
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
