"""A training step as two compiled calls: `shard`, forward and backward of a part of the batch, and `update`.

They call kernels and matrix products, and hold no formula of their own. Why compiled whole: a call from Python costs
microseconds, and a step has about forty products of a few dozen rows.
    1. Each shard goes forward and backward, chunk by chunk: so many histories that their rows stay in the cache. Dense
       gradients add up in its own dP, the embeddings' gradients stay in its du. Shards may run on threads of their own.
    2. The update takes the shards in order, so no bit depends on the number of threads. Threads share its parameters.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .attention import attend_backward, attend_forward
from .chunks import SpaceAt, behaviour, common_space, common_space_backward, next_chunk, number_rows
from .embedding import scatter
from .feedforward import (
    Mask,
    add_rows,
    dropout,
    layer_norm_backward,
    relu_backward,
    relu_forward,
    residual_layer_norm_forward,
)
from .products import product, product_of_transpose, transpose
from .ranking import DeepAt, deep_backward, deep_forward, dot_backward, dot_forward, pairwise, pointwise
from .vectors import STRIP, load, size, splat, store

KERNEL = {"error_model": "numpy", "cache": True, "nogil": True}
# Called from compiled code alone: without the wrappers for Python, whose arguments are long, compiling is quicker.
INNER = KERNEL | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
KEPT = 128  # histories up to this length keep their attention weights for the backward pass
BUFFERS = 18  # rows of D numbers that `shard` has names for
DECAYED, TABLE, REST = 0, 1, 2  # dense parameters: of the weight decay, of that of tables (through their scale), of none
KEY_C, VALUE_C = 9, 10  # of these: the keys and values of a chunk's vanilla attention


class AttentionAt(NamedTuple):
    """Places of an attention layer's parameters among the dense ones; W is laid out [D, D], memory to key."""

    P_W: int
    P_b: int
    W: int
    Q_W: int
    Q_b: int


class FeedForwardAt(NamedTuple):
    W1: int
    b1: int
    W2: int
    b2: int
    gain: int
    bias: int


class Places(NamedTuple):
    """Where the dense parameters lie in P."""

    space: SpaceAt
    self_attention: AttentionAt
    self_feed_forward: FeedForwardAt
    vanilla_attention: AttentionAt
    vanilla_feed_forward: FeedForwardAt
    deep: DeepAt


class Settings(NamedTuple):
    """What a step is told besides arrays."""

    deep: bool
    pairwise: bool
    dropout: float  # rate
    key: int  # of the dropout hash
    columns: np.ndarray  # [D] the number that a kernel's column has in the parameters' own order
    scale: float  # the tables are stored divided by it
    norm: float  # 1 / (targets, or pairs) of the batch


@njit(**INNER)
def project(x, x0, rows, P, W, b, y, y0, D):
    """y = relu(x W + b), a perceptron of the common space."""
    product(x, x0, rows, size(D), P, W, size(D), y, y0, False)
    relu_forward(y, y0, rows, P, b, D)


@njit(**INNER)
def project_backward(dy, dy0, y, y0, x, x0, rows, PT, dP, W, b, dx, dx0, add, D):
    """dy becomes the gradient before the relu; dx (+)= its part; the parameters' gradients are added to."""
    relu_backward(dy, dy0, y, y0, rows, dP, b, D)
    product_of_transpose(x, x0, rows, size(D), dy, dy0, size(D), dP, W)
    product(dy, dy0, rows, size(D), PT, W, size(D), dx, dx0, add)


@njit(**INNER)
def feed_forward(x, x0, rows, P, at, mask, hidden, out, normed, rstd, y, D):
    """F_self or F_vanilla of rows x0 … of its buffers; mask: of its dropout."""
    project(x, x0, rows, P, at.W1, at.b1, hidden, x0, D)  # F1
    product(hidden, x0, rows, size(D), P, at.W2, size(D), out, x0, False)  # F2
    b2 = at.b2
    if mask.rate > 0:
        dropout(out, x0, rows, P, b2, mask, out, x0, D)  # F3
        b2 = -1
    residual_layer_norm_forward(x, x0, out, x0, rows, P, b2, at.gain, at.bias, normed, rstd, y, x0, D)  # F4


@njit(**INNER)
def feed_forward_backward(dy, x0, rows, x, P, PT, dP, at, mask, hidden, normed, rstd, dhidden, spare, D):
    """dy becomes dx in place."""
    layer_norm_backward(dy, x0, normed, rstd, x0, rows, P, at.gain, dP, at.bias, D)  # B4
    dout = dy
    if mask.rate > 0:
        dropout(dy, x0, rows, P, -1, mask, spare, x0, D)  # B3
        dout = spare
    add_rows(dout, x0, rows, dP, at.b2, D)  # B2
    product_of_transpose(hidden, x0, rows, size(D), dout, x0, size(D), dP, at.W2)
    product(dout, x0, rows, size(D), PT, at.W2, size(D), dhidden, x0, False)
    project_backward(dhidden, x0, hidden, x0, x, x0, rows, PT, dP, at.W1, at.b1, dy, x0, True, D)  # B1 and the residual


@njit(**KERNEL)
def shard(held, settings, batch, s, train, D, K):
    """Forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    Rows 0 … n-1 of a buffer are a chunk's behaviours, rows n … n+q-1 its targets: S holds h_t there, X what enters
    F_vanilla, C what leaves it. Names are those of `models.atrank` and `layers`.
    """
    features, places, P, PT, tables, biases, work = held.value
    rows, rstd, weight, scratch, dP = work.rows[s], work.rstd[s], work.weight[s], work.scratch[s], work.dP[s]
    S, query, key, value, X, hidden = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    out, normed, C, key_C, value_C, he = rows[6], rows[7], rows[8], rows[KEY_C], rows[VALUE_C], rows[11]
    deep_hidden, dS, d1, d2, d3, spare = rows[12], rows[13], rows[14], rows[15], rows[16], rows[17]
    f, df, offset, number = work.local[s, 0], work.local[s, 1], work.offset[s], work.number[s]
    own, vanilla = places.self_attention, places.vanilla_attention
    own_ff, vanilla_ff = places.self_feed_forward, places.vanilla_feed_forward
    scale, width, spaces, N = P.dtype.type(settings.scale), size(D), size(K), len(batch.object)
    if train:
        dP[:] = 0
    work.loss[s] = 0
    # Typed zeros: numba compiles a function anew for an argument that is the literal 0.
    zero = np.int64(0)
    first = row0 = u0 = zero
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        number_rows(batch, work, s, first, last, n, row0)
        own_mask = Mask(settings.dropout, settings.key, 0, number, zero, zero, settings.columns)
        vanilla_mask = Mask(settings.dropout, settings.key, 1, number, n, N, settings.columns)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)

        project(S, zero, n, P, own.P_W, own.P_b, query, zero, D)  # (2)
        product(S, zero, n, width, P, own.W, width, key, zero, False)
        project(S, zero, n, P, own.Q_W, own.Q_b, value, zero, D)
        at = zero
        for h in range(last - first):  # (3) to (5)
            a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
            keep = train and m <= KEPT
            attend_forward(query, a, m, key, value, a, m, weight, at, keep, X, a, D, K)
            at += m * m * spaces if keep else 0
        feed_forward(X, zero, n, P, own_ff, own_mask, hidden, out, normed, rstd, C, D)  # (6)

        project(S, n, q, P, vanilla.P_W, vanilla.P_b, query, n, D)  # (7)
        product(C, zero, n, width, P, vanilla.W, width, key_C, zero, False)
        project(C, zero, n, P, vanilla.Q_W, vanilla.Q_b, value_C, zero, D)
        vanilla_at = at
        for h in range(last - first):
            a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
            t, r = n + offset[1, h], offset[1, h + 1] - offset[1, h]
            keep = train and m <= KEPT
            attend_forward(query, t, r, key_C, value_C, a, m, weight, at, keep, X, t, D, K)
            at += r * m * spaces if keep else 0
        feed_forward(X, n, q, P, vanilla_ff, vanilla_mask, hidden, out, normed, rstd, C, D)

        if settings.deep:
            deep_forward(S, n, C, n, q, P, places.deep, he, deep_hidden, f, D)
        else:
            dot_forward(S, n, C, n, q, f, D)
        for i in range(q):
            t = number[n + i] - N
            bias = places.space.item_bias[batch.target_group[t]]
            work.f[t] = f[i] + (biases[bias + batch.target_object[t]] if bias >= 0 else 0)

        if train:
            for h in range(first, last):  # (8)
                t0, t1 = batch.target_offsets[work.histories[s, h]], batch.target_offsets[work.histories[s, h] + 1]
                if settings.pairwise:
                    work.loss[s] += pairwise(work.f, batch.label, settings.norm, work.df, t0, t1)
                else:
                    work.loss[s] += pointwise(work.f, batch.label, settings.norm, work.df, t0, t1)
            for i in range(q):
                df[i] = work.df[number[n + i] - N]
            if settings.deep:
                deep_backward(df, S, n, C, n, q, P, PT, dP, places.deep, he, deep_hidden, spare, dS, n, d1, n, D)
            else:
                dot_backward(df, S, n, C, n, q, dS, n, d1, n, D)

            feed_forward_backward(
                d1, n, q, X, P, PT, dP, vanilla_ff, vanilla_mask, hidden, normed, rstd, d2, spare, D
            )
            at = vanilla_at
            for h in range(last - first):
                a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
                t, r = n + offset[1, h], offset[1, h + 1] - offset[1, h]
                keep = m <= KEPT
                attend_backward(
                    query, d2, t, r, key_C, value_C, d1, d2, a, m, weight, at, keep, d1, t, scratch, D, K
                )
                at += r * m * spaces if keep else 0
            project_backward(d2, n, query, n, S, n, q, PT, dP, vanilla.P_W, vanilla.P_b, dS, n, True, D)
            dC = d3
            project_backward(d2, zero, value_C, zero, C, zero, n, PT, dP, vanilla.Q_W, vanilla.Q_b, dC, zero, False, D)
            product_of_transpose(C, zero, n, width, d1, zero, width, dP, vanilla.W)
            product(d1, zero, n, width, PT, vanilla.W, width, dC, zero, True)

            feed_forward_backward(dC, zero, n, X, P, PT, dP, own_ff, own_mask, hidden, normed, rstd, d2, spare, D)
            dX, dquery, dkey, dvalue, at = dC, d1, d2, spare, zero
            for h in range(last - first):
                a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
                keep = m <= KEPT
                attend_backward(
                    query, dquery, a, m, key, value, dkey, dvalue, a, m, weight, at, keep, dX, a, scratch, D, K
                )
                at += m * m * spaces if keep else 0
            project_backward(dquery, zero, query, zero, S, zero, n, PT, dP, own.P_W, own.P_b, dS, zero, False, D)
            project_backward(dvalue, zero, value, zero, S, zero, n, PT, dP, own.Q_W, own.Q_b, dS, zero, True, D)
            product_of_transpose(S, zero, n, width, dkey, zero, width, dP, own.W)
            product(dkey, zero, n, width, PT, own.W, width, dS, zero, True)

            common_space_backward(features, places.space, PT, dP, batch, work, s, n + q, row0, u0, S, dS, d1, d2, D)
        first, row0, u0 = last, row0 + n + q, u1


@njit(**KERNEL)
def transpose_all(P, PT, pieces, part, parts):
    """The backward pass multiplies by the matrices' transposes: PT holds each at the same place."""
    for m in range(part, len(pieces), parts):
        first, last, rows, columns = pieces[m, 0], pieces[m, 1], pieces[m, 3], pieces[m, 4]
        for place in range(first, last if rows else first, max(rows * columns, 1)):
            transpose(P, place, rows, columns, PT)


@njit(**INNER)
def update_dense(P, PT, dP, pieces, rate, keep, table_rate, part, parts):
    """The part of `update` for the dense parameters. Pieces end on a line of the cache, so whole strips are added."""
    for m in range(part, len(pieces), parts):
        kind = pieces[m, 2]
        shrink = splat(keep if kind == DECAYED else P.dtype.type(1), STRIP)
        pace = splat(table_rate if kind == TABLE else rate, STRIP)
        for i in range(pieces[m, 0], pieces[m, 1], size(STRIP)):
            g = load(dP, i, STRIP)
            for s in range(1, len(dP)):
                g = g + load(dP, s * len(P) + i, STRIP)
            store(P, i, load(P, i, STRIP) * shrink - pace * g)
    transpose_all(P, PT, pieces, part, parts)


@njit(**KERNEL)
def update(held, pieces, batch, rate, keep, table_rate, part, parts):
    """w <- keep w - rate dw for all parameters, from what the shards left in work; and PT, the matrices transposed.

    Each of so many parts takes every parts-th piece of P and the rows of tables whose id leaves `part` over when divided
    by `parts`, and adds up in the order of the shards: neither what runs at the same time nor `parts` changes a bit.
    """
    features, places, P, PT, tables, biases, work = held.value
    update_dense(P, PT, work.dP, pieces, rate, keep, table_rate, part, parts)
    N = len(batch.object)
    for s in range(len(work.count)):
        rows = u = np.int64(0)
        for h in range(work.count[s]):
            b = work.histories[s, h]
            rows += batch.offsets[b + 1] - batch.offsets[b] + batch.target_offsets[b + 1] - batch.target_offsets[b]
        for i in range(rows):
            number = work.order[s, i]
            group, object, _, _ = behaviour(batch, places.space, number)
            scatter(features, tables, table_rate, group, object, work.du[s], u, part, parts)
            u += features.width[group]
            bias = places.space.item_bias[group]
            if number >= N and bias >= 0 and object > 0 and object % parts == part:
                biases[bias + object] -= rate * work.df[number - N]
