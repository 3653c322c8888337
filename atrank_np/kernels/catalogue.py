"""Ranking a whole catalogue for one history: what does not depend on the history is computed once for all objects."""

from typing import NamedTuple

import numpy as np

from .attention import Operands, attend_forward
from .context import make_deep_cache
from .embedding import embed
from .feedforward import FeedForwardCache, new_cache, project, relu_forward, rows_of_cache, second_layer
from .jit import ZERO, entry, kernel
from .layout import aligned, rows
from .matrices import rows_of
from .products import product
from .ranking import score_forward
from .simd import columns, half, load, size, store, zeros

OBJECTS = 120  # scored at a time, so that their rows stay in the cache


class Objects(NamedTuple):
    """What does not depend on the history, of all M objects."""

    h: np.ndarray  # [M, D]
    query: np.ndarray  # [M, D] of the vanilla attention


class CatalogueRoom(NamedTuple):
    """Workspace of a thread."""

    u: np.ndarray  # [OBJECTS width]
    cache: FeedForwardCache  # of OBJECTS rows
    e: np.ndarray  # [OBJECTS, D]
    mixture: np.ndarray  # [OBJECTS D] for short histories: the weights of an object side by side
    values: np.ndarray  # [D, D] and the values space by space
    values_W1: np.ndarray  # [D, D] times W1
    deep: object  # DeepCache, or None


class CatalogueWork(NamedTuple):
    """A history of n behaviours, and the workspace of a thread."""

    objects: Objects
    key_C: np.ndarray  # [n, D] of the vanilla attention
    value_C: np.ndarray  # [n, D]
    f: np.ndarray  # [M] the result
    weight: np.ndarray  # [n, 2K], for short histories [OBJECTS n / 2, 2K]
    room: CatalogueRoom


def work_for_objects(M, parameters):
    return Objects(*(rows(M, parameters.D, parameters.dtype) for _ in Objects._fields))


def room_for_objects(width, parameters):
    """width: of the objects' embeddings."""
    D, dtype = parameters.D, parameters.dtype
    block, numbers = (lambda: rows(OBJECTS, D, dtype)), (lambda *shape: aligned(shape, dtype))
    return CatalogueRoom(
        u=numbers(OBJECTS * width),
        cache=new_cache(OBJECTS, D, dtype),
        e=block(),
        mixture=numbers(OBJECTS * D),
        values=rows(D, D, dtype),
        values_W1=rows(D, D, dtype),
        deep=make_deep_cache(OBJECTS, parameters),
    )


def work_for_history(objects, key, value, f, room, parameters):
    K, n = parameters.order.K, len(key)
    weight = aligned((max(n, OBJECTS * parameters.D // (2 * K) + 1), 2 * K), parameters.dtype)
    return CatalogueWork(objects, key, value, f, weight, room)


@entry
def object_side(context, thread, work, group, first, last):
    """h_t = F_M(q_t) and the vanilla attention's queries F_P(h_t) of objects first … last-1."""
    own, objects = thread.own, context.groups[group]
    parameters, vanilla, width = own.groups[group], own.vanilla, objects.width
    for start in range(first, last, OBJECTS):
        m = min(OBJECTS, last - start)
        for i in range(m):
            u = work.room.u[i * width : (i + 1) * width]
            embed(objects, parameters, context.settings.scale, start + i, ZERO, objects.target_action, u)
        h = work.objects.h[start : start + m]
        project(rows_of(work.room.u, m, width), parameters.F_M_W, parameters.F_M_b, h)
        project(h, vanilla.P_W, vanilla.P_b, work.objects.query[start : start + m])


@kernel
def by_space(value, K, y):  # [n, D] -> [n K, D]
    """Row j·K + k of y is value_j in the columns of space k, and 0 in the others."""
    for i in range(len(y)):
        y[i] = zeros(y)
        for c in range(i % K, columns(y), K):
            y[i, c] = value[i // K, c]


@kernel
def weights_side_by_side(weight, n, K, mixture):  # [pairs n, 2K] -> [M n K]
    """Row i of the mixture, [M, n K], has the weights of query i, in the order of the rows of `by_space`."""
    for i in range(len(mixture) // (n * size(K))):
        for j in range(n):
            store(mixture, (i * n + j) * size(K), 0, load(weight, i // 2 * n + j, i % 2 * size(K), K))


@entry
def score_catalogue(context, thread, work, group, first, last):
    """(7) and (8): f of objects first … last-1.

    An object's X is a mixture of few values: X = Σ_j a_j value_j. So for short histories X W1 = Σ_j a_j (value_j W1), with
    the values multiplied by W1 once for all objects: a product n K numbers deep in place of one D deep.
    """
    own, layer, n, K, room = thread.own, thread.own.vanilla.F, len(work.value_C), half(work.weight), work.room
    depth, item_bias = n * size(K), context.groups[group].item_bias
    short, values = 0 < depth < min(columns(room.e), OBJECTS), room.values_W1[:depth]
    if short:
        by_space(work.value_C, size(K), room.values[:depth])
        product(room.values[:depth], layer.W1, values)
    for start in range(first, last, OBJECTS):
        m = min(OBJECTS, last - start)
        operands = Operands(work.objects.query[start : start + m], work.key_C, work.value_C)
        cache = rows_of_cache(room.cache, ZERO, m)
        attend_forward(operands, short, work.weight, cache.x)
        if short:
            weights_side_by_side(work.weight, n, K, room.mixture[: m * depth])
            product(rows_of(room.mixture, m, depth), values, cache.hidden)
            relu_forward(cache.hidden, layer.b1)
        else:
            project(cache.x, layer.W1, layer.b1, cache.hidden)
        second_layer(layer, None, cache, room.e[:m])
        score_forward(work.objects.h[start : start + m], room.e[:m], own.deep, room.deep, work.f[start : start + m])
        for i in range(start, start + m if len(item_bias) > 0 else start):
            work.f[i] += item_bias[i]
