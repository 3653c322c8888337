"""numba twin of `layers.lstm`. Its rows stand in the order of the steps, so that whatever a step reads or writes is one
block: first the first behaviours of all histories, the longest history first, then all second ones, and so on."""

from typing import NamedTuple

from numba import njit

from .options import ADD, INNER, KERNEL, SET, ZERO
from .products import product, product_of_transpose
from .vectors import exp, load, maximum, multiply_add, size, splat, store, where_positive


class LSTMAt(NamedTuple):
    """Places of an LSTM's parameters among the dense ones."""

    W: int
    U: int
    b: int


@njit(**KERNEL)
def step_order(offset, count, order, start, place, backwards):
    """Fills order: histories, the longest first; start: the first row of each step, and one past the last; place and
    backwards: the row of the chunk that each row in step order is, in either direction. -> number of steps."""
    for h in range(count):  # by insertion: they come nearly sorted
        i, length = h, offset[h + 1] - offset[h]
        while i > 0 and offset[order[i - 1] + 1] - offset[order[i - 1]] < length:
            order[i] = order[i - 1]
            i -= 1
        order[i] = h
    steps = row = 0
    running = count
    while True:
        while running > 0 and offset[order[running - 1] + 1] - offset[order[running - 1]] <= steps:
            running -= 1
        start[steps] = row
        if running == 0:
            return steps
        for i in range(running):
            place[row + i] = offset[order[i]] + steps
            backwards[row + i] = offset[order[i] + 1] - 1 - steps
        row += running
        steps += 1


@njit(**KERNEL)
def take_rows(x, place, n, y, D):
    """y[i] = x[place[i]]"""
    for i in range(n):
        store(y, i * size(D), load(x, place[i] * size(D), D))


@njit(**KERNEL)
def put_rows(x, place, n, y, add, D):
    """y[place[i]] (+)= x[i]"""
    for i in range(n):
        row, at = load(x, i * size(D), D), place[i] * size(D)
        store(y, at, row + load(y, at, D) if add else row)


@njit(**INNER)
def sigmoid(x, zero, one):
    """1 / (1 + exp(-x)); exp is taken of -|x|, as `vectors.exp` wants it and as it cannot overflow."""
    e = exp(zero - maximum(x, zero - x))
    s = one / (one + e)
    return where_positive(x, s - e * s) + e * s


@njit(**INNER)
def tanh(x, zero, one):
    e = exp(zero - maximum(x + x, zero - (x + x)))
    t = (one - e) / (one + e)  # of |x|
    return where_positive(x, t + t) - t


@njit(**KERNEL)
def cell_forward(gates, c, y, row, rows, before, P, b, D, L):
    """`layers.lstm.cell_forward` for rows row … of gates, whose cells before are c[before …] (before < 0: zeros).

    Bias and σ or tanh are applied to the gates in place; c and y get the new cells and states.
    """
    width, lanes = size(D), size(L)
    zero, one = splat(c.dtype.type(0), L), splat(c.dtype.type(1), L)
    for r in range(rows):
        g0, c0 = (row + r) * 4 * width, (row + r) * width
        for p in range(0, width, lanes):
            i = sigmoid(load(gates, g0 + p, L) + load(P, b + p, L), zero, one)  # F1
            f = sigmoid(load(gates, g0 + width + p, L) + load(P, b + width + p, L), zero, one)
            g = tanh(load(gates, g0 + 2 * width + p, L) + load(P, b + 2 * width + p, L), zero, one)
            o = sigmoid(load(gates, g0 + 3 * width + p, L) + load(P, b + 3 * width + p, L), zero, one)
            new = i * g  # F2
            if before >= 0:
                new = multiply_add(f, load(c, (before + r) * width + p, L), new)
            store(gates, g0 + p, i)
            store(gates, g0 + width + p, f)
            store(gates, g0 + 2 * width + p, g)
            store(gates, g0 + 3 * width + p, o)
            store(c, c0 + p, new)
            store(y, c0 + p, o * tanh(new, zero, one))  # F3, F4


@njit(**KERNEL)
def cell_backward(gates, c, dy, dc, row, rows, before, D, L):
    """The gates become dz. dc[r] is the gradient of history r's cell from the step after, and then by the cell before."""
    width, lanes = size(D), size(L)
    zero, one = splat(c.dtype.type(0), L), splat(c.dtype.type(1), L)
    for r in range(rows):
        g0, c0 = (row + r) * 4 * width, (row + r) * width
        for p in range(0, width, lanes):
            i, f = load(gates, g0 + p, L), load(gates, g0 + width + p, L)
            g, o = load(gates, g0 + 2 * width + p, L), load(gates, g0 + 3 * width + p, L)
            dh, squashed = load(dy, c0 + p, L), tanh(load(c, c0 + p, L), zero, one)
            dnew = load(dc, r * width + p, L) + dh * o * (one - squashed * squashed)  # B4, B3
            old = load(c, (before + r) * width + p, L) if before >= 0 else zero
            store(gates, g0 + p, dnew * g * i * (one - i))  # B2, B1
            store(gates, g0 + width + p, dnew * old * f * (one - f))
            store(gates, g0 + 2 * width + p, dnew * i * (one - g * g))
            store(gates, g0 + 3 * width + p, dh * squashed * o * (one - o))
            store(dc, r * width + p, dnew * f)


@njit(**KERNEL)
def lstm_forward(x, gates, c, y, start, steps, P, at, D, L):
    """y = the states of all rows; gates [n, 4D] and c are the cache: the gates after their σ and tanh, and the cells."""
    width = size(D)
    product(x, ZERO, start[steps], x.shape[1], P, at.W, 4 * width, gates, ZERO, SET)  # F1
    for t in range(steps):
        rows, before = start[t + 1] - start[t], start[t - 1] if t > 0 else -1
        if t > 0:
            product(y, before, rows, width, P, at.U, 4 * width, gates, start[t], ADD)  # F2
        cell_forward(gates, c, y, start[t], rows, before, P, at.b, D, L)  # F3, F4


@njit(**KERNEL)
def lstm_backward(dy, x, gates, c, y, start, steps, PT, dP, at, dc, old, dx, D, L):
    """dx (written) from dy, which is overwritten, as are gates, by dz; the parameters' gradients are added to."""
    width, n = size(D), start[steps]
    none = splat(c.dtype.type(0), L)
    for place in range(0, (start[1] if steps > 0 else 0) * width, size(L)):
        store(dc, place, none)
    for t in range(steps - 1, -1, -1):
        rows, before = start[t + 1] - start[t], start[t - 1] if t > 0 else -1
        if t < steps - 1:  # B2, by h
            after = start[t + 2] - start[t + 1]
            product(gates, start[t + 1], after, 4 * width, PT, at.U, width, dy, start[t], ADD)
        cell_backward(gates, c, dy, dc, start[t], rows, before, D, L)  # B3
        for place in range(0, rows * width if t > 0 else 0, size(L)):  # the states that entered the step, in its rows
            store(old, start[t] * width + place, load(y, before * width + place, L))
    if steps > 1:  # B2, by U, of all steps together
        product_of_transpose(old, start[1], n - start[1], width, gates, start[1], 4 * width, dP, at.U, ADD)
    product_of_transpose(x, ZERO, n, x.shape[1], gates, ZERO, 4 * width, dP, at.W, ADD)  # B1
    add_columns(gates, n, 4 * width, dP, at.b, L)
    product(gates, ZERO, n, 4 * width, PT, at.W, x.shape[1], dx, ZERO, SET)


@njit(**KERNEL)
def add_columns(x, rows, width, dP, b, L):
    """The gradient of a bias: dP[b:] += the sum of the first rows of x."""
    for p in range(0, width, size(L)):
        total = load(dP, b + p, L)
        for i in range(rows):
            total = total + load(x, i * width + p, L)
        store(dP, b + p, total)
