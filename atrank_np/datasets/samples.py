"""Ranking moments: a user, a time, a target, and the behaviours before it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .log import Log

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
class LazySamples:
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


class Task(NamedTuple):
    """What is scored: the test samples [S] with their candidates [S, 1+R], the positive first."""

    samples: Samples
    candidates: np.ndarray
    uniform: dict[
        str, int
    ] = {}  # group that has negative_actions -> how many of its negatives are uniform, for want of shown ones
