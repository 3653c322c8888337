"""numba twins of `layers.attention`: (3) to (5) for one history at a time, in all spaces at once.

Here the space index is innermost: column j·K + k is number j of space k. Then one row of queries times one row of
keys, summed by space, is the score of all K spaces at once, and the softmax runs over K lanes in parallel.

Queries go in pairs, so that what is loaded serves two; an odd last one is its own second, with a gradient of zero.
Scores of a pair lie side by side: key j has the K of the one, then the K of the other.
"""

import numpy as np
from numba import njit

from .options import ADD, KERNEL, ONE, SET, ZERO
from .products import J, multiply, turn
from .vectors import beside, dots, exp, halves, load, maximum, multiply_add, piece, row, size, splat, spread, store, twice


@njit(**KERNEL)
def scores_forward(query, i, other, key, at, step, n, score, D, K):
    """score[2K j:] = query_i · key_j and query_other · key_j, for n keys, `step` numbers apart, from flat place `at` on."""
    r, spaces = row(query, size(D)), size(K)
    for j in range(n):
        one = dots(query, i * r, key, at + j * step, D, K)
        two = dots(query, other * r, key, at + j * step, D, K)
        store(score, 2 * j * spaces, one)
        store(score, (2 * j + 1) * spaces, two)


@njit(**KERNEL)
def scores_backward(query, dquery, i, other, key, dkey, at, step, n, dscore, more, D, K):
    """dquery of the pair (written); dkey is written, too, or added to if `more`."""
    r, spaces, C = row(query, size(D)), size(K), piece(D, K)
    zero = splat(query.dtype.type(0), C)
    for p in range(0, size(D), size(C)):  # rows in pieces: their sums stay in registers
        q1, q2 = load(query, i * r + p, C), load(query, other * r + p, C)
        dq1 = dq2 = zero
        for j in range(n):
            place = at + j * step + p
            k = load(key, place, C)
            ds1, ds2 = spread(load(dscore, 2 * j * spaces, K), C), spread(load(dscore, (2 * j + 1) * spaces, K), C)
            dq1 = multiply_add(ds1, k, dq1)
            dq2 = multiply_add(ds2, k, dq2)
            dk = load(dkey, place, C) if more else zero
            store(dkey, place, multiply_add(ds2, q2, multiply_add(ds1, q1, dk)))
        store(dquery, other * r + p, dq2)  # first: an odd last row's second is nothing
        store(dquery, i * r + p, dq1)


@njit(**KERNEL)
def folded_forward(query, i, other, P, W, memory, first, n, score, fold, D, K):
    """The same scores from n rows of memory that went through no W: (s W_k) · m_j in the place of s · (W_k m_j).

    That is less work where queries are few: a pair of them becomes fold, [D, 2K], and scores are its product with memory.
    W: the place in P of the matrix from memory to keys.
    """
    width, two, r = size(D), twice(K), row(memory, size(D))
    scores_forward(query, i, other, P, W, width, width, fold, D, K)
    multiply(memory.reshape(-1), first * r, r, ONE, n, width, fold, ZERO, size(two), size(two), size(two),
             score, ZERO, size(two), size(two), SET, two)  # fmt: skip


@njit(**KERNEL)
def folded_backward(query, dquery, i, other, P, dP, W, memory, dmemory, first, n, dscore, fold, turned, more, D, K):
    """dquery of the pair (written); dmemory as in `scores_backward`, the gradient of W is added to. fold becomes its own
    gradient."""
    width, two, m = size(D), twice(K), row(memory, size(D))
    turn(fold, ZERO, size(two), size(J), width, size(two), turned, ZERO, width, size(J))
    multiply(dscore, ZERO, size(two), ONE, n, size(two), turned, ZERO, width, size(J), width,
             dmemory.reshape(-1), first * m, m, size(J), more, J)  # fmt: skip
    multiply(memory.reshape(-1), first * m, ONE, m, width, n, dscore, ZERO, size(two), size(two), size(two),
             fold, ZERO, size(two), size(two), SET, two)  # fmt: skip
    scores_backward(query, dquery, i, other, P, dP, W, width, width, fold, ADD, D, K)


@njit(**KERNEL)
def softmax_forward(score, n, weight, one, other, K):
    """(3) for a pair of queries: weight[one : one + n·K] and weight[other : other + n·K], each space in its lane."""
    spaces, two = size(K), twice(K)
    highest = splat(score.dtype.type(-np.inf), two)
    for j in range(n):
        highest = maximum(load(score, 2 * j * spaces, two), highest)
    z = splat(score.dtype.type(0), two)
    for j in range(n):
        e = exp(load(score, 2 * j * spaces, two) - highest)  # F1
        z = z + e
        store(score, 2 * j * spaces, e)
    z = splat(score.dtype.type(1), two) / z
    for j in range(n):
        a1, a2 = halves(load(score, 2 * j * spaces, two) * z)  # F2
        store(weight, other + j * spaces, a2)
        store(weight, one + j * spaces, a1)


@njit(**KERNEL)
def softmax_backward(score, n, weight, one, other, K):
    """The scores' places hold da for a pair of queries, and become dx."""
    spaces, two = size(K), twice(K)
    mean = splat(score.dtype.type(0), two)  # <a, da>
    for j in range(n):
        a = beside(load(weight, one + j * spaces, K), load(weight, other + j * spaces, K))
        part = load(score, 2 * j * spaces, two) * a
        mean = mean + part  # B1
        store(score, 2 * j * spaces, part)
    for j in range(n):
        a = beside(load(weight, one + j * spaces, K), load(weight, other + j * spaces, K))
        store(score, 2 * j * spaces, load(score, 2 * j * spaces, two) - a * mean)  # B2
    if other == one:
        for j in range(n):
            store(score, (2 * j + 1) * spaces, splat(score.dtype.type(0), K))


@njit(**KERNEL)
def weights_of_pair(query, i, other, P, W, key, first, n, weight, at, score, fold, pair, D, K):
    """Rows of weights from weight[at:] on: of query i, and of the other if it is another."""
    if n < 2:  # the softmax of one score is 1, whatever it is
        for j in range(n):
            store(score, j, splat(score.dtype.type(0), twice(K)))
    elif W < 0:
        scores_forward(query, i, other, key.reshape(-1), first * row(key, size(D)), row(key, size(D)), n, score, D, K)
    else:
        folded_forward(query, i, other, P, W, key, first, n, score, fold[pair], D, K)
    softmax_forward(score, n, weight, at, at + (other - i) * n * size(K), K)


@njit(**KERNEL)
def pair_backward(query, dquery, i, other, P, dP, W, key, dkey, first, n, dscore, fold, turned, more, D, K):
    """dquery of the pair and dkey, from those of the scores of `weights_of_pair`; more: as in `scores_backward`."""
    if W < 0:  # B1
        r = row(key, size(D))
        scores_backward(query, dquery, i, other, key.reshape(-1), dkey.reshape(-1), first * r, r, n, dscore, more, D, K)
    else:
        folded_backward(query, dquery, i, other, P, dP, W, key, dkey, first, n, dscore, fold, turned, more, D, K)


@njit(**KERNEL)
def attend_forward(query, i0, q, P, W, key, value, first, n, weight, at, keep, c, c0, score, fold, D, K):
    """c[c0 + i] = Σ_j a_ij value_(first+j) for the q queries from row i0 on, over the keys first … first + n - 1.

    W: -1, or the place in P of the matrix that the keys still have to go through. The weights go to weight[at:], n·K
    numbers a row: all rows if `keep`, else each pair over the one before. score holds 2 n·K numbers.
    """
    width, spaces, C, length = size(D), size(K), piece(D, K), n * size(K)
    for i in range(0, q, 2):
        other = min(i + 1, q - 1)
        next_row = (other - i) * length
        weights_of_pair(query, i0 + i, i0 + other, P, W, key, first, n, weight, at, score, fold, i, D, K)  # F1, F2
        for p in range(0, width, size(C)):  # rows in pieces: their sums stay in registers
            total = total2 = splat(query.dtype.type(0), C)
            for j in range(n):
                v = load(value, (first + j) * row(value, width) + p, C)
                total = multiply_add(spread(load(weight, at + j * spaces, K), C), v, total)  # F3
                total2 = multiply_add(spread(load(weight, at + next_row + j * spaces, K), C), v, total2)
            store(c, (c0 + i) * row(c, width) + p, total)
            store(c, (c0 + other) * row(c, width) + p, total2)
        if keep:
            at += next_row + length


@njit(**KERNEL)
def attend_backward(query, dquery, i0, q, P, dP, W, key, value, dkey, dvalue, first, n, weight, at, keep, dc, c0, score, fold,
                    turned, D, K):  # fmt: skip
    """dquery of the q queries (written), dkey and dvalue of the n keys (written), from dc; the gradient of W is added to.

    If the weights were not kept, they are computed again pair by pair, into weight[at:], by the very code of the forward
    pass: then memory is linear in n.
    """
    width, spaces, C, length = size(D), size(K), piece(D, K), n * size(K)
    zero, r = splat(query.dtype.type(0), C), row(key, width)  # all of them have rows as far apart as the keys
    for j in range(first, first + n):
        if q == 0 or n < 2:  # nobody below writes them
            store(dkey, j * r, splat(query.dtype.type(0), D))
        if q == 0:
            store(dvalue, j * r, splat(query.dtype.type(0), D))
    for i in range(0, q, 2):
        more = i > 0
        other = min(i + 1, q - 1)
        next_row = (other - i) * length
        if not keep:
            weights_of_pair(query, i0 + i, i0 + other, P, W, key, first, n, weight, at, score, fold, i, D, K)
        for p in range(0, width, size(C)):
            g1, g2 = load(dc, (c0 + i) * r + p, C), zero
            if other > i:
                g2 = load(dc, (c0 + other) * r + p, C)
            for j in range(n):
                place = (first + j) * r + p
                a1, a2 = spread(load(weight, at + j * spaces, K), C), spread(load(weight, at + next_row + j * spaces, K), C)
                dv = load(dvalue, place, C) if more else zero
                store(dvalue, place, multiply_add(a2, g2, multiply_add(a1, g1, dv)))  # B3, by v
        if n < 2:  # neither the query nor the key has a say
            store(dquery, (i0 + i) * r, splat(query.dtype.type(0), D))
            store(dquery, (i0 + other) * r, splat(query.dtype.type(0), D))
        else:
            scores_forward(dc, c0 + i, c0 + other, value.reshape(-1), first * r, r, n, score, D, K)  # B3, by a
            softmax_backward(score, n, weight, at, at + next_row, K)  # B2
            pair_backward(query, dquery, i0 + i, i0 + other, P, dP, W, key, dkey, first, n, score, fold[i], turned, more, D, K)
        if keep:
            at += next_row + length
