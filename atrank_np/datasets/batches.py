"""The batches of a training run."""

from typing import Any

import numpy as np

from ..arrays import Ints
from ..randomness import stream
from .packing import Batch, pack
from .partition import Partition
from .protocol import Protocol

TOGETHER = 512  # histories that are packed at a time; a small batch alone would spend most of its time in NumPy's calls
DRAWN = 2**25  # negatives that are held at a time: 128 MB


class Batches:
    """The batches of every epoch. Each depends on (seed, epoch, index) alone, so a run can be resumed at any step.

    counts: what a user should know about the batches, in words -> how often; histories: in a batch; per_epoch: batches in
    an epoch; targets: in an epoch.
    """

    order: Ints  # [S] the samples of the epoch, shuffled
    sorted: Ints  # [P] those of a part of the order, which have negatives now
    drawn: Ints  # [P, negatives] theirs
    packed: list[Batch]  # the batches of the block

    def __init__(self, protocol: Protocol) -> None:
        self.schema, self.events, self.train = protocol.schema, protocol.events, protocol.train
        self.negatives, self.config = protocol.negatives, protocol.config
        self.holders, self.partitions, self.sizes = protocol.holders, protocol.partitions, protocol.sizes[:, 0]
        config = self.config
        random = self.holders.count({} if config.pool else self.negatives.uniform(self.train, config.negatives))
        self.counts = {
            f"training negatives among {name} from all objects, because too few were shown": n for name, n in random.items()
        }
        self.weights = protocol.weights if config.negatives_by == "popularity" else None
        self.histories = config.batch_size // (1 + config.negatives)
        self.samples = int(self.sizes.sum())
        self.per_epoch = -(-self.samples // self.histories)
        self.targets = self.samples * (1 + config.negatives)
        self.together = max(1, TOGETHER // self.histories)  # batches that are packed at a time: a block
        fit = max(1, DRAWN // (self.together * self.histories * config.negatives))
        self.blocks = fit if config.fresh_negatives else self.per_epoch  # in a part; what is drawn once is kept whole
        self.epoch = self.part = self.block = -1  # of what is held now; -1: nothing
        self._forget()

    def seen(self, step: int) -> int:
        """The number of targets in the first `step` batches of the run."""
        epochs, batches = divmod(step, self.per_epoch)
        return epochs * self.targets + int(self._seen(batches, self.sizes).sum()) * (1 + self.config.negatives)

    def _seen(self, batches: Ints | int, size: Ints | int) -> Any:
        """How many samples of a partition of this size stand in the first batches of an epoch: of each the same share."""
        return np.minimum(batches * self.histories, self.samples) * size // self.samples

    def _first(self, batch: int) -> int:
        """The place in the order where a batch begins."""
        return int(sum(self._seen(batch, own.train.stop - own.train.start) for own in self.partitions))

    def batch(self, epoch: int, i: int) -> Batch:
        """Batch number i of an epoch. The last one of an epoch may be smaller."""
        block, place = divmod(i, self.together)
        if (epoch, block // self.blocks) != (self.epoch, self.part):
            self._start(epoch, block // self.blocks)
        if block != self.block:
            first, *bounds = [self._first(b) for b in self._batches(block, block + 1)]
            own = self.pack(self.order[first : bounds[-1]]).cut_at([0, *(bound - first for bound in bounds)])
            self.block, self.packed = block, list(map(Batch.join, zip(*self.holders.gather(list(own)))))
        return self.packed[place]

    def _batches(self, block: int, end: int) -> range:
        """The numbers of the batches of some blocks, and the one after them."""
        return range(block * self.together, min(end * self.together, self.per_epoch) + 1)

    def _start(self, epoch: int, part: int) -> None:
        """Draws the order of an epoch, and the negatives of a part of it: of so many blocks as DRAWN allows."""
        config, batches = self.config, self._batches(part * self.blocks, (part + 1) * self.blocks)
        self._forget()
        self.epoch, self.part, self.block = epoch, part, -1
        self.order = self._order(epoch)
        self.sorted = np.sort(self.order[self._first(batches[0]) : self._first(batches[-1])])
        self.drawn = np.zeros((len(self.sorted), 0), np.int32)
        if not config.pool:  # hard negatives are drawn when the batch is trained
            drawn = [self._draw(own, epoch if config.fresh_negatives else 0, part) for own in self.partitions]
            self.drawn = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)

    def _draw(self, own: Partition, epoch: int, part: int) -> Ints:  # -> [n, negatives]
        """The negatives of the samples of a partition in a part of an epoch."""
        some = self.sorted[slice(*np.searchsorted(self.sorted, (own.train.start, own.train.stop)))]
        samples = self.train if len(some) == len(self.train) else self.train.some(some)
        counters = (part, *own.key) if part or own.key else ()
        rng = stream(self.config.seed, "negatives", epoch, *counters)
        return self.negatives.draw(rng, samples, self.config.negatives, self.weights)

    def _order(self, epoch: int) -> Ints:  # -> int32 [S]
        """The samples of an epoch, batch by batch, and in a batch partition by partition."""
        orders, batches = [], []
        for own in self.partitions:
            order = np.arange(own.train.start, own.train.stop, dtype=np.int32)
            stream(self.config.seed, "order", epoch, *own.key).shuffle(order)
            if len(self.partitions) == 1:
                return order
            ends = self._seen(np.arange(1, self.per_epoch + 1), len(order))
            orders.append(order)
            batches.append(np.searchsorted(ends, np.arange(len(order)), "right"))
        return np.concatenate(orders)[np.argsort(np.concatenate(batches), kind="stable")]

    def _forget(self) -> None:
        """Frees the memory of an epoch."""
        self.order, self.drawn, self.packed = np.zeros(0, np.int32), np.zeros((0, 0), np.int32), []

    def pack(self, chosen: Ints) -> Batch:
        """The Batch of some training samples of the part that was started last: their indices in `train`."""
        samples, drawn = self.train.take(chosen), self.drawn[np.searchsorted(self.sorted, chosen)]
        batch = pack(self.schema, self.events, samples, np.concatenate([samples.object[:, None], drawn], axis=1))
        if self.weights is None:
            return batch
        log_q = np.pad(self.negatives.log_q(samples, drawn, self.weights), ((0, 0), (1, 0)))  # 0 for the positive
        return batch._replace(log_q=log_q.reshape(-1))
