"""numba twins of `layers.attention`: (3) to (5) for one history at a time, in all spaces at once.

Here the space index is innermost: column j·K + k is number j of space k. Then one row of queries times one row of
keys, summed by space, is the score of all K spaces at once, and the softmax runs over K lanes in parallel.
"""

import numpy as np
from numba import njit

from .options import KERNEL
from .vectors import dots, exp, load, maximum, multiply_add, piece, size, splat, spread, store


@njit(**KERNEL)
def softmax_row(query, i, key, first, n, weight, at, D, K):
    """Row i of (3): weight[at : at + n·K] = softmax over j of query_i · key_(first+j), each space in its lane."""
    width, spaces = size(D), size(K)
    highest = splat(query.dtype.type(-np.inf), K)
    for j in range(n):
        score = dots(query, i * width, key, (first + j) * width, D, K)  # F1
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
    width, spaces, C = size(D), size(K), piece(D, K)
    for i in range(q):
        softmax_row(query, i0 + i, key, first, n, weight, at, D, K)  # F1, F2
        for p in range(0, width, size(C)):  # a row in pieces: its sum stays in registers
            total = splat(query.dtype.type(0), C)
            for j in range(n):
                a = spread(load(weight, at + j * spaces, K), C)
                total = multiply_add(a, load(value, (first + j) * width + p, C), total)  # F3
            store(c, (c0 + i) * width + p, total)
        if keep:
            at += n * spaces


@njit(**KERNEL)
def attend_backward(query, dquery, i0, q, key, value, dkey, dvalue, first, n, weight, at, keep, dc, c0, scratch, D, K):
    """dquery of the q queries (written), dkey and dvalue of the n keys (written), from dc.

    If the weights were not kept, they are computed again row by row, into weight[at:], by the very code of the forward
    pass: then memory is linear in n. scratch holds n·K numbers.
    """
    width, spaces, C = size(D), size(K), piece(D, K)
    zero = splat(query.dtype.type(0), C)
    for place in range(first * width, (first + n) * width, size(C)):
        store(dkey, place, zero)
        store(dvalue, place, zero)
    for i in range(q):
        if not keep:
            softmax_row(query, i0 + i, key, first, n, weight, at, D, K)
        mean = splat(query.dtype.type(0), K)  # <a, da> of the softmax's Jacobian
        for j in range(n):
            a = load(weight, at + j * spaces, K)
            da = dots(dc, (c0 + i) * width, value, (first + j) * width, D, K) * a  # B3, by a, times a
            mean = mean + da
            store(scratch, j * spaces, da)
        for j in range(n):
            dscore = load(scratch, j * spaces, K) - load(weight, at + j * spaces, K) * mean  # B2
            store(scratch, j * spaces, dscore)
        for p in range(0, width, size(C)):
            query_row, g, dq = load(query, (i0 + i) * width + p, C), load(dc, (c0 + i) * width + p, C), zero
            for j in range(n):
                row = (first + j) * width + p
                dscore, a = spread(load(scratch, j * spaces, K), C), spread(load(weight, at + j * spaces, K), C)
                dq = multiply_add(dscore, load(key, row, C), dq)  # B1, by q
                store(dkey, row, multiply_add(dscore, query_row, load(dkey, row, C)))  # B1, by k
                store(dvalue, row, multiply_add(a, g, load(dvalue, row, C)))  # B3, by v
            store(dquery, (i0 + i) * width + p, dq)
        if keep:
            at += n * spaces
