"""numba twins of `layers.attention`: (3) to (5) for one history at a time, in all spaces at once.

Here the space index is innermost: column j·K + k is number j of space k. So a query times a key, number by number and summed
by space, is the score of all K spaces at once, and the softmax runs in K lanes in parallel.

Queries go in pairs, so that what is loaded serves two; an odd last query is paired with itself, and the copy's gradient is
zero. Scores and weights of a pair lie side by side: row j has the K of the one, then the K of the other.
"""

from typing import NamedTuple

import numpy as np

from .elementwise import clear, section
from .feedforward import FeedForward, project, project_backward
from .jit import inline, kernel
from .packed import Matrix
from .products import add_product_of_transpose, product
from .simd import columns, dots, exp, half, load, maximum, multiply_add, piece, size, splat, spread, store, zeros

KEPT = 128  # histories up to this length keep their attention weights for the backward pass


class Attention(NamedTuple):
    """The parameters of an attention layer and of the net behind it, the same with the matrices transposed, or their gradients.

    Keys and values are made of a memory of rows of width M.
    """

    P_W: Matrix  # [D, D]
    P_b: np.ndarray  # [1, D]
    W: Matrix  # [M, D] of all spaces
    Q_W: Matrix  # [M, D]
    Q_b: np.ndarray  # [1, D]
    F: FeedForward


class Operands(NamedTuple):
    """What attends and what is attended to, or their gradients."""

    query: np.ndarray  # [q, D]
    key: np.ndarray  # [n, D]
    value: np.ndarray  # [n, D]


class AttentionWork(NamedTuple):
    """Workspace of a shard."""

    weight: np.ndarray  # [., 2K] attention weights of the chunk: those that are kept, and a pair's
    dscore: np.ndarray  # [n, 2K] of a pair of queries, for the longest history


@inline
def project_operands(own, x, memory, operands):  # Attention, [q, D], [n, M] -> Operands
    """(2): the queries of x, the keys and values of the memory."""
    project(x, own.P_W, own.P_b, operands.query)  # F1
    product(memory, own.W, operands.key)  # F2
    project(memory, own.Q_W, own.Q_b, operands.value)  # F3


@inline
def project_operands_backward(gradients, operands, x, memory, own_T, d_own, dx, dmemory):  # -> adds to [q, D]; writes [n, M]
    """Writes dmemory, then adds to dx, which may be the same rows; adds to d_own."""
    add_product_of_transpose(memory, gradients.key, d_own.W)  # B2
    product(gradients.key, own_T.W, dmemory)
    project_backward(gradients.query, operands.query, x, own_T.P_W, d_own.P_W, d_own.P_b, dx)  # B1
    project_backward(gradients.value, operands.value, memory, own_T.Q_W, d_own.Q_W, d_own.Q_b, dmemory)  # B3


@kernel
def scores_forward(query, i, other, key, score):  # [q, D], [n, D] -> [n, 2K]
    """score[j] = query_i · key_j and query_other · key_j."""
    K = half(score)
    for j in range(len(key)):
        store(score, j, 0, dots(query, i, key, j, K))
        store(score, j, size(K), dots(query, other, key, j, K))


@kernel
def scores_backward(dscore, query, i, other, key, dquery, dkey, add):  # [n, 2K], [q, D], [n, D] -> [q, D], [n, D]
    """Writes dquery of the pair; writes dkey, or adds to it if `add`."""
    K = half(dscore)
    C = piece(query, K)
    zero = splat(query, 0.0, C)
    for p in range(0, columns(query), size(C)):  # rows in pieces: their sums stay in registers
        q1, q2 = load(query, i, p, C), load(query, other, p, C)
        dq1 = dq2 = zero
        for j in range(len(key)):
            k = load(key, j, p, C)
            ds1, ds2 = spread(load(dscore, j, 0, K), C), spread(load(dscore, j, size(K), K), C)
            dq1 = multiply_add(ds1, k, dq1)
            dq2 = multiply_add(ds2, k, dq2)
            dk = load(dkey, j, p, C) if add else zero
            store(dkey, j, p, multiply_add(ds2, q2, multiply_add(ds1, q1, dk)))
        store(dquery, other, p, dq2)  # first: the gradient of an odd last query's copy is zero
        store(dquery, i, p, dq1)


@kernel
def softmax_forward(score):  # [n, 2K]
    """(3) for a pair of queries, in place: each space of each query in its lane."""
    highest, z = zeros(score) + -np.inf, zeros(score)
    for j in range(len(score)):
        highest = maximum(score[j], highest)
    for j in range(len(score)):
        e = exp(score[j] - highest)  # F1
        z = z + e
        score[j] = e
    z = 1.0 / z
    for j in range(len(score)):
        score[j] = score[j] * z  # F2


@kernel
def softmax_backward(da, a, odd):  # [n, 2K], [n, 2K]
    """da becomes dscore in place; odd: the second query is a copy, whose gradient is zero."""
    mean = zeros(da)  # <a, da>
    for j in range(len(da)):
        da[j] = da[j] * a[j]
        mean = mean + da[j]  # B1
    for j in range(len(da)):
        da[j] = da[j] - a[j] * mean  # B2
    if odd:
        K = half(da)
        for j in range(len(da)):
            store(da, j, size(K), splat(da, 0.0, K))


@inline
def weights_of_pair(operands, i, other, weight):  # -> [n, 2K]
    """Attention weights of query i and the other."""
    scores_forward(operands.query, i, other, operands.key, weight)  # F1
    softmax_forward(weight)  # F2


@kernel
def attend_forward(operands, keep, weight, c):  # ., ., [pairs n, 2K] -> [q, D]
    """c_i = Σ_j a_ij value_j for the q queries and n keys of one history.

    The weights go to `weight`, n rows for a pair of queries: all of them if `keep`, else each over the one before.
    """
    q, n, D, K, first = len(operands.query), len(operands.key), columns(c), half(weight), 0
    C = piece(c, K)
    for i in range(0, q, 2):
        other, a = min(i + 1, q - 1), weight[first : first + n]
        weights_of_pair(operands, i, other, a)  # F1, F2
        for p in range(0, D, size(C)):  # rows in pieces: their sums stay in registers
            sum = sum2 = splat(c, 0.0, C)
            for j in range(n):
                v = load(operands.value, j, p, C)
                sum = multiply_add(spread(load(a, j, 0, K), C), v, sum)  # F3
                sum2 = multiply_add(spread(load(a, j, size(K), K), C), v, sum2)
            store(c, i, p, sum)
            store(c, other, p, sum2)
        if keep:
            first += n


@kernel
def attend_backward(dc, operands, keep, weight, dscore, gradients):  # [q, D], ., ., [pairs n, 2K], [n, 2K]
    """Writes the gradients of query, key and value; dscore is room.

    Weights that were not kept are computed again, pair by pair, by the code of the forward pass. So memory is linear in n.
    """
    q, n, D, K, first = len(dc), len(operands.key), columns(dc), half(weight), 0
    C = piece(dc, K)
    zero = splat(dc, 0.0, C)
    if q == 0:  # then nothing below writes them
        clear(gradients.key)
        clear(gradients.value)
    for i in range(0, q, 2):
        add, other, a = i > 0, min(i + 1, q - 1), weight[first : first + n]
        if not keep:
            weights_of_pair(operands, i, other, a)
        for p in range(0, D, size(C)):
            g1, g2 = load(dc, i, p, C), zero
            if other > i:
                g2 = load(dc, other, p, C)
            for j in range(n):
                dv = load(gradients.value, j, p, C) if add else zero
                dv = multiply_add(spread(load(a, j, 0, K), C), g1, dv)
                store(gradients.value, j, p, multiply_add(spread(load(a, j, size(K), K), C), g2, dv))  # B3, by v
        scores_forward(dc, i, other, operands.value, dscore)  # B3, by a
        softmax_backward(dscore, a, other == i)  # B2
        scores_backward(dscore, operands.query, i, other, operands.key, gradients.query, gradients.key, add)  # B1
        if keep:
            first += n


@inline
def of_history(operands, query_offsets, offsets, h):  # ., [B+1], [B+1]
    """The Operands of history h."""
    query, key, value = operands
    return Operands(section(query, query_offsets, h), section(key, offsets, h), section(value, offsets, h))


@inline
def rows_of_weights(own):
    """How many the weights of one history's Operands have: n for each pair of queries."""
    return (len(own.query) + 1) // 2 * len(own.key)


@kernel
def attend(operands, query_offsets, offsets, work, keep, first, c):  # ., [B+1], [B+1], ., bool, row -> [q, D]
    """(3) to (5) of a chunk, history by history; the queries are behaviours or targets.

    keep: a backward pass follows, so weights are kept, from row `first` of work.weight on -> the row after them.
    """
    for h in range(len(offsets) - 1):
        own = of_history(operands, query_offsets, offsets, h)
        kept = keep and len(own.key) <= KEPT
        attend_forward(own, kept, work.weight[first:], section(c, query_offsets, h))
        first += rows_of_weights(own) if kept else 0
    return first


@kernel
def attend_back(dc, operands, query_offsets, offsets, work, first, gradients):  # [q, D], ., [B+1], [B+1], ., row -> Operands
    """Writes the gradients of query, key and value, in the order of `attend`."""
    for h in range(len(offsets) - 1):
        own, d_own = of_history(operands, query_offsets, offsets, h), of_history(gradients, query_offsets, offsets, h)
        kept = len(own.key) <= KEPT
        attend_backward(section(dc, query_offsets, h), own, kept, work.weight[first:], work.dscore[: len(own.key)], d_own)
        first += rows_of_weights(own) if kept else 0
