"""Section "behaviour embedding": u = emb(o) + lookup_time(bucketize(t)) + lookup_action(a), by its parts."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats, Ints


class Rows(NamedTuple):
    """The gradient of an embedding table: only the rows that a batch touched."""

    ids: Ints  # [R], sorted and unique
    values: Floats  # [R,E], or [R] for a table of numbers


Gradient = Floats | Rows  # of a parameter


class BagCache(NamedTuple):
    ids: Ints  # [P]
    bag: Ints  # [P], the bag of each id
    weight: Floats  # [P,1], 1 / size of that bag


def sum_rows(ids: Ints, values: Floats) -> Rows:  # [N], [N,E] -> Rows
    """Scatter-ADD: the values of equal ids are summed, in the order in which they come.

    `table[ids] += values` would keep one of the repeats and lose the others.
    """
    order = np.argsort(ids, kind="stable")
    unique, starts = np.unique(ids[order], return_index=True)
    if len(unique) == 0:
        return Rows(unique, values)
    return Rows(unique, np.add.reduceat(values[order], starts, axis=0))


def lookup_forward(table: Floats, ids: Ints) -> tuple[Floats, Ints]:  # [V,E], [N] -> [N,E]
    """y_i = table[ids_i], for a table [V] of numbers too. Cache: the ids."""
    y = table[ids]  # F1
    return y, ids


def lookup_backward(dy: Floats, cache: Ints) -> Rows:  # [N,E] -> Rows
    ids = cache
    return sum_rows(ids, dy)  # B1: row v is the sum of dy_i over all i with ids_i = v


def bag_forward(table: Floats, ids: Ints, offsets: Ints) -> tuple[Floats, BagCache]:  # [V,E], [P], [N+1] -> [N,E]
    """Mean of a bag's rows: bag i is ids[offsets[i]:offsets[i+1]]; an empty bag is zeros. Cache: ids, their bag, 1/size."""
    size = np.diff(offsets)
    bag = np.repeat(np.arange(len(size)), size)
    weight = (1 / np.maximum(size, 1)).astype(table.dtype)[bag][:, None]
    y = np.zeros((len(size), table.shape[1]), table.dtype)
    np.add.at(y, bag, weight * table[ids])  # F1: y_i = sum over the bag of row / size
    return y, BagCache(ids, bag, weight)


def bag_backward(dy: Floats, cache: BagCache) -> Rows:  # [N,E] -> Rows
    ids, bag, weight = cache
    return sum_rows(ids, weight * dy[bag])  # B1: each row of bag i gets dy_i / size


def number_forward(x: Floats, w: Floats, b: Floats) -> tuple[Floats, Floats]:  # [N], [E], [E] -> [N,E]
    """A number, standardised, becomes a row as wide as any other feature: y = x w + b. Cache: x."""
    y = x[:, None] * w + b  # F1
    return y, x


def number_backward(dy: Floats, cache: Floats) -> tuple[Floats, Floats]:  # [N,E] -> [E], [E]
    x = cache
    return x @ dy, dy.sum(0)  # B1: dw, db; x is data, it needs no gradient
