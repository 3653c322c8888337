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

    Rows go in pairs, so that what is loaded serves two; an odd last row is its own second. The weights go to weight[at:],
    n·K numbers a row: all rows if `keep`, else each pair over the one before.
    """
    width, spaces, C, row = size(D), size(K), piece(D, K), n * size(K)
    for i in range(0, q, 2):
        other = min(i + 1, q - 1)
        next_row = (other - i) * row
        for r in range(i, other + 1):
            softmax_row(query, i0 + r, key, first, n, weight, at + (r - i) * row, D, K)  # F1, F2
        for p in range(0, width, size(C)):  # rows in pieces: their sums stay in registers
            total = total2 = splat(query.dtype.type(0), C)
            for j in range(n):
                v = load(value, (first + j) * width + p, C)
                total = multiply_add(spread(load(weight, at + j * spaces, K), C), v, total)  # F3
                total2 = multiply_add(spread(load(weight, at + next_row + j * spaces, K), C), v, total2)
            store(c, (c0 + i) * width + p, total)
            store(c, (c0 + other) * width + p, total2)
        if keep:
            at += next_row + row


@njit(**KERNEL)
def softmax_row_backward(dc, i, value, first, n, weight, at, scratch, to, D, K):
    """scratch[to : to + n·K] = the gradient by the scores of a row, from dc_i and the weights from `at` on."""
    width, spaces = size(D), size(K)
    mean = splat(dc.dtype.type(0), K)  # <a, da> of the softmax's Jacobian
    for j in range(n):
        a = load(weight, at + j * spaces, K)
        da = dots(dc, i * width, value, (first + j) * width, D, K) * a  # B3, by a, times a
        mean = mean + da
        store(scratch, to + j * spaces, da)
    for j in range(n):
        dscore = load(scratch, to + j * spaces, K) - load(weight, at + j * spaces, K) * mean  # B2
        store(scratch, to + j * spaces, dscore)


@njit(**KERNEL)
def attend_backward(query, dquery, i0, q, key, value, dkey, dvalue, first, n, weight, at, keep, dc, c0, scratch, D, K):
    """dquery of the q queries (written), dkey and dvalue of the n keys (written), from dc.

    If the weights were not kept, they are computed again pair by pair, into weight[at:], by the very code of the forward
    pass: then memory is linear in n. scratch holds 2 n·K numbers.
    """
    width, spaces, C, row = size(D), size(K), piece(D, K), n * size(K)
    zero = splat(query.dtype.type(0), C)
    for place in range(first * width, (first + n) * width, size(C)):
        store(dkey, place, zero)
        store(dvalue, place, zero)
    for i in range(0, q, 2):
        other = min(i + 1, q - 1)
        next_row = (other - i) * row
        for r in range(i, other + 1):
            here = (r - i) * row
            if not keep:
                softmax_row(query, i0 + r, key, first, n, weight, at + here, D, K)
            softmax_row_backward(dc, c0 + r, value, first, n, weight, at + here, scratch, here, D, K)
        for p in range(0, width, size(C)):
            q1, g1 = load(query, (i0 + i) * width + p, C), load(dc, (c0 + i) * width + p, C)
            q2 = g2 = zero  # an odd last row is its own second, and must not count twice
            if other > i:
                q2, g2 = load(query, (i0 + other) * width + p, C), load(dc, (c0 + other) * width + p, C)
            dq1 = dq2 = zero
            for j in range(n):
                place = (first + j) * width + p
                k = load(key, place, C)
                ds1, ds2 = spread(load(scratch, j * spaces, K), C), spread(load(scratch, next_row + j * spaces, K), C)
                dq1 = multiply_add(ds1, k, dq1)  # B1, by q
                dq2 = multiply_add(ds2, k, dq2)
                store(dkey, place, multiply_add(ds2, q2, multiply_add(ds1, q1, load(dkey, place, C))))  # B1, by k
                a1, a2 = spread(load(weight, at + j * spaces, K), C), spread(load(weight, at + next_row + j * spaces, K), C)
                store(dvalue, place, multiply_add(a2, g2, multiply_add(a1, g1, load(dvalue, place, C))))  # B3, by v
            store(dquery, (i0 + i) * width + p, dq1)
            store(dquery, (i0 + other) * width + p, dq2)
        if keep:
            at += next_row + row
