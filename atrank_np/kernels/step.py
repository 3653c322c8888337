"""One training step as one compiled call. It calls kernels and matrix products, and holds no formula of its own but the loss.

Why: a call from Python costs microseconds and a step has about forty products of a few dozen rows. So forward,
backward and update are compiled together:
    1. each shard of the batch goes forward and backward, chunk by chunk; a chunk is so many histories that their rows
       stay in the cache; dense gradients add up in dP[shard], the embeddings' gradients stay in du[shard];
    2. the dense parameters are updated in slices, from the shards' gradients in shard order; the tables by owner.
Threads share the shards of 1 and the slices and owners of 2, so no bit depends on how many there are.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .attention import attend_backward, attend_forward
from .blas import product, product_by_transpose, product_of_transpose
from .chunks import SpaceAt, behaviour, common_space, common_space_backward, deal, next_chunk, number_rows
from .embedding import scatter
from .feedforward import add_rows, dropout, layer_norm_backward, relu_backward, relu_forward, residual_layer_norm_forward
from .ranking import DeepAt, deep_backward, deep_forward, dot_backward, dot_forward, pairwise, pointwise
from .vectors import size

KERNEL = {"error_model": "numpy", "cache": True, "nogil": True}
KEPT = 128  # histories up to this length keep their attention weights for the backward pass
BUFFERS = 18  # rows of D numbers that `shard` has names for


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


@njit(**KERNEL)
def project(x, x0, rows, P, W, b, y, y0, D):
    """y = relu(x W + b), a perceptron of the common space."""
    product(x, x0, rows, size(D), P, W, size(D), y, y0, False)
    relu_forward(y, y0, rows, P, b, D)


@njit(**KERNEL)
def project_backward(dy, dy0, y, y0, x, x0, rows, P, dP, W, b, dx, dx0, add, D):
    """dy becomes the gradient before the relu; dx (+)= its part; the parameters' gradients are added to."""
    relu_backward(dy, dy0, y, y0, rows, dP, b, D)
    product_of_transpose(x, x0, rows, size(D), dy, dy0, size(D), dP, W)
    product_by_transpose(dy, dy0, rows, size(D), P, W, size(D), dx, dx0, add)


@njit(**KERNEL)
def feed_forward(x, x0, rows, P, at, settings, layer, number, hidden, out, normed, rstd, y, D):
    """F_self or F_vanilla of rows x0 … of its buffers; number: the rows' numbers, for dropout."""
    project(x, x0, rows, P, at.W1, at.b1, hidden, x0, D)  # F1
    product(hidden, x0, rows, size(D), P, at.W2, size(D), out, x0, False)  # F2
    b2 = at.b2
    if settings.dropout > 0:
        dropout(out, x0, rows, P, b2, settings.dropout, settings.key, layer, number, settings.columns, out, x0, D)  # F3
        b2 = -1
    residual_layer_norm_forward(x, x0, out, x0, rows, P, b2, at.gain, at.bias, normed, rstd, y, x0, D)  # F4


@njit(**KERNEL)
def feed_forward_backward(dy, x0, rows, x, P, dP, at, settings, layer, number, hidden, normed, rstd, dhidden, spare, D):
    """dy becomes dx in place."""
    layer_norm_backward(dy, x0, normed, rstd, x0, rows, P, at.gain, dP, at.bias, D)  # B4
    dout = dy
    if settings.dropout > 0:
        dropout(dy, x0, rows, P, -1, settings.dropout, settings.key, layer, number, settings.columns, spare, x0, D)  # B3
        dout = spare
    add_rows(dout, x0, rows, dP, at.b2, D)  # B2
    product_of_transpose(hidden, x0, rows, size(D), dout, x0, size(D), dP, at.W2)
    product_by_transpose(dout, x0, rows, size(D), P, at.W2, size(D), dhidden, x0, False)
    project_backward(dhidden, x0, hidden, x0, x, x0, rows, P, dP, at.W1, at.b1, dy, x0, True, D)  # B1 and the residual


@njit(**KERNEL)
def shard(features, places, P, tables, biases, settings, batch, work, s, train, D, K):
    """Forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    Rows 0 … n-1 of a buffer are a chunk's behaviours, rows n … n+q-1 its targets: S holds h_t there, X what enters
    F_vanilla, C what leaves it. Names are those of `models.atrank` and `layers`.
    """
    rows, rstd, weight, scratch, dP = work.rows[s], work.rstd[s], work.weight[s], work.scratch[s], work.dP[s]
    S, query, key, value, X, hidden = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    out, normed, C, key_C, value_C, he = rows[6], rows[7], rows[8], rows[9], rows[10], rows[11]
    deep_hidden, dS, d1, d2, d3, spare = rows[12], rows[13], rows[14], rows[15], rows[16], rows[17]
    f, df, offset = work.local[s, 0], work.local[s, 1], work.offset[s]
    own, vanilla = places.self_attention, places.vanilla_attention
    own_ff, vanilla_ff = places.self_feed_forward, places.vanilla_feed_forward
    scale, width, spaces, N = P.dtype.type(settings.scale), size(D), size(K), len(batch.object)
    if train:
        dP[:] = 0
    work.loss[s] = 0
    first = row0 = u0 = 0
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        number_rows(batch, work, s, first, last, n, row0)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)

        project(S, 0, n, P, own.P_W, own.P_b, query, 0, D)  # (2)
        product(S, 0, n, width, P, own.W, width, key, 0, False)
        project(S, 0, n, P, own.Q_W, own.Q_b, value, 0, D)
        at = 0
        for h in range(last - first):  # (3) to (5)
            a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
            keep = train and m <= KEPT
            attend_forward(query, a, m, key, value, a, m, weight, at, keep, X, a, D, K)
            at += m * m * spaces if keep else 0
        number = work.number[s]
        feed_forward(X, 0, n, P, own_ff, settings, 0, number, hidden, out, normed, rstd, C, D)  # (6)

        project(S, n, q, P, vanilla.P_W, vanilla.P_b, query, n, D)  # (7)
        product(C, 0, n, width, P, vanilla.W, width, key_C, 0, False)
        project(C, 0, n, P, vanilla.Q_W, vanilla.Q_b, value_C, 0, D)
        vanilla_at = at
        for h in range(last - first):
            a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
            t, r = n + offset[1, h], offset[1, h + 1] - offset[1, h]
            keep = train and m <= KEPT
            attend_forward(query, t, r, key_C, value_C, a, m, weight, at, keep, X, t, D, K)
            at += r * m * spaces if keep else 0
        feed_forward(X, n, q, P, vanilla_ff, settings, 1, number[n:] - N, hidden, out, normed, rstd, C, D)

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
                deep_backward(df, S, n, C, n, q, P, dP, places.deep, he, deep_hidden, spare, dS, n, d1, n, D)
            else:
                dot_backward(df, S, n, C, n, q, dS, n, d1, n, D)

            feed_forward_backward(
                d1, n, q, X, P, dP, vanilla_ff, settings, 1, number[n:] - N, hidden, normed, rstd, d2, spare, D
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
            project_backward(d2, n, query, n, S, n, q, P, dP, vanilla.P_W, vanilla.P_b, dS, n, True, D)
            dC = d3
            project_backward(d2, 0, value_C, 0, C, 0, n, P, dP, vanilla.Q_W, vanilla.Q_b, dC, 0, False, D)
            product_of_transpose(C, 0, n, width, d1, 0, width, dP, vanilla.W)
            product_by_transpose(d1, 0, n, width, P, vanilla.W, width, dC, 0, True)

            feed_forward_backward(dC, 0, n, X, P, dP, own_ff, settings, 0, number, hidden, normed, rstd, d2, spare, D)
            dX, dquery, dkey, dvalue, at = dC, d1, d2, spare, 0
            for h in range(last - first):
                a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
                keep = m <= KEPT
                attend_backward(
                    query, dquery, a, m, key, value, dkey, dvalue, a, m, weight, at, keep, dX, a, scratch, D, K
                )
                at += m * m * spaces if keep else 0
            project_backward(dquery, 0, query, 0, S, 0, n, P, dP, own.P_W, own.P_b, dS, 0, False, D)
            project_backward(dvalue, 0, value, 0, S, 0, n, P, dP, own.Q_W, own.Q_b, dS, 0, True, D)
            product_of_transpose(S, 0, n, width, dkey, 0, width, dP, own.W)
            product_by_transpose(dkey, 0, n, width, P, own.W, width, dS, 0, True)

            common_space_backward(features, places.space, P, dP, batch, work, s, n + q, row0, u0, S, dS, d1, d2, D)
        first, row0, u0 = last, row0 + n + q, u1


@njit(**KERNEL)
def update(features, space, P, parts, tables, biases, batch, work, rate, keep, table_rate, t, threads):
    """Thread t's share of w <- keep w - rate dw: a slice of the dense parameters, and its rows of the tables.

    P has three parts, from parts[i] to parts[i+1]: matrices, which shrink; the time and action tables, which shrink
    through table_scale as all tables do; biases and gains, which do not.
    """
    for part in range(3):
        begin, end = parts[part], parts[part + 1]
        first, last = begin + (end - begin) * t // threads, begin + (end - begin) * (t + 1) // threads
        w, shrink = P[first:last], keep if part == 0 else P.dtype.type(1)
        pace = table_rate if part == 1 else rate
        if len(work.count) == 2:  # the usual case in one pass over memory; the sum is the same
            g0, g1 = work.dP[0, first:last], work.dP[1, first:last]
            for i in range(len(w)):
                w[i] = w[i] * shrink - pace * (g0[i] + g1[i])
        else:
            total = work.dP[0, first:last]
            for s in range(1, len(work.count)):
                g = work.dP[s, first:last]
                for i in range(len(w)):
                    total[i] += g[i]
            for i in range(len(w)):
                w[i] = w[i] * shrink - pace * total[i]
    N = len(batch.object)
    for s in range(len(work.count)):
        rows = u = 0
        for h in range(work.count[s]):
            b = work.histories[s, h]
            rows += batch.offsets[b + 1] - batch.offsets[b] + batch.target_offsets[b + 1] - batch.target_offsets[b]
        for i in range(rows):
            number = work.order[s, i]
            group, object, _, _ = behaviour(batch, space, number)
            scatter(features, tables, table_rate, group, object, work.du[s], u, t, threads)
            u += features.width[group]
            bias = space.item_bias[group]
            if number >= N and bias >= 0 and object > 0 and object % threads == t:
                biases[bias + object] -= rate * work.df[number - N]


# numba's parallel loops take a named tuple, but not one inside another, so Places comes in as its six parts. And its
# cache does not see `parallel=`: the parallel twins need functions, and code, of their own.
@njit(**KERNEL)
def forward_backward(features, space, own, own_ff, vanilla, vanilla_ff, deep, P, tables, biases, settings, batch, work, train, D, K):
    """All shards, on one thread."""
    places = Places(space, own, own_ff, vanilla, vanilla_ff, deep)
    deal(batch, work)
    for s in range(len(work.count)):
        shard(features, places, P, tables, biases, settings, batch, work, s, train, D, K)


@njit(parallel=True, **KERNEL)
def forward_backward_parallel(
    features, space, own, own_ff, vanilla, vanilla_ff, deep, P, tables, biases, settings, batch, work, train, D, K
):
    """All shards, shared by numba's threads."""
    deal(batch, work)
    for s in prange(len(work.count)):
        places = Places(space, own, own_ff, vanilla, vanilla_ff, deep)
        shard(features, places, P, tables, biases, settings, batch, work, s, train, D, K)


@njit(**KERNEL)
def update_all(features, space, P, parts, tables, biases, batch, work, rate, keep, table_rate, threads):
    """Every share of the update, on one thread."""
    for t in range(threads):
        update(features, space, P, parts, tables, biases, batch, work, rate, keep, table_rate, t, threads)


@njit(parallel=True, **KERNEL)
def update_all_parallel(features, space, P, parts, tables, biases, batch, work, rate, keep, table_rate, threads):
    """Every share of the update, shared by numba's threads."""
    for t in prange(threads):
        update(features, space, P, parts, tables, biases, batch, work, rate, keep, table_rate, t, threads)
