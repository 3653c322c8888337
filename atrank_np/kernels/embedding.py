"""numba twins of `layers.embedding`: gather and sum a behaviour's features, and scatter the gradient back.

u = emb(o) + time[bucket] + action[a], where emb(o) is the object's columns side by side: rows of tables, means of bags of
rows, and numbers times a vector. Tables are stored divided by `scale`.
"""

from typing import NamedTuple

import numpy as np

from .elementwise import add_scaled, clear, dot, section
from .jit import inline, kernel
from .packed import Matrix
from .simd import STRIP, prefetch, size


class Column(NamedTuple):
    """A feature that looks rows of a table up: one for an id or a category, the mean of several for tokens."""

    start: int  # its first number in emb(o)
    size: int  # how many numbers
    table: np.ndarray  # [rows size]
    codes: np.ndarray  # the row of each object [objects]; or the rows of the tokens of all objects, one object after another
    offsets: np.ndarray  # [objects+1] where the tokens of each object begin; of no length for one row


class Number(NamedTuple):
    """A feature that is a number."""

    start: int
    size: int
    values: np.ndarray  # [objects]


class Group(NamedTuple):
    """A group of objects."""

    width: int  # of emb(o)
    target_action: int
    item_bias: np.ndarray  # [objects], or of no length
    columns: list  # [Column]
    numbers: list  # [Number]


class Groups(NamedTuple):
    groups: list


class Share(NamedTuple):
    """The rows of tables and item biases that a thread updates: thread, thread + threads, thread + 2 threads, …"""

    thread: int
    threads: int


EVERY_ROW = Share(np.int64(0), np.int64(1))


class NumberParameters(NamedTuple):
    w: np.ndarray  # [size]
    b: np.ndarray


class GroupParameters(NamedTuple):
    """Dense parameters of a group, the same with the matrix transposed, or their gradients."""

    F_M_W: Matrix  # [width, D]
    F_M_b: np.ndarray  # [1, D]
    time: np.ndarray  # [buckets width]; of no length if times and actions have no tables
    action: np.ndarray  # [actions width]
    numbers: list  # [NumberParameters] of the group's numbers


@inline
def row(table, code, size):  # [rows size] -> [size]
    """A row of a table, as a View of its numbers."""
    return table[np.int64(code) * size : (np.int64(code) + 1) * size]


@inline
def codes_of(column, object):  # -> [rows]
    """The rows of the table that belong to an object."""
    if len(column.offsets) == 0:
        return column.codes[object : object + 1]
    return section(column.codes, column.offsets, object)


@inline
def prefetch_object(group, object):
    """Asks for the rows of an object's single features."""
    for c in range(len(group.columns)):
        column = group.columns[c]
        if len(column.offsets) == 0:
            first = np.int64(column.codes[object]) * column.size
            for j in range(first, first + column.size, size(STRIP)):
                prefetch(column.table, j)


@inline
def part_of(u, feature):  # [width] -> [size]
    """The numbers of u that belong to a Column or a Number."""
    return u[feature.start : feature.start + feature.size]


@kernel
def embed(group, own, scale, object, bucket, action, u):  # Group, GroupParameters -> [width]
    """u = emb(o) + lookup_time(bucket) + lookup_action(a)"""
    clear(u)
    if len(own.time) > 0:
        add_scaled(u, row(own.time, bucket, len(u)), scale)
        add_scaled(u, row(own.action, action, len(u)), scale)
    for c in range(len(group.columns)):
        column, codes = group.columns[c], codes_of(group.columns[c], object)
        for i in range(len(codes)):
            add_scaled(part_of(u, column), row(column.table, codes[i], column.size), scale / len(codes))
    for c in range(len(group.numbers)):
        part = part_of(u, group.numbers[c])
        add_scaled(part, own.numbers[c].w, np.float64(group.numbers[c].values[object]))
        add_scaled(part, own.numbers[c].b, 1.0)


@kernel
def dense_backward(group, d_own, object, bucket, action, du):  # Group, GroupParameters, ., ., ., [width]
    """The part of embed's backward that lands in dense gradients: time, action, and w and b of numbers."""
    if len(d_own.time) > 0:
        add_scaled(row(d_own.time, bucket, len(du)), du, 1.0)
        add_scaled(row(d_own.action, action, len(du)), du, 1.0)
    for c in range(len(group.numbers)):
        part = part_of(du, group.numbers[c])
        add_scaled(d_own.numbers[c].w, part, np.float64(group.numbers[c].values[object]))
        add_scaled(d_own.numbers[c].b, part, 1.0)


@inline
def owns(share, row):
    """Whether a row is in the share."""
    return share.threads == 1 or row % share.threads == share.thread


@kernel
def scatter(group, share, rate, object, du):  # Group, Share, ., ., [width]
    """tables -= rate du for the rows of one behaviour that are in the share."""
    for c in range(len(group.columns)):
        column, codes = group.columns[c], codes_of(group.columns[c], object)
        for i in range(len(codes)):
            if codes[i] > 0 and owns(share, codes[i]):  # row 0, `unknown`, never trains
                add_scaled(row(column.table, codes[i], column.size), part_of(du, column), -rate / len(codes))


@kernel
def take_squares(group, object):  # Group
    """The sum of squares of what was added to an object's rows and item bias. They become 0: a row met again counts once."""
    squares = 0.0
    for c in range(len(group.columns)):
        column, codes = group.columns[c], codes_of(group.columns[c], object)
        for i in range(len(codes)):
            squares += take_square(row(column.table, codes[i], column.size))
    if len(group.item_bias) > 0:
        squares += take_square(group.item_bias[object : object + 1])
    return squares


@inline
def take_square(y):  # [n]
    """‖y‖², which becomes 0."""
    square = np.float64(dot(y, y))
    clear(y)
    return square
