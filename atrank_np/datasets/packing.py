"""The packed batch: all behaviours of all histories one after another, without padding."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from ..arrays import Floats, Ints
from .samples import Events, Samples
from .schema import Schema


class Batch(NamedTuple):
    """B histories of N behaviours in all, and T targets. The targets of one history are ranked from the same behaviours.

    The behaviours of history b are the rows offsets[b]:offsets[b+1], in time order. Its targets are
    target_offsets[b]:target_offsets[b+1], the positives before the negatives. A group is an index in schema.groups. An
    object is a row of its group's catalogue, which holds the features.
    """

    offsets: Ints  # [B+1] int64
    group: Ints  # [N] int8
    object: Ints  # [N] int32
    bucket: Ints  # [N] int32, of the time elapsed until the ranking
    action: Ints  # [N] int16
    target_offsets: Ints  # [B+1] int64
    target_group: Ints  # [T] int8
    target_object: Ints  # [T] int32
    label: Floats  # [T] float32, 1 for a positive, 0 for a negative
    user: Ints  # [B] int32, 1 + the user's index in the log, or 0 for a user outside of it; only BPR-MF reads it
    elapsed: Floats  # [N] float32, the time until the ranking in units of the group; only continuous_time reads it
    log_q: Floats  # [T] float32, log (probability of this negative's draw / of a uniform one), for the softmax loss; else 0

    def with_behaviours(self, rows: Ints) -> Self:
        """The batch with only the behaviours `rows` [n] of its history. It must hold exactly one history."""
        return self._replace(offsets=np.array([0, len(rows)]), **self._behaviours(rows))

    def with_targets(self, group: int, objects: Ints) -> Self:
        """The batch with the targets `objects` [T] of a group, with labels 0. It must hold exactly one history."""
        T = len(objects)
        return self._replace(
            target_offsets=np.array([0, T]),
            target_group=np.full(T, group, np.int8),
            target_object=np.asarray(objects, np.int32),
            label=np.zeros(T, np.float32),
            log_q=np.zeros(T, np.float32),
        )

    def cut(self, histories: int) -> "Iterator[Batch]":
        """Cuts the batch into Batches of `histories` histories each; the last one may have fewer."""
        return self.cut_at([*range(0, len(self.user), histories), len(self.user)])

    def cut_at(self, bounds: Sequence[int]) -> "Iterator[Batch]":
        """Cuts the batch into Batches of the histories between two bounds each.

        Their arrays are views of this batch's arrays, offsets aside.
        """
        for first, end in pairwise(bounds):
            some = slice(first, end + 1)
            offsets, targets = self.offsets[some], self.target_offsets[some]
            t = slice(targets[0], targets[-1])
            yield Batch(
                **self._behaviours(slice(offsets[0], offsets[-1])),
                offsets=offsets - offsets[0],
                target_offsets=targets - targets[0],
                target_group=self.target_group[t],
                target_object=self.target_object[t],
                label=self.label[t],
                log_q=self.log_q[t],
                user=self.user[first:end],
            )

    @classmethod
    def join(cls, batches: "Sequence[Batch]") -> "Batch":
        """The histories of all batches, one after another."""
        if len(batches) == 1:
            return batches[0]
        columns = {name: [getattr(batch, name) for batch in batches] for name in cls._fields}
        found = {name: np.concatenate(parts) for name, parts in columns.items()}
        for name in ("offsets", "target_offsets"):
            found[name] = np.append(0, np.cumsum(np.concatenate([np.diff(part) for part in columns[name]])))
        return cls(**found)

    def _behaviours(self, rows: Ints | slice) -> dict[str, Any]:
        return {name: getattr(self, name)[rows] for name in ("group", "object", "bucket", "action", "elapsed")}


def bucketize(elapsed: Ints, unit: int | Ints, buckets: int | Ints) -> Ints:  # [N], [N] or one, [N] or one -> [N] int32
    """The time bucket of each elapsed time: [0,1) -> 0, [1,2) -> 1, [2,4) -> 2, …, [2^k, 2^(k+1)) -> k + 1 units.

    elapsed: ticks; unit: ticks in one unit; buckets: how many there are, the last one has no upper end.

    >>> bucketize(np.array([0, 59, 60, 119, 120, 6000]), 60, 4).tolist()
    [0, 0, 1, 1, 2, 3]

    The bucket is the bit length of elapsed // unit. `frexp` reads it from the exponent of a float64, which is exact for
    integers below 2^53. Longer times are clipped to 2^50 units, so bucket 51 is the highest.
    """
    units = np.minimum(elapsed // unit, np.int64(2**50)).astype(np.float64)
    return np.minimum(np.frexp(units)[1], buckets - 1).astype(np.int32)


def ranges(start: Ints, length: Ints) -> Ints:  # [S], [S] -> [sum of the lengths]
    """Ranges one after another: length[0] integers from start[0] on, then length[1] integers from start[1] on, …

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    return np.arange(length.sum()) + np.repeat(start - np.cumsum(length) + length, length)


def pack(schema: Schema, events: Events, samples: Samples, candidates: Ints) -> Batch:
    """The Batch of some samples: S histories and S·R targets.

    events: what the samples' start and end refer to; candidates [S, R]: the objects to rank, the positive first.
    Each array has the dtype that Batch names, whatever the dtype in the samples. Another dtype would make numba compile
    the kernels again.
    """
    S, R = candidates.shape
    length = samples.end - samples.start
    rows = ranges(samples.start, length)  # row i of history b is event start[b] + i
    group = events.group[rows]
    unit = np.array([g.unit for g in schema.groups])[group]
    elapsed = np.repeat(samples.time, length) - events.time[rows]
    buckets = np.array([g.buckets for g in schema.groups])
    label = np.zeros((S, R), np.float32)
    label[:, :1] = 1
    return Batch(
        offsets=np.concatenate([[0], np.cumsum(length)]),
        group=group,
        object=events.object[rows],
        bucket=bucketize(elapsed, unit, buckets[group]),
        action=events.action[rows],
        target_offsets=np.arange(S + 1) * R,
        target_group=np.repeat(samples.group, R).astype(np.int8),
        target_object=candidates.reshape(-1).astype(np.int32),
        label=label.reshape(-1),
        user=(samples.user + 1).astype(np.int32),
        elapsed=(elapsed / unit).astype(np.float32),
        log_q=np.zeros(S * R, np.float32),
    )
