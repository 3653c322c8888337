"""numba twins of `layers.convolution`, over the histories of a chunk.

A row of numbers, one for each feature map, is a Vector: so the maxima of all maps are found at once.
"""

from typing import NamedTuple

import numpy as np

from .elementwise import add_rows, length
from .jit import ZERO, inline, kernel
from .matrices import numbers_of_matrix, rows_from
from .packed import Matrix
from .products import add_product_of_transpose, product
from .simd import columns, lanes, load, maximum, store, where_equal, where_positive, zeros


class Convolution(NamedTuple):
    """The parameters of one window size w, the same with the matrix transposed, or their gradients."""

    W: Matrix  # [w D, F]
    b: np.ndarray  # [1, F]


class ConvolutionCache(NamedTuple):
    """Workspace of one window size. All sizes share the memory of laid_out and z, so the backward pass lays out again."""

    laid_out: Matrix  # [P, w D] the windows as rows; in the backward pass their gradient
    z: np.ndarray  # [P, F] before the relu; in the backward pass its gradient
    best: np.ndarray  # [B, F] which of its history's places is the strongest, or -1 where the feature is 0
    y: np.ndarray  # [B, F] the features
    dy: np.ndarray  # [B, F]


@inline
def windows_in(offsets, h, w):  # [B+1]
    """How many windows of w behaviours history h has: a shorter one has one, an empty one none."""
    n = length(offsets, h)
    return max(n - w + 1, min(n, 1))


@kernel
def lay_out(x, offsets, w, laid_out):  # [N, D], [B+1] -> [P, w D]
    """F1: the rows of each window side by side, zeros for those that a short history lacks. -> how many places P"""
    flat, place = numbers_of_matrix(laid_out), 0
    for h in range(len(offsets) - 1):
        for first in range(offsets[h], offsets[h] + windows_in(offsets, h, w)):
            for j in range(w):
                row = x[first + j] if first + j < offsets[h + 1] else zeros(x)
                store(flat, place * laid_out.row + j * columns(x), 0, row)
            place += 1
    return place


@kernel
def convolution_forward(x, own, offsets, cache):  # [N, D], ., [B+1]
    """cache.y = max over the places p of a history of relu(Σ_j x_{p+j} W_j + b); zeros for an empty history."""
    w, b, place = own.W.rows // columns(x), own.b[0], 0
    n = lay_out(x, offsets, w, cache.laid_out)  # F1
    product(rows_from(cache.laid_out, ZERO, n), own.W, cache.z[:n])  # F2
    for h in range(len(offsets) - 1):
        y, best = zeros(cache.y), zeros(cache.y) - 1
        for p in range(windows_in(offsets, h, w)):
            z = cache.z[place] + b
            best = best + where_positive(z - y, p - best)  # p where z is larger; a tie goes to the first
            y = maximum(y, z)  # F3; y begins with 0, so this is the relu, too
            place += 1
        cache.y[h], cache.best[h] = y, best


@kernel
def convolution_backward(x, own_T, d_own, offsets, cache, dx):  # [N, D], ., ., [B+1] -> [N, D]
    """Adds to dx and d_own."""
    w, place = own_T.W.columns // columns(x), 0
    n = lay_out(x, offsets, w, cache.laid_out)
    laid_out, dz = rows_from(cache.laid_out, ZERO, n), cache.z[:n]
    for h in range(len(offsets) - 1):
        for p in range(windows_in(offsets, h, w)):
            dz[place] = where_equal(cache.best[h], p, cache.dy[h])  # B3
            place += 1
    add_rows(dz, d_own.b)  # B2
    add_product_of_transpose(laid_out, dz, d_own.W)
    product(dz, own_T.W, laid_out)
    flat, place = numbers_of_matrix(laid_out), 0
    for h in range(len(offsets) - 1):
        for first in range(offsets[h], offsets[h] + windows_in(offsets, h, w)):
            for j in range(min(w, offsets[h + 1] - first)):
                dx[first + j] = dx[first + j] + load(flat, place * laid_out.row + j * columns(x), 0, lanes(x))  # B1
            place += 1
