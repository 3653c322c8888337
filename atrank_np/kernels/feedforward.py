"""numba twins of `layers.perceptron` and `layers.feedforward`. Arrays are Views of rows, vectors are Views of one row."""

from typing import NamedTuple

import numpy as np

from .elementwise import add_rows, copy
from .jit import inline, kernel
from .layout import aligned, rows
from .packed import Matrix
from .products import add_product, add_product_of_transpose, product
from .simd import columns, maximum, total, where_positive, zeros

EPSILON = 1e-5  # that of layers.feedforward


class FeedForward(NamedTuple):
    """The parameters of F_self or F_vanilla, the same with the matrices transposed, or their gradients."""

    W1: Matrix  # [D, D]
    b1: np.ndarray  # [1, D]
    W2: Matrix  # [D, D]
    b2: np.ndarray  # [1, D]
    gain: np.ndarray  # [1, D]
    bias: np.ndarray  # [1, D]


class FeedForwardCache(NamedTuple):
    """What the backward pass needs of n rows, and room for gradients."""

    x: np.ndarray  # [n, D] the input
    hidden: np.ndarray  # [n, D] after the relu
    out: np.ndarray  # [n, D] what the residual connection adds to x; in the backward pass its gradient
    normed: np.ndarray  # [n, D] (the layer norm's input - its mean) / its deviation
    rstd: np.ndarray  # [n] 1 / the deviation
    dhidden: np.ndarray  # [n, D]


def new_cache(n, D, dtype):
    """FeedForwardCache of n rows."""
    x, hidden, out, normed, dhidden = (rows(n, D, dtype) for _ in range(5))
    return FeedForwardCache(x, hidden, out, normed, aligned(n, dtype), dhidden)


@inline
def rows_of_cache(cache, first, last):
    """Rows first … last-1 of a FeedForwardCache."""
    c, part = cache, slice(first, last)
    return FeedForwardCache(c.x[part], c.hidden[part], c.out[part], c.normed[part], c.rstd[part], c.dhidden[part])


@kernel
def relu_forward(x, b):  # [n, D], [1, D]
    """x = relu(x + b) in place: F1, F2 of the perceptron, the product aside."""
    bias, zero = b[0], zeros(x)
    for i in range(len(x)):
        x[i] = maximum(x[i] + bias, zero)


@kernel
def relu_backward(dy, y, db):  # [n, D], [n, D], [1, D]
    """dy = dy ∘ (y > 0) in place, and db += its sum over the rows: B2, B1 of the perceptron, the products aside."""
    dbias = db[0]
    for i in range(len(dy)):
        dz = where_positive(y[i], dy[i])
        dy[i] = dz
        dbias = dbias + dz
    db[0] = dbias


@kernel
def project(x, W, b, y):  # [n, I], [I, D], [1, D] -> [n, D]
    """y = relu(x W + b), a perceptron of the common space."""
    product(x, W, y)
    relu_forward(y, b)


@kernel
def project_backward(dy, y, x, W_T, dW, db, dx):  # [n, D], [n, D], [n, I], [D, I], [I, D], [1, D], [n, I]
    """Adds to dW, db and dx. dy becomes the gradient before the relu."""
    relu_backward(dy, y, db)
    add_product_of_transpose(x, dy, dW)
    add_product(dy, W_T, dx)


@kernel
def layer_norm_forward(x, out, shift, F, cache, y):  # [n, D], [n, D], [1, D] -> [n, D]
    """y = LN(x + out + shift), F4 of the feed-forward net."""
    one_over_D = 1 / columns(x)
    b, gain, bias = shift[0], F.gain[0], F.bias[0]
    for i in range(len(x)):
        z = x[i] + (out[i] + b)
        z = z - total(z) * one_over_D  # F1 of the layer norm
        cache.rstd[i] = 1 / np.sqrt(total(z * z) * one_over_D + EPSILON)  # F2
        z = z * cache.rstd[i]  # F3
        cache.normed[i] = z
        y[i] = z * gain + bias  # F4


@kernel
def layer_norm_backward(dy, F, dF, cache):  # [n, D]
    """dy becomes dx in place; adds to dF.gain and dF.bias."""
    one_over_D = 1 / columns(dy)
    gain, dgain, dbias = F.gain[0], dF.gain[0], dF.bias[0]
    for i in range(len(dy)):
        g, x = dy[i], cache.normed[i]
        dbias = dbias + g  # B4
        dgain = dgain + g * x
        g = g * gain
        mean_road = total(g) * one_over_D  # B1
        deviation_road = x * (total(g * x) * one_over_D)  # B2
        dy[i] = (g - mean_road - deviation_road) * cache.rstd[i]  # B3
    dF.gain[0], dF.bias[0] = dgain, dbias


@kernel
def feed_forward(F, mask, cache, y):  # -> [n, D]
    """F_self or F_vanilla of the rows cache.x; mask: of the dropout, or None."""
    project(cache.x, F.W1, F.b1, cache.hidden)  # F1
    second_layer(F, mask, cache, y)


@kernel
def second_layer(F, mask, cache, y):  # -> [n, D]
    """F2 to F4 of the feed-forward net, from cache.hidden on."""
    product(cache.hidden, F.W2, cache.out)  # F2
    shift = F.b2
    if mask is not None:
        dropout(cache.out, F.b2, mask)  # F3
        shift = mask.dropout.nothing
    layer_norm_forward(cache.x, cache.out, shift, F, cache, y)  # F4


@kernel
def feed_forward_backward(dy, F_T, dF, mask, cache):  # [n, D]
    """dy becomes dx in place; adds to dF. F_T: F with its matrices transposed."""
    layer_norm_backward(dy, F_T, dF, cache)  # B4
    dout = dy
    if mask is not None:
        copy(dy, cache.out)
        dropout(cache.out, mask.dropout.nothing, mask)  # B3
        dout = cache.out
    add_rows(dout, dF.b2)  # B2
    add_product_of_transpose(cache.hidden, dout, dF.W2)
    product(dout, F_T.W2, cache.dhidden)
    project_backward(cache.dhidden, cache.hidden, cache.x, F_T.W1, dF.W1, dF.b1, dy)  # B1, beside the residual connection


class Dropout(NamedTuple):
    """The dropout of a step, as `randomness.dropout_mask` makes it."""

    rate: float  # 0 when nothing is trained
    key: int
    column: np.ndarray  # [D] the number that a column of the kernels has in the parameters' own order
    nothing: np.ndarray  # [1, D] zeros


class Mask(NamedTuple):
    """The part of a mask that belongs to some rows."""

    dropout: Dropout
    layer: int
    number: np.ndarray  # [n] row i here is row number[i] - less of the mask
    less: int


@inline
def mask_of(dropout, layer, number, less):
    """The Mask, or None for no dropout."""
    if dropout is None:
        return None
    return Mask(dropout, layer, number, less)


@kernel
def dropout(x, b, mask):  # [n, D], [1, D]
    """x = mask ∘ (x + b) in place: the same hash as `randomness.dropout_mask`."""
    of = mask.dropout
    layer = np.uint64(mask.layer) << np.uint64(48)
    for i in range(len(x)):
        x[i] = x[i] + b[0]
        row = np.uint64(mask.number[i] - mask.less) << np.uint64(16)
        for j in range(columns(x) if of.rate > 0 else 0):
            z = np.uint64(of.key) + np.uint64(0x9E3779B97F4A7C15) * (layer + row + np.uint64(of.column[j] + 1))
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
            x[i, j] = 0 if uniform < of.rate else x[i, j] * (1 / (1 - of.rate))
