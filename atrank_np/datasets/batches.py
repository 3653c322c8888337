"""The batches of a training run."""

import numpy as np

from ..arrays import Ints
from ..randomness import stream
from .packing import Batch, pack
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
        config = self.config
        random = {} if config.pool else self.negatives.uniform(self.train, config.negatives)
        self.counts = {
            f"training negatives among {name} from all objects, for want of shown ones": n for name, n in random.items()
        }
        self.weights = protocol.weights if config.negatives_by == "popularity" else None
        self.histories = config.batch_size // (1 + config.negatives)
        self.per_epoch = -(-len(self.train) // self.histories)
        self.targets = len(self.train) * (1 + config.negatives)
        self.together = max(1, TOGETHER // self.histories)  # batches that are packed at a time: a block
        fit = max(1, DRAWN // (self.together * self.histories * config.negatives))
        self.blocks = fit if config.fresh_negatives else self.per_epoch  # in a part; what is drawn once is kept whole
        self.epoch = self.part = self.block = -1  # of what is held now; -1: nothing
        self._forget()

    def seen(self, step: int) -> int:
        """The number of targets in the first `step` batches of the run."""
        epochs, batches = divmod(step, self.per_epoch)
        return epochs * self.targets + batches * self.config.batch_size

    def batch(self, epoch: int, i: int) -> Batch:
        """Batch number i of an epoch. The last one of an epoch may be smaller."""
        block, place = divmod(i, self.together)
        if (epoch, block // self.blocks) != (self.epoch, self.part):
            self._start(epoch, block // self.blocks)
        if block != self.block:
            size = self.together * self.histories
            packed = self.pack(self.order[block * size : (block + 1) * size])
            self.block, self.packed = block, list(packed.cut(self.histories))
        return self.packed[place]

    def _start(self, epoch: int, part: int) -> None:
        """Draws the order of an epoch, and the negatives of a part of it: of so many blocks as DRAWN allows."""
        config, size = self.config, self.blocks * self.together * self.histories
        self._forget()
        self.epoch, self.part, self.block = epoch, part, -1
        self.order = np.arange(len(self.train), dtype=np.int32)
        stream(config.seed, "order", epoch).shuffle(self.order)
        self.sorted = np.sort(self.order[part * size : (part + 1) * size])
        samples = self.train if len(self.sorted) == len(self.train) else self.train.take(self.sorted)
        rng = stream(config.seed, "negatives", epoch if config.fresh_negatives else 0, *([part] if part else []))
        if config.pool:  # hard negatives are drawn when the batch is trained
            self.drawn = np.zeros((len(self.sorted), 0), np.int32)
        else:
            self.drawn = self.negatives.draw(rng, samples, config.negatives, self.weights)

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
