"""numba twins of `layers.attention`: (3) to (5) for one history at a time, in all spaces at once.

Here the space index is innermost: column j·K + k is number j of space k. Then one row of queries times one row of
keys, folded by K, is the score of all K spaces at once, and the softmax runs over K lanes in parallel.
"""

import numpy as np
from numba import njit

from .vectors import exp, fold, load, maximum, size, splat, spread, store

KERNEL = {"error_model": "numpy", "cache": True, "nogil": True}


@njit(**KERNEL)
def softmax_row(query, i, key, first, n, weight, at, D, K):
    """Row i of (3): weight[at : at + n·K] = softmax over j of query_i · key_(first+j), each space in its lane."""
    width, spaces = size(D), size(K)
    q = load(query, i * width, D)
    highest = splat(query.dtype.type(-np.inf), K)
    for j in range(n):
        score = fold(q * load(key, (first + j) * width, D), K)  # F1
        highest = maximum(score, highest)
        store(weight, at + j * spaces, score)
    z = splat(query.dtype.type(0), K)
    for j in range(n):
        e = exp(load(weight, at + j * spaces, K) - highest)  # F2
        z = z + e
        store(weight, at + j * spaces, e)
    z = splat(query.dtype.type(1), K) / z
    for j in range(n):
        store(weight, at + j * spaces, load(weight, at + j * spaces, K) * z)


@njit(**KERNEL)
def attend_forward(query, i0, q, key, value, first, n, weight, at, keep, c, c0, D, K):
    """c[c0 + i] = Σ_j a_ij value_(first+j) for the q queries from row i0 on, over the keys first … first + n - 1.

    The weights go to weight[at:], n·K numbers a row: all rows if `keep`, else each over the one before.
    """
    width, spaces = size(D), size(K)
    for i in range(q):
        softmax_row(query, i0 + i, key, first, n, weight, at, D, K)  # F1, F2
        total = splat(query.dtype.type(0), D)
        for j in range(n):
            a = spread(load(weight, at + j * spaces, K), D)
            total = total + a * load(value, (first + j) * width, D)  # F3
        store(c, (c0 + i) * width, total)
        if keep:
            at += n * spaces


@njit(**KERNEL)
def attend_backward(query, dquery, i0, q, key, value, dkey, dvalue, first, n, weight, at, keep, dc, c0, scratch, D, K):
    """dquery of the q queries (written), dkey and dvalue of the n keys (written), from dc.

    If the weights were not kept, they are computed again row by row, into weight[at:], by the very code of the forward
    pass: then memory is linear in n. scratch holds n·K numbers.
    """
    width, spaces = size(D), size(K)
    zero = splat(query.dtype.type(0), D)
    for j in range(first, first + n):
        store(dkey, j * width, zero)
        store(dvalue, j * width, zero)
    for i in range(q):
        if not keep:
            softmax_row(query, i0 + i, key, first, n, weight, at, D, K)
        g = load(dc, (c0 + i) * width, D)
        mean = splat(query.dtype.type(0), K)  # <a, da> of the softmax's Jacobian
        for j in range(n):
            a = load(weight, at + j * spaces, K)
            da = fold(g * load(value, (first + j) * width, D), K) * a  # B3, by a, times a
            mean = mean + da
            store(scratch, j * spaces, da)
        query_row = load(query, (i0 + i) * width, D)
        dq = zero
        for j in range(n):
            row = (first + j) * width
            a = load(weight, at + j * spaces, K)
            dscore = spread(load(scratch, j * spaces, K) - a * mean, D)  # B2
            dq = dq + dscore * load(key, row, D)  # B1, by q
            store(dkey, row, load(dkey, row, D) + dscore * query_row)  # B1, by k
            store(dvalue, row, load(dvalue, row, D) + spread(a, D) * g)  # B3, by v
        store(dquery, (i0 + i) * width, dq)
        if keep:
            at += n * spaces
