"""The packed batch: all behaviours of all histories one after another, nothing padded."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """B histories of N behaviours in all, and T targets; the targets of one history share it.

    History b is the rows offsets[b]:offsets[b+1], in time order; its targets are target_offsets[b]:target_offsets[b+1],
    the positives before the negatives. A group is its index in the schema, an object its row in the group's catalogue,
    which holds the features.
    """

    offsets: np.ndarray  # [B+1] int64
    group: np.ndarray  # [N] int8
    object: np.ndarray  # [N] int32
    bucket: np.ndarray  # [N] int32, of the time elapsed to the ranking
    action: np.ndarray  # [N] int16
    target_offsets: np.ndarray  # [B+1] int64
    target_group: np.ndarray  # [T] int8
    target_object: np.ndarray  # [T] int32
    label: np.ndarray  # [T] float32, 1 positive, 0 negative
    user: np.ndarray  # [B] int32, 1 + the user's place in the log, 0 for somebody unknown; BPR-MF alone reads it
    elapsed: np.ndarray  # [N] float32, units of the group up to the ranking; a variant with continuous time reads it

    def with_behaviours(self, rows):
        """Of a batch of one history, the same history made of the behaviours `rows` [n] of it."""
        return self._replace(offsets=np.array([0, len(rows)]), **self._behaviours(rows))

    def with_targets(self, group, objects):
        """Of a batch of one history, the same with the targets `objects` [T] of a group (its index), labels 0."""
        T = len(objects)
        return self._replace(target_offsets=np.array([0, T]), target_group=np.full(T, group, np.int8),
                             target_object=np.asarray(objects, np.int32), label=np.zeros(T, np.float32))  # fmt: skip

    def cut(self, histories):
        """The Batches of so many of its histories each, the last one perhaps of fewer; views of this one's arrays."""
        for first in range(0, len(self.user), histories):
            some = slice(first, first + histories + 1)
            offsets, targets = self.offsets[some], self.target_offsets[some]
            t = slice(targets[0], targets[-1])
            yield Batch(
                **self._behaviours(slice(offsets[0], offsets[-1])),
                offsets=offsets - offsets[0],
                target_offsets=targets - targets[0],
                target_group=self.target_group[t],
                target_object=self.target_object[t],
                label=self.label[t],
                user=self.user[first : first + histories],
            )

    def _behaviours(self, rows):
        return {name: getattr(self, name)[rows] for name in ("group", "object", "bucket", "action", "elapsed")}


def bucketize(elapsed, unit, buckets):  # [N] int, int or [N], int or [N] -> [N] int32
    """[0,1) -> 0, [1,2) -> 1, [2,4) -> 2, …, [2^k, 2^(k+1)) -> k + 1 units; the last bucket is open.

    The bucket is the bit length of elapsed // unit. `frexp` reads it off the exponent of a float64, which holds every
    integer below 2^53 exactly; the clip at 2^50 keeps longer times there, in bucket 51 at most.
    """
    units = np.minimum(elapsed // unit, np.int64(2**50)).astype(np.float64)
    return np.minimum(np.frexp(units)[1], buckets - 1).astype(np.int32)


def ranges(start, length):  # [S], [S] -> [sum of the lengths]
    """start[0], start[0] + 1, …, so many as length[0] says, then those from start[1] on, …"""
    return np.arange(length.sum()) + np.repeat(start - np.cumsum(length) + length, length)


def pack(schema, events, samples, candidates):
    """samples: Samples [S]; candidates [S, R]: object rows to be ranked, the positive first.

    The arrays have the types of a Batch, whatever those of the samples: for others the kernels would be compiled anew.
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
    )
