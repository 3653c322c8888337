"""The ranking function f(h_t, e_t) and the losses of (8)."""

import numpy as np

from .perceptron import linear_backward, linear_forward, perceptron_backward, perceptron_forward


def dot_forward(h, e):  # [T,D], [T,D] -> [T]
    """f = h · e, as in the paper's experiments. Cache: both."""
    return (h * e).sum(1), (h, e)  # F1


def dot_backward(df, cache):  # [T] -> [T,D], [T,D]
    h, e = cache
    return df[:, None] * e, df[:, None] * h  # B1


def deep_forward(h, e, W1, b1, w2, b2):  # [T,D], [T,D], [3D,H], [H], [H,1], [1] -> [T]
    """f = relu([h, e, h ∘ e] W1 + b1) w2 + b2, the "more complexed deep neural network" of the text under (8)."""
    x = np.concatenate([h, e, h * e], axis=1)  # F1
    hidden, hidden_cache = perceptron_forward(x, W1, b1)  # F2
    f, out_cache = linear_forward(hidden, w2, b2)  # F3
    return f[:, 0], (h, e, hidden_cache, out_cache)


def deep_backward(df, cache):  # [T] -> [T,D], [T,D], [3D,H], [H], [H,1], [1]
    h, e, hidden_cache, out_cache = cache
    dhidden, dw2, db2 = linear_backward(df[:, None], out_cache)  # B3
    dx, dW1, db1 = perceptron_backward(dhidden, hidden_cache)  # B2
    dh, de, dproduct = np.split(dx, 3, axis=1)  # B1: the three parts of the concatenation
    return dh + dproduct * e, de + dproduct * h, dW1, db1, dw2, db2


def broadcast_user_forward(v, target_offsets):  # [B,D], [B+1] -> [T,D]
    """The same user vector for every target of a history, for models whose user vector does not depend on the target."""
    owner = np.repeat(np.arange(len(v)), np.diff(target_offsets))
    return v[owner], (len(v), owner)  # F1


def broadcast_user_backward(de, cache):  # [T,D] -> [B,D]
    B, owner = cache
    dv = np.zeros((B, de.shape[1]), de.dtype)
    np.add.at(dv, owner, de)  # B1: all targets of a history pull at the same vector
    return dv


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow: exp is only taken of numbers that are not positive."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def pointwise_forward(f, label):  # [T], [T] in {0, 1} -> number
    """(8), the mean over the targets: -y log σ(f) - (1 - y) log(1 - σ(f)) = softplus(f) - y f. Cache: f, y."""
    loss = (softplus(f) - label * f).mean()  # F1
    return loss, (f, label)


def pointwise_backward(dloss, cache):  # number -> [T]
    f, label = cache
    return dloss * (sigmoid(f) - label) / f.dtype.type(len(f))  # B1: softplus' = σ


def pairs_of(label, target_offsets):  # [T], [B+1] -> [X], [X]
    """All (positive, negative) pairs of targets of the same history, as two arrays of target places."""
    positive, negative = [], []
    for start, stop in zip(target_offsets[:-1], target_offsets[1:]):
        here = label[start:stop]
        up, down = np.meshgrid(np.flatnonzero(here > 0), np.flatnonzero(here <= 0), indexing="ij")
        positive.append(start + up.ravel())
        negative.append(start + down.ravel())
    return np.concatenate(positive), np.concatenate(negative)


def pairwise_forward(f, positive, negative):  # [T], [X], [X] -> number
    """The pair-wise loss, mean over the pairs: -log σ(f⁺ - f⁻) = softplus(f⁻ - f⁺). Cache: differences and pairs."""
    margin = f[positive] - f[negative]  # F1
    loss = softplus(-margin).mean()  # F2
    return loss, (margin, positive, negative, len(f))


def pairwise_backward(dloss, cache):  # number -> [T]
    margin, positive, negative, T = cache
    dmargin = -dloss * sigmoid(-margin) / margin.dtype.type(len(margin))  # B2
    df = np.zeros(T, margin.dtype)
    np.add.at(df, positive, dmargin)  # B1: a target may stand in several pairs
    np.add.at(df, negative, -dmargin)
    return df
