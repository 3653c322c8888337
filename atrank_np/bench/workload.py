"""The workload of `bench`: the problem that all contenders get."""

from dataclasses import replace

import numpy as np

from ..config import defaults
from ..datasets.batches import Batches
from ..datasets.electronics_shaped import ITEMS, USERS, electronics_shaped
from ..datasets.packing import pack
from ..datasets.protocol import Protocol
from ..datasets.reading import read_log
from ..parameters import has_unknown, normal
from ..randomness import stream
from ..runs.trained import assemble

POOL = 40  # batches that are timed, and that an opponent may sort by length


def atrank_flops(batch, D=128):
    """Floating-point operations of a training step: 8 products with a [D,D] matrix for a behaviour, 4 for a target, and
    D numbers of scores and of values for a pair of the attention; backward takes twice what forward takes. So the layers
    and the kernels do it."""
    n, q = np.diff(batch.offsets), np.diff(batch.target_offsets)
    return 3 * (2 * D * D * (8 * n.sum() + 4 * q.sum()) + 4 * D * (n * (n + q)).sum())


class Problem:
    """What every contender starts from, equal in every process: a log, a model, its parameters, its batches."""

    def __init__(self, batch=32, threads=1, backend="numba", users=USERS, items=ITEMS, length=None, data=None,
                 model="atrank"):  # fmt: skip
        """length: all samples have histories of so many behaviours; data: a folder with the log, all its groups ranked."""
        self.config = replace(  # what a competitor clips is left out, for its opponent too
            defaults(model), batch_size=batch, backend=backend, threads=threads, shards=max(2, threads), clip=0.0
        )
        self.log = electronics_shaped(users, items, length and length + 2) if data is None else read_log(data)
        if data is not None:
            self.log.schema = self.log.schema.choose(targets=[group.name for group in self.log.schema.groups])
        self.protocol = Protocol(self.log, self.config)
        if length:
            train = self.protocol.train
            kept = train.end - train.start == length
            self.protocol.train = replace(train, place=train.place[kept], end=train.end[kept])
        trained = assemble(self.protocol)
        self.model, self.params, self.target_action = trained.model(), trained.params, trained.target_actions[0]
        self.category = next(iter(self.log.catalogues.values())).features.get("category")
        rng = stream(1, "initialisation")
        for name, w in self.params.items():  # as if trained: with biases of 0, equal scores would prove less
            w += normal(rng, w.shape, 0.05, w.dtype)
            if has_unknown(name):
                w[0] = 0
        self.stream = Batches(self.protocol)
        self.stream.batch(0, 0)  # draws the order and the negatives of the first epoch

    def pool(self, count=POOL, by_length=False):
        """The first batches of the first epoch; by_length: the same samples, each batch of like lengths, in random order."""
        size = self.stream.histories
        chosen = self.stream.order[: count * size]
        if by_length:
            length = (self.protocol.train.end - self.protocol.train.start)[chosen]
            starts = size * stream(0, "order").permutation(len(chosen) // size)
            chosen = chosen[np.argsort(length, kind="stable")][(starts[:, None] + np.arange(size)).reshape(-1)]
        return [self.stream.pack(chosen[start : start + size]) for start in range(0, len(chosen), size)]

    def one_group(self, batch):
        """The same Batch with all rows and targets of the first group: as many, of the same histories."""
        first = self.log.schema.groups[0]
        objects = len(self.log.catalogues[first.name].objects)
        return batch._replace(
            group=np.zeros_like(batch.group), object=batch.object % objects, bucket=np.minimum(batch.bucket, first.buckets - 1),
            target_group=np.zeros_like(batch.target_group), target_object=batch.target_object % objects)  # fmt: skip

    def test(self, number):
        """One test sample."""
        return self.protocol.test.take(slice(number, number + 1))

    def history(self, sample):
        """The Batch of one history; its target is of no use."""
        return pack(self.log.schema, self.protocol.events, sample, np.ones((1, 1), np.int32))
