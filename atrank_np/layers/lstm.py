"""Long short-term memory (Hochreiter and Schmidhuber, 1997), for the competitors that read a history in its order.

    i, f, o = σ(·), g = tanh(·) of x_t W + h_{t-1} U + b, side by side in that order: i, f, g, o
    c_t = f ∘ c_{t-1} + i ∘ g          h_t = o ∘ tanh(c_t)          h_0 = c_0 = 0

Rows are packed and stay so: step t works on the t-th behaviour of every history that has one.
H: width of the hidden state. A: histories that are still running at a step.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from .perceptron import LinearCache, linear_backward, linear_forward
from .ranking import sigmoid


class CellCache(NamedTuple):
    c: Floats  # [A,H], the old one
    i: Floats
    f: Floats
    g: Floats
    o: Floats
    squashed: Floats  # [A,H], tanh of the new c


class StepCache(NamedTuple):
    rows: Ints  # [A], the behaviours of the step
    old_h: Floats  # [A,H]
    cell: CellCache


class LSTMCache(NamedTuple):
    linear: LinearCache
    U: Floats  # [H,4H]
    steps: list[StepCache]


class EndsCache(NamedTuple):
    shape: tuple[int, ...]  # (N, 2H)
    offsets: Ints  # [B+1]


def steps(offsets: Ints, backwards: bool) -> list[Ints]:  # [B+1] -> list of [A]
    """The rows of each step; backwards: from the last behaviour of a history to its first.

    The longest histories come first. So the histories that are still running are always the first A of the step before, and
    its state is only cut, never reordered.
    """
    length = np.diff(offsets)
    order = np.argsort(-length, kind="stable")
    running = [order[length[order] > t] for t in range(length.max(initial=0))]
    return [offsets[b + 1] - 1 - t if backwards else offsets[b] + t for t, b in enumerate(running)]


def cell_forward(z: Floats, c: Floats) -> tuple[Floats, Floats, CellCache]:  # [A,4H], [A,H] -> [A,H], [A,H]
    """One step, from the input z of the four gates and the old c to the new h and c. Cache: the old c, the gates, tanh(c)."""
    i, f, g, o = np.split(z, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)  # F1
    new_c = f * c + i * g  # F2
    squashed = np.tanh(new_c)  # F3
    h = o * squashed  # F4
    return h, new_c, CellCache(c, i, f, g, o, squashed)


def cell_backward(dh: Floats, dnew_c: Floats, cache: CellCache) -> tuple[Floats, Floats]:  # [A,H], [A,H] -> [A,4H], [A,H]
    """dnew_c comes from the next step, which reads c as it is, without the output gate."""
    c, i, f, g, o, squashed = cache
    do = dh * squashed  # B4
    dnew_c = dnew_c + dh * o * (1 - squashed**2)  # B4, B3: tanh' = 1 - tanh²
    di, dg, df, dc = dnew_c * g, dnew_c * i, dnew_c * c, dnew_c * f  # B2
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]  # B1: σ' = σ (1 - σ)
    return np.concatenate(dz, axis=1), dc


def lstm_forward(
    x: Floats, W: Floats, U: Floats, b: Floats, offsets: Ints, backwards: bool
) -> tuple[Floats, LSTMCache]:  # [N,D], [D,4H], [H,4H], [4H], [B+1], bool -> [N,H]
    """y_i = the state h after behaviour i. Cache: x, W, U; for every step its rows, the old h and the cell's cache."""
    inputs, linear_cache = linear_forward(x, W, b)  # F1, of all steps at once: it needs no state
    y = np.zeros((len(x), len(U)), x.dtype)
    h = c = np.zeros((len(offsets) - 1, len(U)), x.dtype)
    kept = []
    for rows in steps(offsets, backwards):
        h, c = h[: len(rows)], c[: len(rows)]  # histories that have ended drop out
        z = inputs[rows] + h @ U  # F2
        old_h = h
        h, c, cell_cache = cell_forward(z, c)  # F3
        y[rows] = h  # F4
        kept.append(StepCache(rows, old_h, cell_cache))
    return y, LSTMCache(linear_cache, U, kept)


def lstm_backward(dy: Floats, cache: LSTMCache) -> tuple[Floats, Floats, Floats, Floats]:  # [N,H] -> [N,D], [D,4H], [H,4H], [4H]
    """Back-propagation through time: the steps in reverse; each passes the gradient of its state to the step before."""
    linear_cache, U, kept = cache
    dz, dU = np.zeros((len(dy), U.shape[1]), dy.dtype), np.zeros_like(U)
    histories = len(kept[0].rows) if kept else 0
    dh, dc = np.zeros((2, histories, len(U)), dy.dtype)  # from the step after; zeros where a history ends
    for rows, old_h, cell_cache in reversed(kept):
        A = len(rows)
        dh[:A] += dy[rows]  # B4: the state is an output and enters the next step, so its gradients add up
        dz[rows], dc[:A] = cell_backward(dh[:A], dc[:A], cell_cache)  # B3
        dU += old_h.T @ dz[rows]  # B2, by U: the same matrix at every step, so a sum over the steps
        dh[:A] = dz[rows] @ U.T  # B2, by h
    dx, dW, db = linear_backward(dz, linear_cache)  # B1
    return dx, dW, dU, db


def ends_forward(y: Floats, offsets: Ints) -> tuple[Floats, EndsCache]:  # [N,2H], [B+1] -> [B,2H]
    """The two final states of each history: the forward half of its last row, the backward half of its first.

    An empty history has zeros. Cache: the shape of y, and the offsets.
    """
    H, some = y.shape[1] // 2, np.flatnonzero(np.diff(offsets))
    v = np.zeros((len(offsets) - 1, 2 * H), y.dtype)
    v[some, :H], v[some, H:] = y[offsets[some + 1] - 1, :H], y[offsets[some], H:]  # F1
    return v, EndsCache(y.shape, offsets)


def ends_backward(dv: Floats, cache: EndsCache) -> Floats:  # [B,2H] -> [N,2H]
    shape, offsets = cache
    dy, H, some = np.zeros(shape, dv.dtype), shape[1] // 2, np.flatnonzero(np.diff(offsets))
    dy[offsets[some + 1] - 1, :H], dy[offsets[some], H:] = dv[some, :H], dv[some, H:]  # B1
    return dy
