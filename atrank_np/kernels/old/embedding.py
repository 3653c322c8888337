"""numba twins of `layers.embedding`: gather and sum a behaviour's features, and scatter the gradient back.

All tables lie one after another in one flat array, and so do all codes; `Features` says where.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .options import KERNEL
from .vectors import STRIP, load, prefetch, size, splat, store, total

LOOKUP, BAG, NUMBER = 0, 1, 2
AHEAD = 8  # behaviours: so early are table rows asked for


class Features(NamedTuple):
    """The features of all groups' objects. A column is one feature of one group; places are in flat arrays."""

    first_column: np.ndarray  # [G+1]: group g has the columns first_column[g] … first_column[g+1] - 1
    width: np.ndarray  # [G] numbers in an embedding
    kind: np.ndarray  # [C] LOOKUP, BAG or NUMBER
    size: np.ndarray  # [C] numbers
    table: np.ndarray  # [C] place of its table among the tables; for NUMBER of w among the dense parameters
    bias: np.ndarray  # [C] for NUMBER the place of b among the dense parameters
    values: np.ndarray  # [C] place of object 0's code, bag offset or number
    codes: np.ndarray  # flat int32: codes and the ids of bags
    bag_offsets: np.ndarray  # flat int64, places in codes
    numbers: np.ndarray  # flat
    time: np.ndarray  # [G] place of the time table among the dense parameters, -1: times and actions are not looked up
    action: np.ndarray  # [G]


@njit(**KERNEL)
def add_scaled(y, y0, x, x0, n, a):
    """y[y0 : y0+n] += a x[x0 : x0+n], a strip at a time."""
    factor, j = splat(a, STRIP), 0
    while j + size(STRIP) <= n:
        store(y, y0 + j, load(y, y0 + j, STRIP) + factor * load(x, x0 + j, STRIP))
        j += size(STRIP)
    while j < n:
        y[y0 + j] += a * x[x0 + j]
        j += 1


@njit(**KERNEL)
def sum_scaled(y, y0, x, x0, x1, n, a):
    """y[y0 : y0+n] = a x[x0 : x0+n] + a x[x1 : x1+n]: not added to zeros, which would have to arrive first."""
    factor, j = splat(a, STRIP), 0
    while j + size(STRIP) <= n:
        store(y, y0 + j, factor * load(x, x0 + j, STRIP) + factor * load(x, x1 + j, STRIP))
        j += size(STRIP)
    while j < n:
        y[y0 + j] = a * x[x0 + j] + a * x[x1 + j]
        j += 1


@njit(**KERNEL)
def ask_for(features, tables, group, object):
    """Table rows that are needed soon come from far away; so they are asked for while others are computed."""
    for c in range(features.first_column[group], features.first_column[group + 1]):
        if features.kind[c] == LOOKUP:
            row = features.table[c] + np.int64(features.codes[features.values[c] + object]) * features.size[c]
            for j in range(0, features.size[c], size(STRIP)):
                prefetch(tables, row + j)


@njit(**KERNEL)
def embed(features, P, tables, scale, group, object, bucket, action, u, u0):
    """u[u0:] = emb(o) + lookup_time(bucket) + lookup_action(a), width[group] numbers; tables are stored divided by scale."""
    one = P.dtype.type(1)
    width = features.width[group]
    if features.time[group] >= 0:
        sum_scaled(u, u0, P, features.time[group] + bucket * width, features.action[group] + action * width, width, scale)
    else:
        for j in range(u0, u0 + width):
            u[j] = 0
    for c in range(features.first_column[group], features.first_column[group + 1]):
        n, table, value = features.size[c], features.table[c], features.values[c] + object
        if features.kind[c] == LOOKUP:
            add_scaled(u, u0, tables, table + np.int64(features.codes[value]) * n, n, scale)
        elif features.kind[c] == BAG:
            first, last = features.bag_offsets[value], features.bag_offsets[value + 1]
            for p in range(first, last):
                share = scale / P.dtype.type(last - first)
                add_scaled(u, u0, tables, table + np.int64(features.codes[p]) * n, n, share)
        else:
            add_scaled(u, u0, P, table, n, P.dtype.type(features.numbers[value]))
            add_scaled(u, u0, P, features.bias[c], n, one)
        u0 += n


@njit(**KERNEL)
def dense_backward(features, dP, group, object, bucket, action, du, u0):
    """The part of embed's backward that lands in dense gradients: time, action, and w and b of numbers."""
    one = dP.dtype.type(1)
    width = features.width[group]
    if features.time[group] >= 0:
        add_scaled(dP, features.time[group] + bucket * width, du, u0, width, one)
        add_scaled(dP, features.action[group] + action * width, du, u0, width, one)
    for c in range(features.first_column[group], features.first_column[group + 1]):
        n, table = features.size[c], features.table[c]
        if features.kind[c] == NUMBER:
            add_scaled(dP, table, du, u0, n, dP.dtype.type(features.numbers[features.values[c] + object]))
            add_scaled(dP, features.bias[c], du, u0, n, one)
        u0 += n


@njit(**KERNEL)
def scatter(features, tables, rate, group, object, du, u0):
    """tables -= rate du for the rows of one behaviour; row 0, `unknown`, never trains."""
    for c in range(features.first_column[group], features.first_column[group + 1]):
        n, table, value = features.size[c], features.table[c], features.values[c] + object
        if features.kind[c] == LOOKUP:
            code = np.int64(features.codes[value])
            if code > 0:
                add_scaled(tables, table + code * n, du, u0, n, -rate)
        elif features.kind[c] == BAG:
            first, last = features.bag_offsets[value], features.bag_offsets[value + 1]
            for p in range(first, last):
                code = np.int64(features.codes[p])
                if code > 0:
                    add_scaled(tables, table + code * n, du, u0, n, -rate / tables.dtype.type(last - first))
        u0 += n


@njit(**KERNEL)
def take_squares(features, rows, group, object):
    """The sum of squares of what `scatter` left in `rows` for one behaviour. They become 0: a row met again counts once."""
    squares = rows.dtype.type(0)
    for c in range(features.first_column[group], features.first_column[group + 1]):
        n, table, value = features.size[c], features.table[c], features.values[c] + object
        if features.kind[c] == LOOKUP:
            squares += take_square(rows, table + np.int64(features.codes[value]) * n, n)
        elif features.kind[c] == BAG:
            for p in range(features.bag_offsets[value], features.bag_offsets[value + 1]):
                squares += take_square(rows, table + np.int64(features.codes[p]) * n, n)
    return squares


@njit(**KERNEL)
def take_square(y, y0, n):
    """‖y[y0 : y0+n]‖², which becomes 0."""
    zero = y.dtype.type(0)
    squares, j = splat(zero, STRIP), 0
    while j + size(STRIP) <= n:
        strip = load(y, y0 + j, STRIP)
        squares = squares + strip * strip
        store(y, y0 + j, splat(zero, STRIP))
        j += size(STRIP)
    square = total(squares)
    while j < n:
        square += y[y0 + j] * y[y0 + j]
        y[y0 + j] = zero
        j += 1
    return square
