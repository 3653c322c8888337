"""The protocol: which behaviours are ranked, from which history, and against which other objects."""

from collections import Counter
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..arrays import Ints, Mask
from ..config import Config
from ..mpi import Ranks, ranks
from ..randomness import stream
from .log import Log, may_be_target, not_taken, user_of_event, with_events
from .negatives import Negatives
from .partition import Partition, own_partitions, partitions_of
from .samples import Events, LazySamples, Samples, Task
from .schema import Schema
from .soundness import check_log
from .targets import count_actions, count_objects, histories, in_history, target_action, targets_of

DEFAULTS = Config()


class Protocol:
    """The samples that a log and the settings give, and what belongs to them. Made once and passed on.

    It is the paper's protocol, for each target group. Let b_1 … b_n be the target events of a user. The moment of b_(k+1) is
    a training sample for k = 1 … n-2, and the test for k = n-1. n counts only events that may be targets (`target_actions`).
    With `config.validate` everything is one event earlier, on the log without its test events: k ≤ n-3 is trained on, and
    b_(n-1) is the test.

    With `config.split_time` T the events before T are trained on, b_(k+1) for all k ≥ 1, and the test is the first target event
    from T on, if one came before it. Training knows no later event, neither of this user nor of others.

    All counts of objects are over training events: those before the tested one.

    With `config.partition` a rank of `mpiexec` has the events and samples of its own partitions only. Counts and popularity are
    those of all ranks. All ranks must make the Protocol together.
    """

    log: Log
    schema: Schema
    config: Config
    events: Events  # that histories are made of; those of user u from offsets[u] to offsets[u + 1]
    offsets: Ints  # [U+1]
    train: LazySamples
    test: Samples
    negatives: Negatives  # of training
    test_negatives: Negatives  # the same, except that they know all of the log where the split is one by time
    popularity: list[Ints]  # for each group of the schema, the number of training events of each object [M]
    # For each group, the action that all its candidates carry, its most frequent one. A negative has no action of its own, and
    # the action of the positive would tell which one it is.
    target_actions: list[int]
    partitions: list[Partition]  # that this process holds; one, if the log is not partitioned
    sizes: Ints  # [P, 2] training and test samples of all partitions
    part: Ints | None  # [U] the partition of each user
    holders: Ranks  # the ranks that hold all partitions together
    helpers: Ranks  # the ranks that have the samples of this process too, and may share its work
    repeat_share: float  # of the test moments, dropped or not, those whose positive is in the history already
    counts: dict[str, int]  # what was left out, in words -> how often

    def __init__(self, log: Log, config: Config = DEFAULTS) -> None:
        check_log(log)
        self.part, self.helpers, self.holders, held = None, ranks(), Ranks(), np.ones(len(log.users), bool)
        if config.partition:
            self.part, self.helpers, self.holders = partitions_of(log.users.tolist(), config.parts), Ranks(), ranks()
            own = own_partitions(config.parts)
            held = (self.part >= own.start) & (self.part < own.stop)
            log = log if held.all() else with_events(log, held[user_of_event(log)])  # which may be done already
        self.log, self.schema, self.config = log, log.schema, config
        split = None if config.validate else config.split_time
        log = without_tests(log, config.split_time) if config.validate else log
        self.negatives = self.test_negatives = Negatives(log)
        if split is not None:
            self.negatives = Negatives(with_events(log, log.time < split))
        cap = min(config.cap, len(log.time))  # no more than the columns' integers can hold
        user = user_of_event(log)
        counts: Counter[str] = Counter()
        taken = ~not_taken(self.schema, log.actions, log.group, log.action)
        self.events, self.offsets, before = histories(log, taken, user)
        train: list[tuple[Ints, Ints]] = []  # for each target group (place, end), as in LazySamples
        test: list[tuple[Ints, Ints]] = []
        repeats: list[Mask] = []  # for each target group, the test samples whose positive is already in the history
        popularity: dict[str, Ints] = {}
        actions: dict[str, Ints] = {}
        first_tested = log.offsets[1:].copy()  # of each user; training knows only events before it
        if split is not None:
            first_tested = log.offsets[:-1] + np.bincount(user[log.time < split], minlength=len(log.users))
        for name in self.schema.targets:
            found = targets_of(log, name, user, split, held, counts)
            popularity[name], actions[name] = found.popularity, found.actions
            first_tested[user[found.test]] = np.minimum(first_tested[user[found.test]], found.test)
            for places, into in ((found.train, train), (found.test, test)):
                places = places.astype(before.dtype)
                samples = LazySamples(log, self.offsets, cap, places, before[places])
                repeated = in_history(self.events, samples) & (samples.object > 0)
                if into is test:
                    repeats.append(repeated)
                kept = self._kept(samples, repeated, name, into is test, counts)
                into.append((places[kept], samples.end[kept]))
        counts["events of what was shown and not taken"] = int((~taken).sum())
        for g, group in enumerate(self.schema.groups):
            if group.name not in popularity:
                seen = taken & (log.group == g) & (np.arange(len(user)) < first_tested[user])
                popularity[group.name] = count_objects(log, group.name, seen)
                actions[group.name] = count_actions(log, seen)
        self.take_samples(*(_joined(log, self.offsets, cap, parts) for parts in (train, test)))
        holders = self.holders
        self.popularity = [holders.sum(popularity[group.name]) for group in self.schema.groups]
        self.target_actions = [target_action(log, group, holders.sum(actions[group.name])) for group in self.schema.groups]
        repeated = np.concatenate(repeats)
        found, of = holders.sum(np.array([repeated.sum(), len(repeated)])).tolist()
        self.repeat_share = found / of if of else 0.0
        self.counts = {what: n for what, n in holders.count(counts).items() if n}

    def take_samples(self, train: LazySamples, test: LazySamples | Samples) -> None:
        """Sets the samples, in the order of their partitions."""
        keys: list[tuple[int, ...]] = [()]
        bounds = [[0, len(samples.user)] for samples in (train, test)]
        if self.part is not None:
            own = own_partitions(self.config.parts)
            keys = [(number,) for number in own]
            parts = [self.part[samples.user] for samples in (train, test)]
            by_part, tests_by_part = (np.argsort(part, kind="stable") for part in parts)
            train, test = train.some(by_part), test.take(tests_by_part)
            bounds = [np.searchsorted(np.sort(part), [*own, own.stop]).tolist() for part in parts]
        self.train, self.test = train, test.take(slice(None))
        self.partitions = [Partition(key, slice(*t), slice(*e)) for key, t, e in zip(keys, *map(pairwise, bounds))]
        self.sizes = self.holders.stack(np.transpose([np.diff(bound) for bound in bounds]))

    def _kept(self, samples: LazySamples, repeated: Mask, name: str, test: bool, counts: Counter[str]) -> Mask:  # -> [S]
        """Which samples of the target group `name` stay. The others are counted."""
        unknown = samples.object == 0
        dropped = repeated & (self.schema.target_repeats == "drop")
        kept: Mask = ~unknown & ~dropped
        counts[f"targets that are in no file of {name}"] += int(unknown.sum())
        counts[f"targets among {name} dropped, already in the history"] += int(dropped.sum())
        if test:
            counts[f"users without a test among {name}, the last target is in no file"] = int(unknown.sum())
            counts[f"users without a test among {name}, the last target is already in the history"] = int(dropped.sum())
        counts["histories cut at the cap"] += int((samples.end - self.offsets[samples.user] > samples.cap)[kept].sum())
        return kept

    @property
    def weights(self) -> list[Ints]:
        """For each group, the weights [M] of its objects in a draw by popularity: their training events.

        An object without any counts once: it would never be a negative otherwise, whatever its score.
        """
        return [np.maximum(count, 1) for count in self.popularity]

    @cached_property
    def task(self) -> Task:
        """The test samples with their negatives, which depend on the data set and eval_seed alone, not on model or seed.

        Each group has a random stream of its own, so its negatives do not depend on which other groups are ranked.
        """
        test, count = self.test, self.config.eval_negatives
        weights = self.weights if self.config.eval_negatives_by == "popularity" else None
        candidates = np.repeat(test.object[:, None], 1 + count, axis=1)
        for own in self.partitions:
            for g in np.unique(test.group[own.test]):
                rows = own.test.start + np.flatnonzero(test.group[own.test] == g)
                rng = stream(self.config.eval_seed, "evaluation negatives", g, *own.key)
                candidates[rows, 1:] = self.test_negatives.draw(rng, test.take(rows), count, weights)
        return Task(test, candidates, self.holders.count(self.test_negatives.uniform(test, count)))

    def part_of(self, samples: Samples) -> Ints | None:  # -> [S]
        """The partition of each sample; None if the log is not partitioned."""
        return None if self.part is None else self.part[samples.user]

    def some_tests(self, count: int) -> Samples:
        """Those of `count` test samples, spread evenly over all, that this process holds."""
        own = self.partitions
        first, tests = int(self.sizes[: own[0].key[0] if own[0].key else 0, 1].sum()), len(self.test.user)
        places = np.unique(np.linspace(0, self.sizes[:, 1].sum() - 1, count).astype(int)) - first
        return self.test.take(places[(places >= 0) & (places < tests)])


def _joined(log: Log, first: Ints, cap: int, parts: list[tuple[Ints, Ints]]) -> LazySamples:
    """The samples of all target groups, which each have (place, end)."""
    place, end = (np.concatenate(column) for column in zip(*parts))
    if np.array_equal(place, end):  # where every event is history, one array serves as both
        end = place
    return LazySamples(log, first, cap, place, end)


def without_tests(log: Log, split: int | None = None) -> Log:
    """All that a validation may use: the log before the split, or without each user's last target event of every target group."""
    if split is not None:
        return with_events(log, log.time < split)
    user, keep = user_of_event(log), np.ones(len(log.time), bool)
    for name in log.schema.targets:
        backwards = np.flatnonzero(may_be_target(log, name))[::-1]
        keep[backwards[np.unique(user[backwards], return_index=True)[1]]] = False
    return with_events(log, keep)
