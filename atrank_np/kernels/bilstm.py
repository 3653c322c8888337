"""Both Bi-LSTMs: a chunk, forward and backward. Names are those of `models.bilstm`."""

from typing import NamedTuple

import numpy as np

from .attention import Attention, Operands, attend, attend_back, project_operands, project_operands_backward
from .elementwise import clear
from .feedforward import FeedForwardCache, feed_forward, feed_forward_backward, mask_of, new_cache, rows_of_cache
from .jit import ZERO, entry, kernel
from .layout import rows
from .lstm import (
    BACKWARDS,
    FORWARDS,
    LSTM,
    LSTMCache,
    Sides,
    ends_backward,
    ends_forward,
    lstm_backward,
    lstm_forward,
    new_lstm_cache,
    new_sides,
)
from .packed import Matrix
from .products import add_product_of_transpose, product
from .ranking import broadcast_user_backward, broadcast_user_forward
from .step import rank_targets, run
from .workspace import offsets_of


class Parameters(NamedTuple):
    """The dense parameters, the same with the matrices transposed, or their gradients."""

    groups: list  # [GroupParameters]
    deep: object  # Deep, or None
    forwards: LSTM
    backwards: LSTM
    user_W: Matrix  # [2D, D]
    user_b: np.ndarray  # [1, D]


class AttentionParameters(NamedTuple):
    """Those of the Bi-LSTM with attention."""

    groups: list
    deep: object
    forwards: LSTM
    backwards: LSTM
    vanilla: Attention  # its memory: the states of both directions


class Buffers(NamedTuple):
    """Rows of a chunk, for both models. In those of targets S holds h_t."""

    S: np.ndarray  # [R, D]
    key: np.ndarray
    value: np.ndarray
    query: np.ndarray  # of targets
    e: np.ndarray
    user: np.ndarray  # of histories
    dS: np.ndarray
    dkey: np.ndarray
    dvalue: np.ndarray
    dquery: np.ndarray
    de: np.ndarray
    duser: np.ndarray
    Y: Sides  # the states
    ends: Sides  # of histories
    dY: Sides
    dends: Sides
    cache: FeedForwardCache  # of targets
    forwards: LSTMCache
    backwards: LSTMCache


def make_buffers(model, R, dtype):
    D = model.space.width
    forwards, backwards = (new_lstm_cache(R, D, D, dtype) for _ in range(2))
    backwards = backwards._replace(old_h=forwards.old_h, dh=forwards.dh, dc=forwards.dc)  # used by one direction at a time
    plain, sides = (rows(R, D, dtype) for _ in range(12)), (new_sides(R, D, dtype) for _ in range(4))
    return Buffers(*plain, *sides, new_cache(R, D, dtype), forwards, backwards)


@kernel
def bilstm_forward(S, own, offsets, B):  # [n, D], ., [histories+1]
    """Writes B.Y, the states of both directions side by side."""
    lstm_forward(S, own.forwards, offsets, FORWARDS, B.forwards, B.Y.forwards)  # F1, F2
    lstm_forward(S, own.backwards, offsets, BACKWARDS, B.backwards, B.Y.backwards)


@kernel
def bilstm_backward(own_T, d_own, B, dS):  # -> [n, D]
    """Writes dS, from B.dY; adds to d_own."""
    n = len(dS)
    clear(dS)
    lstm_backward(B.dY.forwards[:n], own_T.forwards, d_own.forwards, B.forwards, dS)  # B2, B1
    lstm_backward(B.dY.backwards[:n], own_T.backwards, d_own.backwards, B.backwards, dS)


@kernel
def chunk_step(context, thread, shard):
    """Bi-LSTM: forward, and in training backward, between the common space and its gradient."""
    chunk, own, own_T, d_own, B = shard.chunk, thread.own, thread.own_T, shard.gradients, shard.buffers
    n, q, histories, (offsets, target_offsets) = chunk.n, chunk.q, chunk.last - chunk.first, offsets_of(chunk)
    S, h, e, user, ends = B.S[:n], B.S[n : n + q], B.e[:q], B.user[:histories], B.ends.both[:histories]
    bilstm_forward(S, own, offsets, B)  # F1
    ends_forward(B.Y, offsets, B.ends)  # F2
    product(ends, own.user_W, user)  # F3
    broadcast_user_forward(user, own.user_b, target_offsets, e)  # F3, F4
    dS, dh, de = B.dS[:n], B.dS[n : n + q], B.de[:q]
    rank_targets(context, thread, shard, h, e, dh, de)  # (8)

    if context.settings.train:
        duser = B.duser[:histories]
        broadcast_user_backward(de, target_offsets, d_own.user_b, duser)  # B4, B3
        add_product_of_transpose(ends, duser, d_own.user_W)
        product(duser, own_T.user_W, B.dends.both[:histories])
        ends_backward(B.dends, offsets, B.dY)  # B2
        bilstm_backward(own_T, d_own, B, dS)  # B1


@kernel
def attention_chunk_step(context, thread, shard):
    """Bi-LSTM with attention: the same. Targets attend to the states Y."""
    settings, chunk, work, B = context.settings, shard.chunk, shard.attention, shard.buffers
    own, own_T, d_own = thread.own, thread.own_T, shard.gradients
    n, q, end, (offsets, target_offsets) = chunk.n, chunk.q, chunk.n + chunk.q, offsets_of(chunk)
    S, h, Y, e = B.S[:n], B.S[n:end], B.Y.both[:n], B.e[:q]
    operands, cache = Operands(B.query[:q], B.key[:n], B.value[:n]), rows_of_cache(B.cache, ZERO, q)
    mask = mask_of(settings.dropout, 1, chunk.number[n:end], len(context.batch.object))
    bilstm_forward(S, own, offsets, B)  # F1
    project_operands(own.vanilla, h, Y, operands)  # F2 (7)
    attend(operands, target_offsets, offsets, work, settings.train, ZERO, cache.x)
    feed_forward(own.vanilla.F, mask, cache, e)
    dS, dh, dY, de = B.dS[:n], B.dS[n:end], B.dY.both[:n], B.de[:q]
    rank_targets(context, thread, shard, h, e, dh, de)  # (8)

    if settings.train:
        gradients = Operands(B.dquery[:q], B.dkey[:n], B.dvalue[:n])
        feed_forward_backward(de, own_T.vanilla.F, d_own.vanilla.F, mask, cache)  # B2
        attend_back(de, operands, target_offsets, offsets, work, ZERO, gradients)
        project_operands_backward(gradients, operands, h, Y, own_T.vanilla, d_own.vanilla, dh, dY)
        bilstm_backward(own_T, d_own, B, dS)  # B1


@entry
def step(context, thread, arrived):
    """A thread's part of a step."""
    run(context, thread, arrived, chunk_step)


@entry
def attention_step(context, thread, arrived):
    run(context, thread, arrived, attention_chunk_step)
