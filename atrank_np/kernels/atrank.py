"""ATRank: (1) to (8) of a chunk, forward and backward. Names are those of `models.atrank`."""

from typing import NamedTuple

import numpy as np

from .attention import Attention, Operands, attend, attend_back, project_operands, project_operands_backward
from .elementwise import add
from .feedforward import FeedForwardCache, feed_forward, feed_forward_backward, mask_of, new_cache, rows_of_cache
from .jit import ZERO, entry, kernel
from .layout import rows
from .step import rank_targets, run
from .workspace import offsets_of


class Parameters(NamedTuple):
    """The dense parameters, the same with the matrices transposed, or their gradients."""

    groups: list  # [GroupParameters]
    deep: object  # Deep, or None
    self: Attention
    vanilla: Attention


class Buffers(NamedTuple):
    """Rows of a chunk. In those of targets S holds h_t, and C what leaves F_vanilla."""

    S: np.ndarray  # [R, D]
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    C: np.ndarray
    key_C: np.ndarray  # of the vanilla attention
    value_C: np.ndarray
    dS: np.ndarray
    dC: np.ndarray
    dquery: np.ndarray
    dkey: np.ndarray
    dvalue: np.ndarray
    cache: FeedForwardCache  # of both feed-forward nets; its dhidden has the memory of dkey, which is written later


def make_buffers(model, R, dtype):
    D = model.space.width
    B = Buffers(*(rows(R, D, dtype) for _ in Buffers._fields[:-1]), new_cache(R, D, dtype))
    return B._replace(cache=B.cache._replace(dhidden=B.dkey))


@kernel
def chunk_step(context, thread, shard):
    """Forward, and in training backward, between the common space and its gradient."""
    settings, chunk, work, B = context.settings, shard.chunk, shard.attention, shard.buffers
    own, own_T, d_own, train = thread.own, thread.own_T, shard.gradients, settings.train
    n, end, (offsets, target_offsets) = chunk.n, chunk.n + chunk.q, offsets_of(chunk)
    S, h, C, e = B.S[:n], B.S[n:end], B.C[:n], B.C[n:end]
    operands = Operands(B.query[:n], B.key[:n], B.value[:n])
    target_operands = Operands(B.query[n:end], B.key_C[:n], B.value_C[:n])
    cache, target_cache = rows_of_cache(B.cache, ZERO, n), rows_of_cache(B.cache, n, end)
    mask = mask_of(settings.dropout, 0, chunk.number, ZERO)
    target_mask = mask_of(settings.dropout, 1, chunk.number[n:end], len(context.batch.object))

    project_operands(own.self, S, S, operands)  # (2)
    kept = attend(operands, offsets, offsets, work, train, ZERO, cache.x)  # (3) to (5)
    if settings.residual:
        add(S, cache.x)
    feed_forward(own.self.F, mask, cache, C)  # (6)
    project_operands(own.vanilla, h, C, target_operands)  # (7)
    attend(target_operands, target_offsets, offsets, work, train, kept, target_cache.x)
    feed_forward(own.vanilla.F, target_mask, target_cache, e)
    dS, dh, dC, de = B.dS[:n], B.dS[n:end], B.dC[:n], B.dC[n:end]
    rank_targets(context, thread, shard, h, e, dh, de)  # (8)

    if train:
        gradients = Operands(B.dquery[:n], B.dkey[:n], B.dvalue[:n])
        target_gradients = Operands(B.dquery[n:end], B.dkey[:n], B.dvalue[:n])
        feed_forward_backward(de, own_T.vanilla.F, d_own.vanilla.F, target_mask, target_cache)
        attend_back(de, target_operands, target_offsets, offsets, work, kept, target_gradients)
        project_operands_backward(target_gradients, target_operands, h, C, own_T.vanilla, d_own.vanilla, dh, dC)
        feed_forward_backward(dC, own_T.self.F, d_own.self.F, mask, cache)
        attend_back(dC, operands, offsets, offsets, work, ZERO, gradients)
        project_operands_backward(gradients, operands, S, S, own_T.self, d_own.self, dS, dS)
        if settings.residual:
            add(dC, dS)


@entry
def step(context, thread, arrived):
    """A thread's part of a step."""
    run(context, thread, arrived, chunk_step)
