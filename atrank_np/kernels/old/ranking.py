"""numba twins of `layers.ranking`: f of (8), and both losses, over the targets of one chunk."""

from typing import NamedTuple

import numpy as np
from numba import njit

from .feedforward import relu_backward, relu_forward
from .options import ADD, KERNEL, SET, ZERO
from .products import product, product_of_transpose
from .vectors import load, row, size, splat, store, total


class DeepAt(NamedTuple):
    """Places of the deep f's parameters among the dense ones; W1 is three blocks [D, D], for h, e and h ∘ e."""

    W1: int
    b1: int
    w2: int
    b2: int


@njit(**KERNEL)
def pointwise(f, label, norm, df, first, last):
    """Σ softplus(f) - y f over targets first … last - 1; df is the derivative of norm times it."""
    loss = 0.0
    for i in range(first, last):
        z, y = np.float64(f[i]), np.float64(label[i])
        e = np.exp(-abs(z))
        loss += max(z, 0.0) + np.log1p(e) - y * z  # F1
        df[i] = ((1.0 if z >= 0 else e) / (1 + e) - y) * norm  # B1
    return loss


@njit(**KERNEL)
def pairwise(f, label, norm, df, first, last):
    """Σ softplus(f⁻ - f⁺) over the (positive, negative) pairs of one history's targets; df as above."""
    loss = 0.0
    df[first:last] = 0
    for i in range(first, last):
        for j in range(first, last):
            if label[i] > 0 and label[j] <= 0:
                margin = np.float64(f[i] - f[j])  # F1
                e = np.exp(-abs(margin))
                loss += max(-margin, 0.0) + np.log1p(e)  # F2
                slope = (e if margin >= 0 else 1.0) / (1 + e) * norm  # B2
                df[i] -= slope  # B1
                df[j] += slope
    return loss


@njit(**KERNEL)
def count_pairs(label, offsets):
    """How many `layers.ranking.pairs_of` finds: in every history, positives times negatives."""
    count = 0
    for b in range(len(offsets) - 1):
        positives = 0
        for t in range(offsets[b], offsets[b + 1]):
            positives += label[t] > 0
        count += positives * (offsets[b + 1] - offsets[b] - positives)
    return count


@njit(**KERNEL)
def dot_forward(h, h0, e, e0, rows, f, D):
    """f[i] = h[h0 + i] · e[e0 + i]"""
    for i in range(rows):
        f[i] = total(load(h, (h0 + i) * row(h, size(D)), D) * load(e, (e0 + i) * row(e, size(D)), D))  # F1


@njit(**KERNEL)
def dot_backward(df, h, h0, e, e0, rows, dh, dh0, de, de0, D):
    width = size(D)
    for i in range(rows):
        g = splat(df[i], D)
        store(dh, (dh0 + i) * row(dh, width), g * load(e, (e0 + i) * row(e, width), D))  # B1
        store(de, (de0 + i) * row(de, width), g * load(h, (h0 + i) * row(h, width), D))


@njit(**KERNEL)
def deep_forward(h, h0, e, e0, rows, P, at, he, hidden, f, D):
    """f = relu([h, e, h ∘ e] W1 + b1) w2 + b2; he and hidden [rows, D] are the cache."""
    width = size(D)
    for i in range(rows):
        store(he, i * row(he, width), load(h, (h0 + i) * row(h, width), D) * load(e, (e0 + i) * row(e, width), D))  # F1
    product(h, h0, rows, width, P, at.W1, width, hidden, ZERO, SET)  # F2, the concatenation block by block
    product(e, e0, rows, width, P, at.W1 + width * width, width, hidden, ZERO, ADD)
    product(he, ZERO, rows, width, P, at.W1 + 2 * width * width, width, hidden, ZERO, ADD)
    relu_forward(hidden, ZERO, rows, P, at.b1, D)
    w2 = load(P, at.w2, D)
    for i in range(rows):
        f[i] = total(load(hidden, i * row(hidden, width), D) * w2) + P[at.b2]  # F3


@njit(**KERNEL)
def deep_backward(df, h, h0, e, e0, rows, P, PT, dP, at, he, hidden, dhidden, dh, dh0, de, de0, D):
    """dh and de are written, he is overwritten; the parameters' gradients are added to."""
    width, block = size(D), size(D) * size(D)
    w2, dw2 = load(P, at.w2, D), load(dP, at.w2, D)
    for i in range(rows):
        g = splat(df[i], D)
        dP[at.b2] += df[i]  # B3
        dw2 = dw2 + g * load(hidden, i * row(hidden, width), D)
        store(dhidden, i * row(dhidden, width), g * w2)
    store(dP, at.w2, dw2)
    relu_backward(dhidden, ZERO, hidden, ZERO, rows, dP, at.b1, D)  # B2
    product_of_transpose(h, h0, rows, width, dhidden, ZERO, width, dP, at.W1, ADD)
    product_of_transpose(e, e0, rows, width, dhidden, ZERO, width, dP, at.W1 + block, ADD)
    product_of_transpose(he, ZERO, rows, width, dhidden, ZERO, width, dP, at.W1 + 2 * block, ADD)
    product(dhidden, ZERO, rows, width, PT, at.W1, width, dh, dh0, SET)
    product(dhidden, ZERO, rows, width, PT, at.W1 + block, width, de, de0, SET)
    product(dhidden, ZERO, rows, width, PT, at.W1 + 2 * block, width, he, ZERO, SET)
    for i in range(rows):  # B1
        g, x, y = load(he, i * row(he, width), D), (h0 + i) * row(h, width), (e0 + i) * row(e, width)
        store(dh, (dh0 + i) * row(dh, width), load(dh, (dh0 + i) * row(dh, width), D) + g * load(e, y, D))
        store(de, (de0 + i) * row(de, width), load(de, (de0 + i) * row(de, width), D) + g * load(h, x, D))
