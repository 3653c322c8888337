"""The shards of both Bi-LSTMs, forward and backward. Names are those of `models.bilstm`."""

from typing import NamedTuple

import numpy as np

from .attention import Attention, Operands, attend, attend_back
from .feedforward import FeedForward, FeedForwardCache, feed_forward, feed_forward_backward, mask_of, project, project_backward
from .jit import ZERO, entry, kernel
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
    new_cache,
    new_sides,
)
from .packed import Matrix
from .products import add_product_of_transpose, product
from .ranking import broadcast_user_backward, broadcast_user_forward
from .simd import zeros
from .step import rank_targets, update
from .workspace import begin_shard, common_space, common_space_backward, next_chunk


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
    vanilla_attention: Attention  # its W and Q_W are [2D, D]
    vanilla_feed_forward: FeedForward


class Buffers(NamedTuple):
    """Rows of a chunk, for both models. In those of targets S holds h_t. Some have a row for each target or history."""

    S: np.ndarray  # [R, D]
    forwards: LSTMCache
    backwards: LSTMCache
    Y: Sides  # the states
    ends: Sides  # of histories
    user: np.ndarray
    key: np.ndarray
    value: np.ndarray
    query: np.ndarray  # this one to e: of targets
    X: np.ndarray
    hidden: np.ndarray
    out: np.ndarray
    normed: np.ndarray
    rstd: np.ndarray  # [R]
    e: np.ndarray
    dS: np.ndarray
    dY: Sides
    dends: Sides
    duser: np.ndarray
    dkey: np.ndarray
    dvalue: np.ndarray
    dquery: np.ndarray
    dhidden: np.ndarray
    de: np.ndarray


def other_buffers(model, R, dtype):
    """The buffers that are no rows of D numbers, by name."""
    D = model.space.width
    forwards, backwards = (new_cache(R, D, D, dtype) for _ in range(2))
    backwards = backwards._replace(old_h=forwards.old_h, dh=forwards.dh, dc=forwards.dc)  # in use for one at a time
    sides = {name: new_sides(R, D, dtype) for name in ("Y", "ends", "dY", "dends")}
    return {"forwards": forwards, "backwards": backwards, **sides}


@kernel
def bilstm_forward(S, own, offsets, B):  # [n, D], ., [histories+1]
    """Writes B.Y, the states of both directions side by side."""
    lstm_forward(S, own.forwards, offsets, FORWARDS, B.forwards, B.Y.forwards)  # F1, F2
    lstm_forward(S, own.backwards, offsets, BACKWARDS, B.backwards, B.Y.backwards)


@kernel
def bilstm_backward(own_T, d_own, B, dS):  # -> [n, D]
    """Writes dS, from B.dY; adds to d_own."""
    n = len(dS)
    for i in range(n):
        dS[i] = zeros(dS)
    lstm_backward(B.dY.forwards[:n], own_T.forwards, d_own.forwards, B.forwards, dS)  # B2, B1
    lstm_backward(B.dY.backwards[:n], own_T.backwards, d_own.backwards, B.backwards, dS)


@kernel
def shard_step(context, thread, s):
    """Bi-LSTM: forward, and in training backward, of the histories of a shard."""
    batch, settings, shard = context.batch, context.settings, context.shards[s]
    chunk, own, own_T, d_own, B = shard.chunk, thread.own, thread.own_T, shard.gradients, shard.buffers
    begin_shard(shard, settings.train)
    while next_chunk(batch, chunk):
        n, q, end, histories = chunk.n, chunk.q, chunk.n + chunk.q, chunk.last - chunk.first
        S, h, e, user, ends = B.S[:n], B.S[n:end], B.e[:q], B.user[:histories], B.ends.both[:histories]
        offsets, target_offsets = chunk.offsets[: histories + 1], chunk.target_offsets[: histories + 1]
        common_space(context.groups, own.groups, settings.scale, batch, chunk, B.S[:end], B.dS)  # (1)

        bilstm_forward(S, own, offsets, B)  # F1
        ends_forward(B.Y, offsets, B.ends)  # F2
        product(ends, own.user_W, user)  # F3
        broadcast_user_forward(user, own.user_b, target_offsets, e)  # F3, F4
        dS, dh, de = B.dS[:n], B.dS[n:end], B.de[:q]
        rank_targets(context, thread, shard, h, e, dh, de)  # (8)

        if settings.train:
            duser = B.duser[:histories]
            broadcast_user_backward(de, target_offsets, d_own.user_b, duser)  # B4, B3
            add_product_of_transpose(ends, duser, d_own.user_W)
            product(duser, own_T.user_W, B.dends.both[:histories])
            ends_backward(B.dends, offsets, B.dY)  # B2
            bilstm_backward(own_T, d_own, B, dS)  # B1
            spares = B.dkey, B.dvalue
            common_space_backward(context.groups, own_T.groups, d_own.groups, batch, chunk, B.S[:end], B.dS[:end], spares)


@kernel
def attention_shard_step(context, thread, s):
    """Bi-LSTM with attention: the same. Targets attend to the states Y."""
    batch, settings, shard = context.batch, context.settings, context.shards[s]
    chunk, own, own_T, d_own, B = shard.chunk, thread.own, thread.own_T, shard.gradients, shard.buffers
    work, layer, layer_T = shard.attention, own.vanilla_attention, own_T.vanilla_attention
    d_layer = d_own.vanilla_attention
    begin_shard(shard, settings.train)
    while next_chunk(batch, chunk):
        n, q, end, histories = chunk.n, chunk.q, chunk.n + chunk.q, chunk.last - chunk.first
        S, h, Y, key, value, query, e = B.S[:n], B.S[n:end], B.Y.both[:n], B.key[:n], B.value[:n], B.query[:q], B.e[:q]
        cache = FeedForwardCache(B.X[:q], B.hidden[:q], B.out[:q], B.normed[:q], B.rstd[:q], B.dhidden[:q])
        mask = mask_of(settings.dropout, 1, chunk.number[n:end], len(batch.object))
        common_space(context.groups, own.groups, settings.scale, batch, chunk, B.S[:end], B.dS)  # (1)

        bilstm_forward(S, own, chunk.offsets[: histories + 1], B)  # F1
        project(h, layer.P_W, layer.P_b, query)  # F2 (7)
        product(Y, layer.W, key)
        project(Y, layer.Q_W, layer.Q_b, value)
        operands = Operands(query, key, value)
        attend(operands, chunk.target_offsets, chunk.offsets, histories, work, settings.train, ZERO, cache.x)
        feed_forward(own.vanilla_feed_forward, mask, cache, e)
        dS, dh, dY, de = B.dS[:n], B.dS[n:end], B.dY.both[:n], B.de[:q]
        rank_targets(context, thread, shard, h, e, dh, de)  # (8)

        if settings.train:
            dquery, dkey, dvalue = B.dquery[:q], B.dkey[:n], B.dvalue[:n]
            feed_forward_backward(de, own_T.vanilla_feed_forward, d_own.vanilla_feed_forward, mask, cache)  # B2
            gradients = Operands(dquery, dkey, dvalue)
            attend_back(de, operands, chunk.target_offsets, chunk.offsets, histories, work, ZERO, gradients)
            project_backward(dquery, query, h, layer_T.P_W, d_layer.P_W, d_layer.P_b, dh)
            add_product_of_transpose(Y, dkey, d_layer.W)
            product(dkey, layer_T.W, dY)
            project_backward(dvalue, value, Y, layer_T.Q_W, d_layer.Q_W, d_layer.Q_b, dY)
            bilstm_backward(own_T, d_own, B, dS)  # B1
            spares = B.dkey, B.dvalue
            common_space_backward(context.groups, own_T.groups, d_own.groups, batch, chunk, B.S[:end], B.dS[:end], spares)


@entry
def step(context, thread, arrived):
    """A thread's part of a step: its shards, then its update."""
    for s in range(thread, context.settings.shards, len(arrived)):
        shard_step(context, context.threads[thread], s)
    update(context, thread, arrived)


@entry
def attention_step(context, thread, arrived):
    for s in range(thread, context.settings.shards, len(arrived)):
        attention_shard_step(context, context.threads[thread], s)
    update(context, thread, arrived)


def parameters_of(named, model):
    """Parameters, from `spec.Named`."""
    return Parameters(*both_directions(named, model), named.matrix("user.W"), named.vector("user.b"))


def attention_parameters_of(named, model):
    return AttentionParameters(*both_directions(named, model), named.attention("vanilla"), named.feed_forward("vanilla"))


def both_directions(named, model):
    return named.groups(model.space.groups), named.deep(model), named.lstm("forwards"), named.lstm("backwards")
