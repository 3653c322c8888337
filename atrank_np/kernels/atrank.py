"""The shard of ATRank: (1) to (8) of a part of the batch, forward and backward. Names are those of `models.atrank`."""

from typing import NamedTuple

import numpy as np

from .attention import Attention, Operands, attend, attend_back
from .feedforward import (
    FeedForward,
    FeedForwardCache,
    add,
    feed_forward,
    feed_forward_backward,
    mask_of,
    project,
    project_backward,
    rows_of_cache,
)
from .jit import ZERO, entry, inline, kernel
from .products import add_product_of_transpose, product
from .step import rank_targets, update
from .workspace import begin_shard, common_space, common_space_backward, next_chunk


class Parameters(NamedTuple):
    """The dense parameters, the same with the matrices transposed, or their gradients."""

    groups: list  # [GroupParameters]
    deep: object  # Deep, or None
    self_attention: Attention
    self_feed_forward: FeedForward
    vanilla_attention: Attention
    vanilla_feed_forward: FeedForward


class Buffers(NamedTuple):
    """Rows of a chunk. In those of targets S holds h_t, X what enters F_vanilla, C what leaves it."""

    S: np.ndarray  # [R, D]
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    X: np.ndarray
    hidden: np.ndarray
    out: np.ndarray
    normed: np.ndarray
    C: np.ndarray
    key_C: np.ndarray  # of the vanilla attention
    value_C: np.ndarray
    dS: np.ndarray
    dC: np.ndarray
    dquery: np.ndarray
    dkey: np.ndarray  # before it dhidden of the feed-forward nets
    dvalue: np.ndarray
    rstd: np.ndarray  # [R]


@inline
def cache_of(B):
    """A feed-forward net's cache in the buffers."""
    return FeedForwardCache(B.X, B.hidden, B.out, B.normed, B.rstd, B.dkey)


@kernel
def shard_step(context, thread, s):
    """Forward, and in training backward, of the histories of a shard."""
    batch, settings, shard = context.batch, context.settings, context.shards[s]
    chunk = shard.chunk
    own, own_T, d_own, B, work = thread.own, thread.own_T, shard.gradients, shard.buffers, shard.attention
    layer, layer_T, d_layer = own.self_attention, own_T.self_attention, d_own.self_attention
    vanilla, vanilla_T, d_vanilla = own.vanilla_attention, own_T.vanilla_attention, d_own.vanilla_attention
    begin_shard(shard, settings.train)
    while next_chunk(batch, chunk):
        n, end, histories = chunk.n, chunk.n + chunk.q, chunk.last - chunk.first
        S, query, key, value, h, target_query = B.S[:n], B.query[:n], B.key[:n], B.value[:n], B.S[n:end], B.query[n:end]
        C, key_C, value_C, e = B.C[:n], B.key_C[:n], B.value_C[:n], B.C[n:end]
        own_cache, target_cache = rows_of_cache(cache_of(B), ZERO, n), rows_of_cache(cache_of(B), n, end)
        mask = mask_of(settings.dropout, 0, chunk.number, ZERO)
        target_mask = mask_of(settings.dropout, 1, chunk.number[n:end], len(batch.object))
        common_space(context.groups, own.groups, settings.scale, batch, chunk, B.S[:end], B.dS)  # (1)

        project(S, layer.P_W, layer.P_b, query)  # (2)
        product(S, layer.W, key)
        project(S, layer.Q_W, layer.Q_b, value)
        operands = Operands(query, key, value)
        kept = attend(operands, chunk.offsets, chunk.offsets, histories, work, settings.train, ZERO, own_cache.x)  # (3) to (5)
        if settings.residual:
            add(S, own_cache.x)
        feed_forward(own.self_feed_forward, mask, own_cache, C)  # (6)

        project(h, vanilla.P_W, vanilla.P_b, target_query)  # (7)
        product(C, vanilla.W, key_C)
        project(C, vanilla.Q_W, vanilla.Q_b, value_C)
        target_given = Operands(target_query, key_C, value_C)
        attend(target_given, chunk.target_offsets, chunk.offsets, histories, work, settings.train, kept, target_cache.x)
        feed_forward(own.vanilla_feed_forward, target_mask, target_cache, e)
        dS, dh, dC, de = B.dS[:n], B.dS[n:end], B.dC[:n], B.dC[n:end]
        rank_targets(context, thread, shard, h, e, dh, de)  # (8)

        if settings.train:
            dquery, dtarget_query, dkey, dvalue = B.dquery[:n], B.dquery[n:end], B.dkey[:n], B.dvalue[:n]
            feed_forward_backward(de, own_T.vanilla_feed_forward, d_own.vanilla_feed_forward, target_mask, target_cache)
            gradients = Operands(dtarget_query, dkey, dvalue)
            attend_back(de, target_given, chunk.target_offsets, chunk.offsets, histories, work, kept, gradients)
            add_product_of_transpose(C, dkey, d_vanilla.W)
            product(dkey, vanilla_T.W, dC)
            project_backward(dtarget_query, target_query, h, vanilla_T.P_W, d_vanilla.P_W, d_vanilla.P_b, dh)
            project_backward(dvalue, value_C, C, vanilla_T.Q_W, d_vanilla.Q_W, d_vanilla.Q_b, dC)

            feed_forward_backward(dC, own_T.self_feed_forward, d_own.self_feed_forward, mask, own_cache)
            gradients = Operands(dquery, dkey, dvalue)
            attend_back(dC, operands, chunk.offsets, chunk.offsets, histories, work, ZERO, gradients)
            add_product_of_transpose(S, dkey, d_layer.W)
            product(dkey, layer_T.W, dS)
            project_backward(dquery, query, S, layer_T.P_W, d_layer.P_W, d_layer.P_b, dS)
            project_backward(dvalue, value, S, layer_T.Q_W, d_layer.Q_W, d_layer.Q_b, dS)
            if settings.residual:
                add(dC, dS)
            spares = B.dquery, B.dkey
            common_space_backward(context.groups, own_T.groups, d_own.groups, batch, chunk, B.S[:end], B.dS[:end], spares)


@entry
def step(context, thread, arrived):
    """A thread's part of a step: its shards, then its update."""
    for s in range(thread, context.settings.shards, len(arrived)):
        shard_step(context, context.threads[thread], s)
    update(context, thread, arrived)


def parameters_of(named, model):
    """Parameters, from `spec.Named`."""
    return Parameters(
        groups=named.groups(model.space.groups),
        deep=named.deep(model),
        self_attention=named.attention("self"),
        self_feed_forward=named.feed_forward("self"),
        vanilla_attention=named.attention("vanilla"),
        vanilla_feed_forward=named.feed_forward("vanilla"),
    )
