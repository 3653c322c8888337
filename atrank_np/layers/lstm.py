"""Long short-term memory (Hochreiter and Schmidhuber, 1997), for the competitors that read a history in its order.

    i, f, o = σ(·), g = tanh(·) of x_t W + h_{t-1} U + b, side by side in that order: i, f, g, o
    c_t = f ∘ c_{t-1} + i ∘ g          h_t = o ∘ tanh(c_t)          h_0 = c_0 = 0

Rows are packed and stay so: step t works on the t-th behaviour of every history that has one.
H: width of the hidden state. A: histories that are still running at a step.
"""

import numpy as np

from .perceptron import linear_backward, linear_forward
from .ranking import sigmoid


def steps(offsets, backwards):  # [B+1] -> list of [A]
    """The rows of each step. The longest histories come first, so those that are still running are always the first A,
    and the state of the step before needs no other order. backwards: from the last behaviour of a history to its first."""
    length = np.diff(offsets)
    order = np.argsort(-length, kind="stable")
    running = [order[length[order] > t] for t in range(length.max(initial=0))]
    return [offsets[b + 1] - 1 - t if backwards else offsets[b] + t for t, b in enumerate(running)]


def cell_forward(z, c):  # [A,4H], [A,H] -> [A,H], [A,H]
    """One step: the new h and c of what enters the four gates and the old c. Cache: all that has a name."""
    i, f, g, o = np.split(z, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)  # F1
    new_c = f * c + i * g  # F2
    squashed = np.tanh(new_c)  # F3
    h = o * squashed  # F4
    return h, new_c, (c, i, f, g, o, squashed)


def cell_backward(dh, dnew_c, cache):  # [A,H], [A,H] -> [A,4H], [A,H]
    """dnew_c comes from the step after: c goes on to it past the output gate."""
    c, i, f, g, o, squashed = cache
    do = dh * squashed  # B4
    dnew_c = dnew_c + dh * o * (1 - squashed**2)  # B4, B3: tanh' = 1 - tanh²
    di, dg, df, dc = dnew_c * g, dnew_c * i, dnew_c * c, dnew_c * f  # B2
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]  # B1: σ' = σ (1 - σ)
    return np.concatenate(dz, axis=1), dc


def lstm_forward(x, W, U, b, offsets, backwards):  # [N,D], [D,4H], [H,4H], [4H], [B+1], bool -> [N,H]
    """y_i = the state h after behaviour i. Cache: for every step its rows, the h that entered it and its cell's cache."""
    inputs, linear_cache = linear_forward(x, W, b)  # F1, of all steps at once: it needs no state
    y = np.zeros((len(x), len(U)), x.dtype)
    h = c = np.zeros((len(offsets) - 1, len(U)), x.dtype)
    kept = []
    for rows in steps(offsets, backwards):
        h, c = h[: len(rows)], c[: len(rows)]  # histories that have ended leave
        z = inputs[rows] + h @ U  # F2
        old_h = h
        h, c, cell_cache = cell_forward(z, c)  # F3
        y[rows] = h  # F4
        kept.append((rows, old_h, cell_cache))
    return y, (linear_cache, U, kept)


def lstm_backward(dy, cache):  # [N,H] -> [N,D], [D,4H], [H,4H], [4H]
    """Back-propagation through time: the steps in reverse, the gradient of the state handed from each to the one before."""
    linear_cache, U, kept = cache
    dz, dU = np.zeros((len(dy), U.shape[1]), dy.dtype), np.zeros_like(U)
    histories = len(kept[0][0]) if kept else 0
    dh, dc = np.zeros((2, histories, len(U)), dy.dtype)  # from the step after; zeros where a history ends
    for rows, old_h, cell_cache in reversed(kept):
        A = len(rows)
        dh[:A] += dy[rows]  # B4: the state is an output, and it goes on
        dz[rows], dc[:A] = cell_backward(dh[:A], dc[:A], cell_cache)  # B3
        dU += old_h.T @ dz[rows]  # B2, by U: the same matrix at every step, so a sum over the steps
        dh[:A] = dz[rows] @ U.T  # B2, by h
    dx, dW, db = linear_backward(dz, linear_cache)  # B1
    return dx, dW, dU, db


def ends_forward(y, offsets):  # [N,2H], [B+1] -> [B,2H]
    """The two final states of each history: the forward half of its last row, the backward half of its first; an empty
    history has zeros. Cache: shapes and offsets."""
    H, some = y.shape[1] // 2, np.flatnonzero(np.diff(offsets))
    v = np.zeros((len(offsets) - 1, 2 * H), y.dtype)
    v[some, :H], v[some, H:] = y[offsets[some + 1] - 1, :H], y[offsets[some], H:]  # F1
    return v, (y.shape, offsets)


def ends_backward(dv, cache):  # [B,2H] -> [N,2H]
    shape, offsets = cache
    dy, H, some = np.zeros(shape, dv.dtype), shape[1] // 2, np.flatnonzero(np.diff(offsets))
    dy[offsets[some + 1] - 1, :H], dy[offsets[some], H:] = dv[some, :H], dv[some, H:]  # B1
    return dy
