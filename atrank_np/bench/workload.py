"""The workload of `bench`: the problem that all contenders get."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..arrays import Ints
from ..config import defaults
from ..datasets.batches import Batches
from ..datasets.electronics_shaped import ITEMS, USERS, electronics_shaped
from ..datasets.packing import Batch, pack
from ..datasets.protocol import Protocol
from ..datasets.reading import read_log
from ..datasets.samples import Samples
from ..parameters import has_unknown, normal
from ..randomness import stream
from ..runs.trained import assemble

POOL = 40  # batches that are timed, and that an opponent may sort by length


def atrank_flops(batch: Batch, D: int = 128) -> float:
    """Floating-point operations of a training step.

    Forward: 8 products with a [D,D] matrix for each behaviour, and 4 for each target. A pair in an attention has 2 D
    multiplications and additions, for its score and for its weighted value. Backward takes twice as many as forward.
    """
    n, q = np.diff(batch.offsets), np.diff(batch.target_offsets)
    return 3 * float(2 * D * D * (8 * n.sum() + 4 * q.sum()) + 4 * D * (n * (n + q)).sum())


class Problem:
    """What every contender starts from, equal in every process: a log, a model, its parameters, its batches."""

    def __init__(
        self,
        batch: int = 32,
        threads: int = 1,
        backend: str = "numba",
        users: int = USERS,
        items: int = ITEMS,
        length: int | None = None,
        data: Path | None = None,
        model: str = "atrank",
        shards: int = 0,
    ) -> None:
        """length: the number of behaviours in every history. data: a folder with the log; all its groups are ranked."""
        shards = shards or (1 if backend == "numpy" else max(2, threads))
        self.config = replace(  # clip 0: neither a competitor nor its opponent clips gradients here
            defaults(model), batch_size=batch, backend=backend, threads=threads, shards=shards, clip=0.0
        )
        if data is None:
            self.log = electronics_shaped(users, items, length and length + 2)
        else:
            self.log = read_log(data)
            self.log.schema = self.log.schema.choose(targets=[group.name for group in self.log.schema.groups])
        self.protocol = Protocol(self.log, self.config)
        if length:
            train = self.protocol.train
            kept = train.end - train.start == length
            self.protocol.take_samples(train.some(kept), self.protocol.test)
        trained = assemble(self.protocol)
        self.model, self.params, self.target_action = trained.model(), trained.params, trained.target_actions[0]
        catalogue = next(iter(self.log.catalogues.values()))
        self.category: Ints | None = catalogue.codes("category") if "category" in catalogue.features else None
        rng = stream(1, "initialisation")
        for name, w in self.params.items():  # as if trained: biases of 0 would hide errors in how they are used
            w += normal(rng, w.shape, 0.05, w.dtype)
            if has_unknown(name):
                w[0] = 0
        self.stream = Batches(self.protocol)
        self.stream.batch(0, 0)  # draws the order and the negatives of the first epoch

    def pool(self, count: int = POOL, by_length: bool = False) -> list[Batch]:
        """The first batches of the first epoch. by_length: the same samples, sorted by length, batches in random order."""
        size = self.stream.histories
        chosen = self.stream.order[: count * size]
        if by_length:
            length = (self.protocol.train.end - self.protocol.train.start)[chosen]
            starts = size * stream(0, "order").permutation(len(chosen) // size)
            chosen = chosen[np.argsort(length, kind="stable")][(starts[:, None] + np.arange(size)).reshape(-1)]
        return [self.stream.pack(chosen[start : start + size]) for start in range(0, len(chosen), size)]

    def one_group(self, batch: Batch) -> Batch:
        """The same histories as if all behaviours and targets were of the first group."""
        first = self.log.schema.groups[0]
        objects = len(self.log.catalogues[first.name].objects)
        return batch._replace(
            group=np.zeros_like(batch.group),
            object=batch.object % objects,
            bucket=np.minimum(batch.bucket, first.buckets - 1),
            target_group=np.zeros_like(batch.target_group),
            target_object=batch.target_object % objects,
        )

    def test(self, number: int) -> Samples:
        """One test sample."""
        return self.protocol.test.take(slice(number, number + 1))

    def history(self, sample: Samples) -> Batch:
        """The Batch of one history; its target is not used."""
        return pack(self.log.schema, self.protocol.events, sample, np.ones((1, 1), np.int32))
