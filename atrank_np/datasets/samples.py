"""Samples, or ranking moments: a user, a time, a target, and the behaviours before it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..arrays import Ints, Mask
from .log import Log

BLOCK = 2**14  # events or samples that are looked up at a time, so that a large log needs little memory beside its arrays


class Events(NamedTuple):
    """The behaviours that histories are made of, sorted by (user, time, file order); arrays [E], as in a Log."""

    group: Ints
    object: Ints
    action: Ints
    time: Ints


class Samples(NamedTuple):
    """Ranking moments; arrays [S]. The history of sample s is events[start[s]:end[s]], at most `cap` of them."""

    user: Ints  # index in log.users; -1: a user outside of the log
    start: Ints
    end: Ints
    time: Ints  # of the ranking, in ticks
    group: Ints  # of the target, an index in schema.groups
    object: Ints  # the positive, a row of that group's catalogue

    def take(self, index: "Ints | Mask | slice") -> "Samples":
        """The samples at `index`."""
        return Samples(*(column[index] for column in self))


@dataclass(frozen=True, eq=False)
class LazySamples:
    """Samples whose positives are events of a log, with the columns of Samples.

    A log has millions of them, so only two integers are stored for each. A column is computed whenever it is read.
    """

    log: Log
    first: Ints  # [U+1] the first history event of each user
    cap: int  # behaviours of a history, at most
    place: Ints  # [S] the index of the positive among the log's events
    end: Ints  # [S] that of Samples

    def __len__(self) -> int:
        return len(self.place)

    def __iter__(self) -> Iterator[Ints]:
        """The columns, in the order of Samples."""
        return iter(self.take(slice(None)))

    def some(self, index: Ints | Mask | slice) -> "LazySamples":
        """The samples at `index`."""
        return replace(self, place=self.place[index], end=self.end[index])

    def take(self, index: Ints | Mask | slice) -> Samples:
        """The same with their columns computed."""
        some = self.some(index)
        user = some.user
        return Samples(user, some._start(user), some.end, some.time, some.group, some.object)

    @property
    def user(self) -> Ints:
        user: Ints = np.empty(len(self), np.int32)
        for start in range(0, len(self), BLOCK):
            some = slice(start, start + BLOCK)
            user[some] = np.searchsorted(self.log.offsets, self.place[some], "right") - 1
        return user

    @property
    def start(self) -> Ints:
        return self._start(self.user)

    def _start(self, user: Ints) -> Ints:
        return np.maximum(self.first[user], self.end - self.cap)

    @property
    def time(self) -> Ints:
        return self.log.time[self.place]

    @property
    def group(self) -> Ints:
        return self.log.group[self.place]

    @property
    def object(self) -> Ints:
        return self.log.object[self.place]


class Task(NamedTuple):
    """What is scored: the test samples [S] with their candidates [S, 1+R], the positive first."""

    samples: Samples
    candidates: Ints
    # For each group that has negative_actions: how many of its negatives are uniform, because too few objects were shown.
    uniform: dict[str, int] = {}
