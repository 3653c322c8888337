"""Hard negatives: sampled where the model itself gives high scores, as in the two-pass sampler of Bai et al. (TAPAS, 2017).

The softmax over a whole catalogue learns most from the few objects that score high. To find some of them, without the user
vector e_t of every object:
    1. a batch draws a pool of R objects, uniformly, without those that the user takes;
    2. all of them are scored with the user vector of the positive, g_j = h_j · e⁺ + bias_j: one matrix product for the batch;
    3. m negatives are drawn for each history, with its own probabilities q = softmax(g).
The loss subtracts log(m q_j) from the score of negative j. Then Σ_j exp(f_j) / (m q_j), over what was drawn, has the mean
Σ_j exp(f_j), over the pool: so the softmax over the positive and m negatives stands for the one over the positive and R.

Objects that were shown and not taken (`negative_actions`) have no part in this: the pool is uniform.
"""

from collections.abc import Iterator

import numpy as np

from .arrays import Floats, Ints
from .backend import Backend
from .datasets.negatives import Negatives
from .datasets.packing import Batch
from .mpi import ranks
from .randomness import stream

TOGETHER = 64  # objects of the pool that are computed as the targets of one empty history
NOTHING = 1e9  # log_q of a negative that does not count, where a user takes the whole pool


def with_hard_negatives(backend: Backend, batch: Batch, negatives: Negatives) -> Batch:
    """A batch of positives, one of each history, with hard negatives beside them, for the next training step."""
    config = backend.config
    rng = stream(config.seed, "hard negatives", backend.step)
    S, m = len(batch.user), config.negatives
    pools = {int(g): _pool(rng, negatives.sizes[g], config.pool) for g in np.unique(batch.target_group)}
    all_targets = _with_pools(batch, pools)
    parts = 1 if backend.name == "numpy" else ranks().size  # last bits of NumPy's products depend on how many rows they have
    cut = list(all_targets.cut(-(-len(all_targets.user) // parts)))
    h, e, bias = map(np.concatenate, zip(*ranks().map(backend.vectors, cut)))
    objects, log_q = np.zeros((S, 1 + m), np.int32), np.zeros((S, 1 + m), np.float32)
    objects[:, 0] = batch.target_object
    first = S
    for g, pool in pools.items():
        rows, own = np.flatnonzero(batch.target_group == g), slice(first, first + len(pool))
        first = own.stop
        scores = (e[rows] @ h[own].T + bias[own]).astype(np.float64)
        place, taken = negatives.taken(g, batch.user[rows] - 1)
        if config.partition:  # each rank knows what its own users take
            place, taken = ranks().stack(place), ranks().stack(taken)
        found = np.minimum(np.searchsorted(pool, taken), len(pool) - 1)
        known = pool[found] == taken
        scores[place[known], found[known]] = -np.inf
        chosen, log_q[rows, 1:] = draw(scores, rng.random((len(rows), m)))
        objects[rows, 1:] = np.where(log_q[rows, 1:] < NOTHING, pool[chosen], 0)
    return batch._replace(
        target_offsets=np.arange(S + 1) * (1 + m),
        target_group=np.repeat(batch.target_group, 1 + m),
        target_object=objects.reshape(-1),
        label=np.tile(np.eye(1, 1 + m, dtype=np.float32)[0], S),
        log_q=log_q.reshape(-1),
    )


def draw(scores: Floats, uniform: Floats) -> tuple[Ints, Floats]:  # [S, R], [S, m] -> [S, m], [S, m]
    """m places of each row with the chances q = softmax(scores), by inversion of their sums, and log(m q).

    uniform: numbers from [0, 1). NOTHING in place of log(m q) where all scores of a row are -inf.
    """
    highest = scores.max(axis=1, keepdims=True)
    some = np.isfinite(highest[:, 0])
    weight = np.exp(scores - np.where(some[:, None], highest, 0))
    sums = np.cumsum(weight, axis=1)
    total = sums[:, -1:]
    # All rows in one search: row s has the sums from s to s + 1.
    steps = sums / np.where(some[:, None], total, 1) + np.arange(len(sums))[:, None]
    flat = np.searchsorted(steps.reshape(-1), uniform + np.arange(len(sums))[:, None], "right")
    place = np.clip(flat - np.arange(len(sums))[:, None] * scores.shape[1], 0, scores.shape[1] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_q = np.log(uniform.shape[1] * np.take_along_axis(weight, place, 1) / total)
    return place, np.where(some[:, None], log_q, NOTHING)


def _pool(rng: np.random.Generator, objects: int, count: int) -> Ints:
    """Sorted objects of a group of which row 0 is the unknown one: `count` different ones, or all."""
    if objects - 1 <= count:
        return np.arange(1, objects)
    return np.sort(1 + rng.choice(objects - 1, count, replace=False, shuffle=False))


def _with_pools(batch: Batch, pools: dict[int, Ints]) -> Batch:
    """The batch with the objects of the pools as further targets, of empty histories that follow its own."""
    blocks: list[tuple[int, Ints]] = list(_blocks(pools))
    group = np.concatenate([np.full(len(block), g, batch.target_group.dtype) for g, block in blocks])
    added, lengths = len(group), [len(block) for _, block in blocks]
    ends = batch.target_offsets[-1] + np.cumsum(lengths)
    return batch._replace(
        offsets=np.append(batch.offsets, np.repeat(batch.offsets[-1], len(blocks))),
        target_offsets=np.append(batch.target_offsets, ends),
        target_group=np.append(batch.target_group, group),
        target_object=np.append(batch.target_object, np.concatenate([block for _, block in blocks]).astype(np.int32)),
        label=np.append(batch.label, np.zeros(added, np.float32)),
        log_q=np.append(batch.log_q, np.zeros(added, np.float32)),
        user=np.append(batch.user, np.zeros(len(blocks), np.int32)),
    )


def _blocks(pools: dict[int, Ints]) -> Iterator[tuple[int, Ints]]:
    for g, pool in pools.items():
        for first in range(0, len(pool), TOGETHER):
            yield g, pool[first : first + TOGETHER]
