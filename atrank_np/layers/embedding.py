"""Section "behaviour embedding": u = emb(o) + lookup_time(bucketize(t)) + lookup_action(a), by its parts."""

from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """The gradient of an embedding table: only the rows that a batch touched.

    ids: [R] int, sorted and unique; values: [R, E] (or [R] for a table of numbers).
    """

    ids: np.ndarray
    values: np.ndarray


def sum_rows(ids, values):  # [N], [N,E] -> Rows
    """Scatter-ADD: the values of equal ids are summed, in the order in which they come.

    `table[ids] += values` would keep one of the repeats and lose the others.
    """
    order = np.argsort(ids, kind="stable")
    unique, starts = np.unique(ids[order], return_index=True)
    if len(unique) == 0:
        return Rows(unique, values)
    return Rows(unique, np.add.reduceat(values[order], starts, axis=0))


def lookup_forward(table, ids):  # [V,E], [N] -> [N,E]
    """y_i = table[ids_i]. Cache: the ids."""
    y = table[ids]  # F1
    return y, ids


def lookup_backward(dy, cache):  # [N,E] -> Rows
    ids = cache
    return sum_rows(ids, dy)  # B1: row v collects dy_i of every i with ids_i = v


def bag_forward(table, ids, offsets):  # [V,E], [P], [N+1] -> [N,E]
    """Mean of a bag's rows: bag i is ids[offsets[i]:offsets[i+1]]; an empty bag is zeros. Cache: ids, their bag, 1/size."""
    size = np.diff(offsets)
    bag = np.repeat(np.arange(len(size)), size)
    weight = (1 / np.maximum(size, 1)).astype(table.dtype)[bag][:, None]
    y = np.zeros((len(size), table.shape[1]), table.dtype)
    np.add.at(y, bag, weight * table[ids])  # F1: y_i = sum over the bag of row / size
    return y, (ids, bag, weight)


def bag_backward(dy, cache):  # [N,E] -> Rows
    ids, bag, weight = cache
    return sum_rows(ids, weight * dy[bag])  # B1: each row of bag i gets dy_i / size


def number_forward(x, w, b):  # [N], [E], [E] -> [N,E]
    """A continuous feature, standardised, as wide as the others: y = x w + b. Cache: x."""
    y = x[:, None] * w + b  # F1
    return y, x


def number_backward(dy, cache):  # [N,E] -> [E], [E]
    x = cache
    return x @ dy, dy.sum(0)  # B1: dw, db; x is data, it needs no gradient
