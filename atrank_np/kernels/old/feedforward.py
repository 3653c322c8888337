"""numba twins of `layers.perceptron` and `layers.feedforward`: what happens to whole rows between matrix products.

Arrays are [rows, D] and C-contiguous, x0 is the first row that is meant, vectors of D numbers start at flat place 0.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .options import KERNEL
from .vectors import load, maximum, row, size, splat, store, total, where_positive

EPSILON = 1e-5  # that of layers.feedforward


@njit(**KERNEL)
def relu_forward(x, x0, rows, b, b0, D):
    """x = relu(x + b) in place; b from flat place b0. F1, F2 of the perceptron, the product aside."""
    r = row(x, size(D))
    bias, zero = load(b, b0, D), splat(x.dtype.type(0), D)
    for i in range(x0, x0 + rows):
        store(x, i * r, maximum(load(x, i * r, D) + bias, zero))


@njit(**KERNEL)
def relu_backward(dy, dy0, y, y0, rows, db, b0, D):
    """dy = dy ∘ (y > 0) in place, and db += its column sums. B2, B1 of the perceptron, the products aside."""
    bias = load(db, b0, D)
    for i in range(rows):
        place = (dy0 + i) * row(dy, size(D))
        dz = where_positive(load(y, (y0 + i) * row(y, size(D)), D), load(dy, place, D))
        store(dy, place, dz)
        bias = bias + dz
    store(db, b0, bias)


@njit(**KERNEL)
def residual_layer_norm_forward(x, x0, out, out0, rows, P, b2, gain, bias, normed, rstd, y, y0, D):
    """y = LN(x + out + b2), F4 of the feed-forward net; normed [y0 …] and rstd [y0 …] are its cache.

    b2, gain and bias are places in P; b2 < 0 means that `out` holds it already.
    """
    width, r = size(D), row(x, size(D))  # all of them have rows as far apart as x
    one_nth = x.dtype.type(1 / width)
    shift = splat(x.dtype.type(0), D) if b2 < 0 else load(P, b2, D)
    scale, offset = load(P, gain, D), load(P, bias, D)
    for i in range(rows):
        z = load(x, (x0 + i) * r, D) + (load(out, (out0 + i) * r, D) + shift)
        z = z - splat(total(z) * one_nth, D)  # F1 of the layer norm
        rstd[y0 + i] = x.dtype.type(1 / np.sqrt(total(z * z) * one_nth + EPSILON))  # F2
        z = z * splat(rstd[y0 + i], D)  # F3
        store(normed, (y0 + i) * r, z)
        store(y, (y0 + i) * r, z * scale + offset)  # F4


@njit(**KERNEL)
def layer_norm_backward(dy, dy0, normed, rstd, n0, rows, P, gain, dP, bias, D):
    """dy becomes dx in place; the gradients of gain and bias are added at their places in dP."""
    width = size(D)
    one_nth = dy.dtype.type(1 / width)
    scale, gain_sum, bias_sum = load(P, gain, D), load(dP, gain, D), load(dP, bias, D)
    for i in range(rows):
        g, x = load(dy, (dy0 + i) * row(dy, width), D), load(normed, (n0 + i) * row(normed, width), D)
        bias_sum = bias_sum + g  # B4
        gain_sum = gain_sum + g * x
        g = g * scale
        mean_road = splat(total(g) * one_nth, D)  # B1
        deviation_road = x * splat(total(g * x) * one_nth, D)  # B2
        store(dy, (dy0 + i) * row(dy, width), (g - mean_road - deviation_road) * splat(rstd[n0 + i], D))  # B3
    store(dP, gain, gain_sum)
    store(dP, bias, bias_sum)


@njit(**KERNEL)
def add_rows(x, x0, rows, dP, b, D):
    """The gradient of a bias: dP[b:] += the sum of the rows."""
    s = load(dP, b, D)
    for i in range(x0, x0 + rows):
        s = s + load(x, i * row(x, size(D)), D)
    store(dP, b, s)


@njit(**KERNEL)
def add(x, rows, y, D):
    """y += x, of the first rows."""
    for i in range(rows):
        r = row(x, size(D))
        store(y, i * r, load(y, i * r, D) + load(x, i * r, D))


@njit(**KERNEL)
def clear(y, first, last, D):
    """Rows first … last - 1 become 0."""
    for i in range(first, last):
        store(y, i * row(y, size(D)), splat(y.dtype.type(0), D))


class Mask(NamedTuple):
    """Which dropout mask `randomness.dropout_mask` makes, and where the rows and columns of a chunk stand in it."""

    rate: float
    key: int
    layer: int
    number: np.ndarray  # row i of the chunk is row number[first + i] - less of the mask
    first: int
    less: int
    columns: np.ndarray  # [D] kernel column j is column columns[j]


@njit(**KERNEL)
def dropout(x, x0, rows, P, b, mask, y, y0, D):
    """y = mask ∘ (x + b), b at its place in P or none if b < 0; the same hash as `randomness.dropout_mask`."""
    keep = x.dtype.type(1 / (1 - mask.rate))
    layer = np.uint64(mask.layer) << np.uint64(48)
    for i in range(rows):
        row = np.uint64(mask.number[mask.first + i] - mask.less) << np.uint64(16)
        for j in range(size(D)):
            z = np.uint64(mask.key) + np.uint64(0x9E3779B97F4A7C15) * (layer + row + np.uint64(mask.columns[j] + 1))
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
            value = x[x0 + i, j] if b < 0 else x[x0 + i, j] + P[b + j]
            y[y0 + i, j] = x.dtype.type(0) if uniform < mask.rate else keep * value
