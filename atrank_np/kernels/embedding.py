"""numba twins of `layers.embedding`: gather and sum a behaviour's features, and scatter the gradient back.

u = emb(o) + time[bucket] + action[a], where emb(o) is the object's columns side by side: rows of tables, means of bags of
rows, and numbers times a vector. Tables are stored divided by `scale`.
"""

from typing import NamedTuple

import numpy as np

from .jit import inline, kernel
from .packed import Matrix
from .simd import STRIP, load, size, splat, store, total


class Column(NamedTuple):
    """A feature that looks rows up: one for an id or a category, the mean of several for tokens."""

    start: int  # its first number in emb(o)
    size: int  # how many
    table: np.ndarray  # [rows size]
    codes: np.ndarray  # [objects] the row of each; or the rows of tokens, object after object
    offsets: object  # [objects+1] where each object's tokens start; None for one row


class Number(NamedTuple):
    """A feature that is a number."""

    start: int
    size: int
    values: np.ndarray  # [objects]


class Group(NamedTuple):
    """A group of objects. bags, numbers: None if no group has any."""

    width: int  # of emb(o)
    target_action: int
    item_bias: np.ndarray  # [objects], or of no length
    lookups: list  # [Column] of one row each
    bags: list  # [Column] of tokens
    numbers: list


class Groups(NamedTuple):
    groups: list


class NumberParameters(NamedTuple):
    w: np.ndarray  # [size]
    b: np.ndarray


class GroupParameters(NamedTuple):
    """Dense parameters of a group, the same with the matrix transposed, or their gradients."""

    F_M_W: Matrix  # [width, D]
    F_M_b: np.ndarray  # [1, D]
    time: np.ndarray  # [buckets width], or of no length: times and actions are not looked up
    action: np.ndarray  # [actions width]
    numbers: list  # a NumberParameters for each of the group's, None if no group has any


@inline
def add_scaled(y, x, a):  # [n], [n]
    """y += a x, a strip at a time."""
    j = 0
    while j + size(STRIP) <= len(y):
        store(y, j, 0, load(y, j, 0, STRIP) + a * load(x, j, 0, STRIP))
        j += size(STRIP)
    while j < len(y):
        y[j] += a * x[j]
        j += 1


@inline
def dot(x, y):  # [n], [n]
    """x · y"""
    sums, j = splat(x, 0.0, STRIP), 0
    while j + size(STRIP) <= len(x):
        sums = sums + load(x, j, 0, STRIP) * load(y, j, 0, STRIP)
        j += size(STRIP)
    sum = total(sums)
    while j < len(x):
        sum += x[j] * y[j]
        j += 1
    return sum


@inline
def clear(y):  # [n]
    for j in range(len(y)):
        y[j] = 0


@inline
def row(table, code, size):
    """A row of a table, as a View of its numbers."""
    return table[np.int64(code) * size : (np.int64(code) + 1) * size]


@inline
def places(offsets, object):
    """Where the codes of an object are: first, last."""
    if offsets is None:
        return object, object + 1
    return offsets[object], offsets[object + 1]


@kernel
def embed(group, own, scale, object, bucket, action, u):  # Group, GroupParameters -> [width]
    """u = emb(o) + lookup_time(bucket) + lookup_action(a)"""
    clear(u)
    if len(own.time) > 0:
        add_scaled(u, row(own.time, bucket, len(u)), scale)
        add_scaled(u, row(own.action, action, len(u)), scale)
    embed_columns(group.lookups, scale, object, u)
    embed_columns(group.bags, scale, object, u)
    embed_numbers(group.numbers, own.numbers, object, u)


@inline
def embed_columns(columns, scale, object, u):
    if columns is not None:
        for c in range(len(columns)):
            column = columns[c]
            part, (first, last) = u[column.start : column.start + column.size], places(column.offsets, object)
            for p in range(first, last):
                add_scaled(part, row(column.table, column.codes[p], column.size), scale / (last - first))


@inline
def embed_numbers(numbers, own, object, u):
    if numbers is not None:
        for c in range(len(numbers)):
            column = numbers[c]
            part = u[column.start : column.start + column.size]
            add_scaled(part, own[c].w, np.float64(column.values[object]))
            add_scaled(part, own[c].b, 1.0)


@kernel
def dense_backward(group, d_own, object, bucket, action, du):  # Group, GroupParameters, ., ., ., [width]
    """The part of embed's backward that lands in dense gradients: time, action, and w and b of numbers."""
    if len(d_own.time) > 0:
        add_scaled(row(d_own.time, bucket, len(du)), du, 1.0)
        add_scaled(row(d_own.action, action, len(du)), du, 1.0)
    numbers_backward(group.numbers, d_own.numbers, object, du)


@inline
def numbers_backward(numbers, d_own, object, du):
    if numbers is not None:
        for c in range(len(numbers)):
            column = numbers[c]
            part = du[column.start : column.start + column.size]
            add_scaled(d_own[c].w, part, np.float64(column.values[object]))
            add_scaled(d_own[c].b, part, 1.0)


@kernel
def scatter(group, rate, object, du):  # Group, ., ., [width]
    """tables -= rate du for the rows of one behaviour."""
    scatter_columns(group.lookups, rate, object, du)
    scatter_columns(group.bags, rate, object, du)


@inline
def scatter_columns(columns, rate, object, du):
    if columns is not None:
        for c in range(len(columns)):
            column = columns[c]
            part, (first, last) = du[column.start : column.start + column.size], places(column.offsets, object)
            for p in range(first, last):
                if column.codes[p] > 0:  # row 0, `unknown`, never trains
                    add_scaled(row(column.table, column.codes[p], column.size), part, -rate / (last - first))


@kernel
def take_squares(group, object):  # Group
    """The sum of squares of what `scatter` left in the rows of one behaviour. They become 0: a row met again counts once."""
    return squares_of_columns(group.lookups, object) + squares_of_columns(group.bags, object)


@inline
def squares_of_columns(columns, object):
    squares = 0.0
    if columns is not None:
        for c in range(len(columns)):
            column, (first, last) = columns[c], places(columns[c].offsets, object)
            for p in range(first, last):
                squares += take_square(row(column.table, column.codes[p], column.size))
    return squares


@inline
def take_square(y):  # [n]
    """‖y‖², which becomes 0."""
    squares, j = splat(y, 0.0, STRIP), 0
    while j + size(STRIP) <= len(y):
        part = load(y, j, 0, STRIP)
        squares = squares + part * part
        store(y, j, 0, splat(y, 0.0, STRIP))
        j += size(STRIP)
    square = np.float64(total(squares))
    while j < len(y):
        square += y[j] * y[j]
        y[j] = 0
        j += 1
    return square
