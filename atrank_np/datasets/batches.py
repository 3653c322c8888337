"""The batches of a training run."""

import numpy as np

from ..arrays import Ints
from ..randomness import stream
from .packing import Batch, pack
from .protocol import Protocol

TOGETHER = 512  # histories that are packed at a time; a small batch alone would spend most of its time in NumPy's calls


class Batches:
    """The batches of every epoch. Each depends on (seed, epoch, index) alone, so a run can be resumed at any step.

    counts: what a user should know about the batches, in words -> how often; histories: in a batch; per_epoch: batches in
    an epoch; targets: in an epoch.
    """

    order: Ints  # [S] the samples of the epoch, shuffled
    drawn: Ints  # [S, negatives] of sample 0, 1, …
    packed: list[Batch]  # the batches of the block

    def __init__(self, protocol: Protocol) -> None:
        self.schema, self.events, self.train = protocol.schema, protocol.events, protocol.train
        self.negatives, self.config = protocol.negatives, protocol.config
        config = self.config
        uniform = self.negatives.uniform(self.train, config.negatives)
        self.counts = {f"training negatives among {name} uniform, for want of shown ones": n for name, n in uniform.items()}
        self.histories = config.batch_size // (1 + config.negatives)
        self.per_epoch = -(-len(self.train) // self.histories)
        self.targets = len(self.train) * (1 + config.negatives)
        self.together = max(1, TOGETHER // self.histories)  # batches that are packed at a time: a block
        self.epoch = self.block = -1  # of what is held now: order and drawn, packed; -1: nothing
        self._forget()

    def seen(self, step: int) -> int:
        """The number of targets in the first `step` batches of the run."""
        epochs, batches = divmod(step, self.per_epoch)
        return epochs * self.targets + batches * self.config.batch_size

    def batch(self, epoch: int, i: int) -> Batch:
        """Batch number i of an epoch. The last one of an epoch may be smaller."""
        if epoch != self.epoch:
            self._start(epoch)
        block, place = divmod(i, self.together)
        if block != self.block:
            size = self.together * self.histories
            packed = self.pack(self.order[block * size : (block + 1) * size])
            self.block, self.packed = block, list(packed.cut(self.histories))
        return self.packed[place]

    def _start(self, epoch: int) -> None:
        """Draws the negatives and the order of an epoch."""
        config = self.config
        self._forget()
        self.epoch, self.block = epoch, -1
        rng = stream(config.seed, "negatives", epoch if config.fresh_negatives else 0)
        self.drawn = self.negatives.draw(rng, self.train, config.negatives)  # first: it takes the most memory
        self.order = np.arange(len(self.train), dtype=np.int32)
        stream(config.seed, "order", epoch).shuffle(self.order)

    def _forget(self) -> None:
        """Frees the memory of an epoch."""
        self.order, self.drawn, self.packed = np.zeros(0, np.int32), np.zeros((0, 0), np.int32), []

    def pack(self, chosen: Ints) -> Batch:
        """The Batch of some training samples of the epoch that was started last: their indices in `train`."""
        samples = self.train.take(chosen)
        candidates = np.concatenate([samples.object[:, None], self.drawn[chosen]], axis=1)
        return pack(self.schema, self.events, samples, candidates)
