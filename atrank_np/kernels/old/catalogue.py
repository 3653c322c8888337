"""Ranking a whole catalogue for one history: what does not depend on the history is computed once for all objects."""

import numpy as np
from numba import njit

from .attention import attend_forward
from .embedding import embed
from .feedforward import Mask, relu_forward
from .options import KERNEL, ONE, SET, STEP, ZERO
from .products import J, product
from .ranking import deep_forward, dot_forward
from .step import project, second_layer
from .vectors import load, multiply_add, size, splat, store, strip

BLOCK = 120  # objects at a time: their rows stay in the cache


@njit(**KERNEL)
def object_side(features, places, P, tables, scale, group, first, last, u, h, query, D):
    """h_t = F_M(q_t) and the vanilla attention's queries F_P(h_t) of objects first … last - 1, into rows of h and query."""
    width, space, own = features.width[group], places.space, places.vanilla_attention
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        for i in range(m):
            action = space.target_action[group]
            embed(features, P, tables, scale, group, np.int64(start + i), np.int64(0), action, u, i * width)
        product(u.reshape(-1, width), ZERO, m, width, P, space.F_M_W[group], size(D), h, start, SET)
        relu_forward(h, start, m, P, space.F_M_b[group], D)
        project(h, start, m, P, own.P_W, own.P_b, query, start, D)


@njit(**KERNEL)
def values_times(value, n, P, W, y, D, K):
    """y [n K, D], in strips: row j·K + k is what value_j, its columns of space k alone, becomes under the matrix at place W."""
    width, spaces, L = size(D), size(K), strip(D, J)
    for j in range(n):
        for k in range(spaces):
            for p in range(0, width, size(L)):
                total = splat(value.dtype.type(0), L)
                for c in range(k, width, spaces):
                    total = multiply_add(splat(value[j, c], L), load(P, W + p * width + c * size(L), L), total)
                store(y, p * n * spaces + (j * spaces + k) * size(L), total)


@njit(**STEP)
def catalogue_scores(places, P, biases, deep, group, key_C, value_C, n, h, query, first, last, rows, rstd, weight, f, D, K):
    """(7) and (8): f of objects first … last - 1 for a history whose n keys and values are given.

    An object's e is a mixture of few values: X = Σ_j a_j value_j. So for short histories X W1 = Σ_j a_j (value_j W1), with
    the values multiplied by W1 once for all objects: a product n K numbers deep in place of one D deep.
    rows: [8, BLOCK, D]; weight: [2 n K], and in short histories [BLOCK, n K].
    """
    short = n * size(K) < min(size(D), BLOCK)
    none = Mask(0.0, 0, 0, np.zeros(0, np.int64), ZERO, ZERO, np.zeros(0, np.int64))
    X, hidden, out, normed, e, he, deep_hidden, values = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
    layer, score, fold = places.vanilla_feed_forward, np.empty(2 * n * size(K), f.dtype), np.empty((BLOCK, 0), f.dtype)
    if short:
        values_times(value_C, n, P, layer.W1, values, D, K)
    bias = places.space.item_bias[group]
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        attend_forward(query, start, m, P, -ONE, key_C, value_C, ZERO, n, weight, ZERO, short, X, ZERO, score, fold, D, K)
        if short:
            a = weight[: m * n * size(K)].reshape(m, n * size(K))
            product(a, ZERO, m, n * size(K), values.reshape(-1), ZERO, size(D), hidden, ZERO, SET)
            relu_forward(hidden, ZERO, m, P, layer.b1, D)
        else:
            project(X, ZERO, m, P, layer.W1, layer.b1, hidden, ZERO, D)
        second_layer(X, ZERO, m, P, layer, none, hidden, out, normed, rstd, e, D)
        if deep:
            deep_forward(h, start, e, ZERO, m, P, places.deep, he, deep_hidden, f[start:], D)
        else:
            dot_forward(h, start, e, ZERO, m, f[start:], D)
        if bias >= 0:
            for i in range(start, start + m):
                f[i] += biases[bias + i]
