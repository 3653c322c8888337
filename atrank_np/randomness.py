"""Everything random is a function of (seed, purpose, epoch or step). The purposes are named here; the simulated shop, whose
bytes must never change, has streams of its own.
"""

import numpy as np

PURPOSES = {
    "initialisation": 0,  # (seed,): the parameters before the first step
    "order": 1,  # (seed, epoch): the order of an epoch's samples
    "negatives": 2,  # (seed, epoch): the negatives that an epoch trains on
    "evaluation negatives": 3,  # (eval_seed, group): the negatives that every model and seed is judged on
    "dropout": 4,  # (seed, step): the key of the hash below
    "gradient check": 5,  # (seed, attempt): where and in which directions gradients are checked
    "simulation": 6,  # (seed,): made-up behaviour logs
}


def stream(seed, purpose, *counters):
    """A numpy Generator that depends on its arguments alone. KeyError for a purpose that has no name here."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSES[purpose], *counters])))


# The finaliser of splitmix64 (Steele, Lea, Flood 2014): two multiplications and three shifts mix all 64 bits.
_WEYL, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def dropout_mask(rate, key, layer, shape, dtype):
    """Inverted dropout: [rows, columns] of 0 (chance `rate`) and 1/(1 - rate).

    Each number is a hash of (key, layer, row, column), with no generator to carry along: any row can be made
    alone, in any order, by any backend.
    """
    rows, columns = np.indices(shape, dtype=np.uint64, sparse=True)
    z = np.uint64(key) + _WEYL * ((np.uint64(layer) << np.uint64(48)) + (rows << np.uint64(16)) + columns + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return np.where(uniform < rate, 0, 1 / (1 - rate)).astype(dtype)


class Dropout:
    """Hands the layers of one step their masks; `None` in its place means no dropout."""

    def __init__(self, rate, seed, step):
        self.rate = rate
        self.key = int(stream(seed, "dropout", step).integers(2**63))

    def mask(self, layer, shape, dtype):
        return dropout_mask(self.rate, self.key, layer, shape, dtype)
