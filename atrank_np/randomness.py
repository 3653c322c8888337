"""Everything random is a function of (seed, purpose, epoch or step). The purposes are named here.

With `Config.partition`, order and both kinds of negatives also depend on the partition: it is their last counter.

The simulated shop has streams of its own: its data must stay the same bytes.
"""

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Floats

PURPOSES = {
    "initialisation": 0,  # (seed,): the parameters before the first step
    "order": 1,  # (seed, epoch): the order of an epoch's samples
    "negatives": 2,  # (seed, epoch) or (seed, epoch, part): the negatives that an epoch, or a later part of it, trains on
    "evaluation negatives": 3,  # (eval_seed, group): the negatives that all models and seeds are tested on
    "dropout": 4,  # (seed, step): the key of the hash below
    "gradient check": 5,  # (seed, attempt): where and in which directions gradients are checked
    "simulation": 6,  # (seed,): simulated behaviour logs
    "hard negatives": 7,  # (seed, step): the pool of a batch, and what is drawn from it
}


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A Generator that depends on the arguments alone. KeyError for a purpose that is not in PURPOSES."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSES[purpose], *counters])))


# The finaliser of splitmix64 (Steele, Lea, Flood 2014): two multiplications and three shifts mix all 64 bits.
_WEYL, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def dropout_mask(rate: float, key: int, layer: int, shape: tuple[int, ...], dtype: DTypeLike, first: int = 0) -> Floats:
    """Inverted dropout: rows first, first + 1, … [rows, columns] of 0 (with probability `rate`) and 1/(1 - rate).

    Each number is a hash of (key, layer, row, column), and no generator is advanced. So a backend can compute any row
    alone, in any order.
    """
    rows, columns = np.indices(shape, dtype=np.uint64, sparse=True)
    rows += np.uint64(first)
    z = np.uint64(key) + _WEYL * ((np.uint64(layer) << np.uint64(48)) + (rows << np.uint64(16)) + columns + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    mask: Floats = np.where(uniform < rate, 0, 1 / (1 - rate)).astype(dtype)
    return mask


class Dropout:
    """The masks of one training step, by layer. Where a Dropout may be given, None means no dropout.

    first: by layer, the number in the batch of its first row, where only a part of the batch is computed.
    """

    def __init__(self, rate: float, seed: int, step: int, first: tuple[int, ...] = (0, 0)) -> None:
        self.rate, self.first = rate, first
        self.key = int(stream(seed, "dropout", step).integers(2**63))

    def mask(self, layer: int, shape: tuple[int, ...], dtype: DTypeLike) -> Floats:
        return dropout_mask(self.rate, self.key, layer, shape, dtype, self.first[layer])
