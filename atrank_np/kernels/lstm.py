"""numba twins of `layers.lstm`.

Inside, rows stand in the order of the steps: first the first behaviours of all histories, the longest history first, then all
second ones, and so on. So what a step reads or writes is one block of rows.
"""

from typing import NamedTuple

import numpy as np

from .elementwise import add_rows, clear, copy, length, section
from .jit import inline, kernel
from .layout import rows
from .packed import Matrix
from .products import add_product, add_product_of_transpose, product
from .simd import STRIP, columns, exp, load, maximum, multiply_add, size, splat, store, strip, where_positive, zeros

FORWARDS, BACKWARDS = np.int64(0), np.int64(1)


class LSTM(NamedTuple):
    """The parameters of one direction, the same with the matrices transposed, or their gradients."""

    W: Matrix  # [D, 4H]
    U: Matrix  # [H, 4H]
    b: np.ndarray  # [1, 4H]


class LSTMCache(NamedTuple):
    """What the backward pass needs of n rows of B histories, in the order of the steps, and room for gradients."""

    order: np.ndarray  # [B] the histories, the longest first
    start: np.ndarray  # [n+1] the first row of each step, and one past the last
    place: np.ndarray  # [n] for each row the behaviour that it belongs to
    steps: int  # how many there are
    x: np.ndarray  # [n, D] the inputs; in the backward pass their gradients
    gates: np.ndarray  # [n, 4H] z, then i, f, g, o; in the backward pass dz
    c: np.ndarray  # [n, H] the cells
    h: np.ndarray  # [n, H] the states
    old_h: np.ndarray  # [n, H] the states that entered
    dh: np.ndarray  # [n, H]
    dc: np.ndarray  # [B, H]


class Sides(NamedTuple):
    """Rows of both directions side by side, and their halves."""

    both: np.ndarray  # [n, 2H]
    forwards: np.ndarray  # [n, H]
    backwards: np.ndarray  # [n, H]


def new_lstm_cache(n, D, H, dtype):
    """LSTMCache for up to n rows and histories."""
    integers = (np.zeros(n + extra, np.int64) for extra in (0, 1, 0))
    return LSTMCache(*integers, 0, *(rows(n, width, dtype) for width in (D, 4 * H, H, H, H, H, H)))


def new_sides(n, H, dtype):
    both = rows(n, 2 * H, dtype)
    return Sides(both, both[:, :H], both[:, H:])


@kernel
def make_steps(offsets, backwards, cache):  # [B+1], bool
    """Fills the cache's order, start, place and steps, as `layers.lstm.steps` finds them."""
    order, start, place, B = cache.order, cache.start, cache.place, len(offsets) - 1
    for b in range(B):  # a sort by insertion: a chunk's histories are few, and nearly sorted
        i = b
        while i > 0 and length(offsets, order[i - 1]) < length(offsets, b):
            order[i] = order[i - 1]
            i -= 1
        order[i] = b
    t, row, A = 0, 0, B
    start[0] = 0
    while row < offsets[B]:
        while length(offsets, order[A - 1]) <= t:
            A -= 1
        for i in range(A):
            b = order[i]
            place[row + i] = offsets[b + 1] - 1 - t if backwards else offsets[b] + t
        row += A
        t += 1
        start[t] = row
    cache.steps = t


@inline
def before_step(x, cache, t):  # [n, .] -> [A, .]
    """The rows of the same histories one step before t; none if t is the first step."""
    first, A = cache.start[max(t - 1, 0)], cache.start[t + 1] - cache.start[t]
    return x[first : first + (A if t > 0 else 0)]


@inline
def sigmoid(x):
    """1 / (1 + exp(-x)), by exp(-|x|), which cannot overflow."""
    e = exp(0.0 - maximum(x, 0.0 - x))
    s = 1.0 / (1.0 + e)
    return where_positive(x, s - e * s) + e * s


@inline
def tanh(x):
    """tanh(x), by exp(-2 |x|), which cannot overflow."""
    e = exp(0.0 - maximum(x + x, 0.0 - (x + x)))
    t = (1.0 - e) / (1.0 + e)  # of |x|
    return where_positive(x, t + t) - t


@inline
def load_gates(z, r, p, C):  # [A, 4H] -> four times [C]
    """C numbers of each gate of row r, from its number p on."""
    H = columns(z) // 4
    return load(z, r, p, C), load(z, r, H + p, C), load(z, r, 2 * H + p, C), load(z, r, 3 * H + p, C)


@inline
def store_gates(z, r, p, i, f, g, o):  # four times [C] -> [A, 4H]
    H = columns(z) // 4
    store(z, r, p, i)
    store(z, r, H + p, f)
    store(z, r, 2 * H + p, g)
    store(z, r, 3 * H + p, o)


@kernel
def cell_forward(z, b, old_c, c, h):  # [A, 4H], [1, 4H], [A, H] -> [A, H], [A, H]
    """One step: the new c and h. z, still without b, becomes the gates. old_c without rows stands for zeros."""
    C = strip(c, STRIP)
    for r in range(len(c)):
        for p in range(0, columns(c), size(C)):
            (zi, zf, zg, zo), (bi, bf, bg, bo) = load_gates(z, r, p, C), load_gates(b, 0, p, C)
            i, f, g, o = sigmoid(zi + bi), sigmoid(zf + bf), tanh(zg + bg), sigmoid(zo + bo)  # F1
            new = i * g  # F2
            if len(old_c) > 0:
                new = multiply_add(f, load(old_c, r, p, C), new)
            store_gates(z, r, p, i, f, g, o)
            store(c, r, p, new)
            store(h, r, p, o * tanh(new))  # F3, F4


@kernel
def cell_backward(dh, old_c, c, z, dc):  # [A, H], [A, H], [A, H], [A, 4H] -> [A, 4H], [A, H]
    """z, the gates, becomes dz. dc comes from the step after, and becomes the gradient of old_c."""
    C = strip(c, STRIP)
    for r in range(len(c)):
        for p in range(0, columns(c), size(C)):
            i, f, g, o = load_gates(z, r, p, C)
            dy, squashed, old = load(dh, r, p, C), tanh(load(c, r, p, C)), splat(c, 0, C)
            if len(old_c) > 0:
                old = load(old_c, r, p, C)
            do = dy * squashed  # B4
            dnew = load(dc, r, p, C) + dy * o * (1.0 - squashed * squashed)  # B4, B3
            di, dg, df = dnew * g, dnew * i, dnew * old  # B2
            store(dc, r, p, dnew * f)
            store_gates(z, r, p, di * i * (1.0 - i), df * f * (1.0 - f), dg * (1.0 - g * g), do * o * (1.0 - o))  # B1


@kernel
def lstm_forward(x, own, offsets, backwards, cache, y):  # [n, D], ., [B+1], bool -> [n, H]
    """y_i = the state h after behaviour i."""
    make_steps(offsets, backwards, cache)
    place, n = cache.place, len(x)
    for i in range(n):
        cache.x[i] = x[place[i]]
    product(cache.x[:n], own.W, cache.gates[:n])  # F1, of all steps at once
    for t in range(cache.steps):
        z, c, h = section(cache.gates, cache.start, t), section(cache.c, cache.start, t), section(cache.h, cache.start, t)
        if t > 0:
            add_product(before_step(cache.h, cache, t), own.U, z)  # F2
        cell_forward(z, own.b, before_step(cache.c, cache, t), c, h)  # F3
    for i in range(n):
        y[place[i]] = cache.h[i]  # F4


@kernel
def lstm_backward(dy, own_T, d_own, cache, dx):  # [n, H] -> [n, D]
    """Adds to d_own and dx."""
    place, n, steps, dc = cache.place, len(dy), cache.steps, cache.dc
    x, z, dh, old_h = cache.x[:n], cache.gates[:n], cache.dh[:n], cache.old_h[:n]
    for i in range(n):
        dh[i] = dy[place[i]]
    later = cache.start[min(1, steps)]  # the first row of the second step
    clear(dc[:later])
    for t in range(steps - 1, -1, -1):
        old_c, c, dz = before_step(cache.c, cache, t), section(cache.c, cache.start, t), section(z, cache.start, t)
        cell_backward(section(dh, cache.start, t), old_c, c, dz, dc)  # B3
        if t > 0:
            copy(before_step(cache.h, cache, t), section(old_h, cache.start, t))
            add_product(dz, own_T.U, before_step(dh, cache, t))  # B2, by h; B4
    add_product_of_transpose(old_h[later:], z[later:], d_own.U)  # B2, by U, of all steps at once
    add_product_of_transpose(x, z, d_own.W)  # B1
    add_rows(z, d_own.b)
    product(z, own_T.W, x)  # x becomes its gradient
    for i in range(n):
        dx[place[i]] = dx[place[i]] + x[i]


@kernel
def ends_forward(y, offsets, v):  # [n, 2H], [B+1] -> [B, 2H]
    """The two final states of each history; y and v: Sides."""
    for b in range(len(offsets) - 1):
        v.forwards[b], v.backwards[b] = zeros(v.forwards), zeros(v.backwards)
        if length(offsets, b) > 0:
            v.forwards[b], v.backwards[b] = y.forwards[offsets[b + 1] - 1], y.backwards[offsets[b]]  # F1


@kernel
def ends_backward(dv, offsets, dy):  # [B, 2H], [B+1] -> [n, 2H]
    clear(dy.both[: offsets[len(offsets) - 1]])
    for b in range(len(offsets) - 1):
        if length(offsets, b) > 0:
            dy.forwards[offsets[b + 1] - 1], dy.backwards[offsets[b]] = dv.forwards[b], dv.backwards[b]  # B1
