"""Ranking a whole catalogue for one history: what does not depend on the history is computed once for all objects."""

from typing import NamedTuple

import numpy as np

from .attention import Operands, attend_forward
from .embedding import embed
from .feedforward import FeedForwardCache, project, relu_forward, second_layer
from .jit import ZERO, entry, kernel
from .packed import numbers_of
from .products import J, in_strips_of, numbers_of_matrix, product, rows_of
from .ranking import score_forward
from .simd import apart, columns, load, multiply_add, size, splat, store, strip

BLOCK = 120  # objects at a time: their rows stay in the cache


class CatalogueWork(NamedTuple):
    """M objects, a history of n behaviours; workspace of a thread."""

    key_C: np.ndarray  # [n, D] of the vanilla attention
    value_C: np.ndarray  # [n, D]
    h: np.ndarray  # [M, D]
    query: np.ndarray  # [M, D]
    f: np.ndarray  # [M] the result
    no_matrix: np.ndarray  # [0, D]
    u: np.ndarray  # [BLOCK width]
    X: np.ndarray  # [BLOCK, D]
    hidden: np.ndarray
    out: np.ndarray
    normed: np.ndarray
    rstd: np.ndarray  # [BLOCK]
    e: np.ndarray  # [BLOCK, D]
    weight: np.ndarray  # [2 n, K], and in short histories [BLOCK n, K]
    score: np.ndarray  # [n, 2K]
    folded: np.ndarray  # [0, 2K]
    values: np.ndarray  # [n K D] see `values_times`
    deep: object  # DeepCache, or None


@entry
def object_side(context, thread, work, group, first, last):
    """h_t = F_M(q_t) and the vanilla attention's queries F_P(h_t) of objects first … last-1."""
    own, objects = thread.own, context.groups[group]
    parameters, vanilla, width = own.groups[group], own.vanilla_attention, objects.width
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        for i in range(m):
            u = work.u[i * width : (i + 1) * width]
            embed(objects, parameters, context.settings.scale, start + i, ZERO, objects.target_action, u)
        h = work.h[start : start + m]
        project(rows_of(work.u, m, width), parameters.F_M_W, parameters.F_M_b, h)
        project(h, vanilla.P_W, vanilla.P_b, work.query[start : start + m])


@kernel
def values_times(value, W, K, y):  # [n, D], [D, D] -> [n K D]
    """y, [n K, D] in strips: row j·K + k is what value_j, its columns of space k alone, becomes under W, which lies in
    strips."""
    n, D, L = len(value), columns(value), strip(value, J)
    numbers, weights = numbers_of(value), numbers_of_matrix(W)
    for j in range(n):
        for k in range(K):
            for p in range(0, D, size(L)):
                total = splat(value, 0, L)
                for c in range(k, D, K):
                    w = load(weights, p * D + c * size(L), 0, L)
                    total = multiply_add(splat(value, numbers[j * apart(value) + c], L), w, total)
                store(y, p * n * K + (j * K + k) * size(L), 0, total)


@entry
def score_catalogue(context, thread, work, group, first, last):
    """(7) and (8): f of objects first … last-1.

    An object's e is a mixture of few values: X = Σ_j a_j value_j. So for short histories X W1 = Σ_j a_j (value_j W1), with
    the values multiplied by W1 once for all objects: a product n K numbers deep in place of one D deep.
    """
    own, layer, n, K = thread.own, thread.own.vanilla_feed_forward, len(work.value_C), columns(work.weight)
    depth, item_bias = n * K, context.groups[group].item_bias
    short = depth < min(columns(work.X), BLOCK)
    if short:
        values_times(work.value_C, layer.W1, K, work.values)
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        given = Operands(work.query[start : start + m], work.no_matrix, work.key_C, work.value_C)
        cache = FeedForwardCache(work.X[:m], work.hidden[:m], work.out[:m], work.normed[:m], work.rstd[:m], work.X[:m])
        attend_forward(given, short, work.weight, work.folded, work.score[:n], cache.x)
        if short:
            product(rows_of(numbers_of(work.weight), m, depth), in_strips_of(work.values, depth, layer.W1), cache.hidden)
            relu_forward(cache.hidden, layer.b1)
        else:
            project(cache.x, layer.W1, layer.b1, cache.hidden)
        second_layer(layer, None, cache, work.e[:m])
        score_forward(work.h[start : start + m], work.e[:m], own.deep, work.deep, work.f[start : start + m])
        for i in range(start, start + m if len(item_bias) > 0 else start):
            work.f[i] += item_bias[i]
