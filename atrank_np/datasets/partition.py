"""The users of a log in partitions, of which each rank of `mpiexec` holds some: `Config.partition`.

A log of a thousand million events is larger than one machine. So a rank keeps only the events of its own users. The
partition of a user is a hash of their name, so it depends on no other user and on no file. There are as many partitions as a
batch has shards, and each draws its samples alone; so a run does not depend on the number of ranks.

Every rank knows the names of all users, and so their numbers.
"""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ..arrays import Ints, Mask
from ..errors import DataError
from ..mpi import Ranks, ranks
from .cells import Numbering
from .tables import Encoded


class Partition(NamedTuple):
    """Some users that this process holds: their samples, which stand together."""

    key: tuple[int, ...]  # what tells its random streams from those of other partitions
    train: slice
    test: slice


def partition_of(name: str, count: int) -> int:
    return crc32(name.encode()) % count


def partitions_of(users: Sequence[str], count: int) -> Ints:  # [U] -> [U]
    """The partition of each user, by their names."""
    return np.fromiter((partition_of(name, count) for name in users), np.int32, len(users))


def own_partitions(count: int) -> range:
    """The partitions that this rank holds."""
    own, R = ranks(), ranks().size
    return range(count * own.rank // R, count * (own.rank + 1) // R)


class OwnRows:
    """Which rows of a table of events belong to this rank's users, block by block."""

    def __init__(self, count: int) -> None:
        self.count, self.own, self.mine = count, own_partitions(count), np.zeros(0, bool)  # mine: of the users seen so far

    def __call__(self, user: Ints, names: Sequence[str] | Encoded) -> Mask:  # [n], [n] -> [n]
        """user: the numbers of the names, which go on from those of the block before."""
        known = len(self.mine)
        new, row = np.unique(user, return_index=True)
        new, row = new[new >= known], row[new >= known]
        if len(new):
            self.mine = np.append(self.mine, np.zeros(new[-1] + 1 - known, bool))
            for number, i in zip(new.tolist(), row.tolist()):
                name = names.values[names.codes[i]] if isinstance(names, Encoded) else names[i]
                self.mine[number] = partition_of(name, self.count) in self.own
        return self.mine[user]


def merge(ranks: Ranks, numbers: Numbering, known: int = 0) -> Ints:
    """Numbers the names of all ranks, those of rank 0 first, and returns the new number of each old one.

    known: the first so many names are the same on all ranks.
    """
    own = list(islice(numbers, known, None))
    every = {name: known + i for i, name in enumerate(dict.fromkeys(chain.from_iterable(ranks.gather(own))))}
    for name in own:
        del numbers[name]
    numbers.update(every)
    return np.array([*range(known), *(every[name] for name in own)], np.int64)


def to_owners(ranks: Ranks, events: dict[str, Any], users: Sequence[str], count: int) -> dict[str, Any]:
    """The events of this rank's users, of those that all ranks have read: arrays [E], in the order of the ranks.

    users: the names of the numbers events["user"].
    """
    rank = (partitions_of(users, count) // (count // ranks.size))[events["user"]]
    found = {}
    for name in list(events):
        column = events.pop(name)
        found[name] = np.concatenate(ranks.swap([column[rank == r] for r in range(ranks.size)]))
    return found


def must_be_alike(ranks: Ranks, table: str, dates: bool | None) -> None:
    """DataError unless the part files of a table have times of one kind. dates: whether they are dates; None: no times."""
    if len(set(ranks.gather(dates)) - {None}) > 1:
        raise DataError(f"{table}: expected times of one kind in all files, got dates in some and numbers in others")
