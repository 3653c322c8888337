"""The batches of a training run."""

import numpy as np

from ..randomness import stream
from .packing import pack
from .protocol import Protocol

TOGETHER = 512  # histories that are packed at a time: NumPy's calls take as long for the few of a small batch


class Batches:
    """The batches of every epoch, each a function of (seed, epoch, place) alone, so that a run can be resumed anywhere."""

    def __init__(self, protocol: Protocol) -> None:
        self.schema, self.events, self.train = protocol.schema, protocol.events, protocol.train
        self.negatives, self.config = protocol.negatives, protocol.config
        config = self.config
        uniform = self.negatives.uniform(self.train, config.negatives)
        self.counts = {f"training negatives among {name} uniform, for want of shown ones": n for name, n in uniform.items()}
        self.histories = config.batch_size // (1 + config.negatives)
        self.per_epoch = -(-len(self.train) // self.histories)
        self.targets = len(self.train) * (1 + config.negatives)
        self.together = max(1, TOGETHER // self.histories)  # batches
        self.epoch = None

    def seen(self, step):
        """The targets in the first `step` batches of the run."""
        epochs, batches = divmod(step, self.per_epoch)
        return epochs * self.targets + batches * self.config.batch_size

    def batch(self, epoch, i):
        """The Batch number i of an epoch; its last one may be smaller."""
        if epoch != self.epoch:
            config = self.config
            self.epoch, self.order, self.drawn, self.block = epoch, None, None, None  # those of the epoch before can go first
            rng = stream(config.seed, "negatives", epoch if config.fresh_negatives else 0)
            self.drawn = self.negatives.draw(rng, self.train, config.negatives)  # first: it takes the most memory
            self.order = np.arange(len(self.train), dtype=np.int32)
            stream(config.seed, "order", epoch).shuffle(self.order)
        block, place = divmod(i, self.together)
        if block != self.block:
            size = self.together * self.histories
            packed = self.pack(self.order[block * size : (block + 1) * size])
            self.block, self.packed = block, list(packed.cut(self.histories))
        return self.packed[place]

    def pack(self, chosen):
        """The Batch of some samples, their places in an epoch's arrays."""
        samples = self.train.take(chosen)
        candidates = np.concatenate([samples.object[:, None], self.drawn[chosen]], axis=1)
        return pack(self.schema, self.events, samples, candidates)
