"""Small helpers: loops over rows and over numbers."""

from .jit import inline
from .simd import STRIP, columns, load, size, splat, store, strip, total, zeros


@inline
def length(offsets, b):  # [B+1]
    """How many rows history b has."""
    return offsets[b + 1] - offsets[b]


@inline
def section(x, offsets, b):  # [n, .], [B+1] -> [n of b, .]
    """The rows, or numbers, of history b: also of a step of an LSTM, or of an object's tokens."""
    return x[offsets[b] : offsets[b + 1]]


@inline
def clear(x):  # [n], or [n, D]
    for i in range(len(x)):
        x[i] = zeros(x)


@inline
def copy(x, y):  # [n], or [n, D] -> the same
    """y = x"""
    for i in range(len(x)):
        y[i] = x[i]


@inline
def add(x, y):  # [n, D] -> [n, D]
    """y += x"""
    for i in range(len(x)):
        y[i] = y[i] + x[i]


@inline
def add_rows(x, y):  # [n, D] -> [1, D]
    """y += the sum of the rows: the gradient of a bias."""
    C = strip(x, STRIP)
    for p in range(0, columns(x), size(C)):  # in pieces: the sums of a whole row may find no place in registers
        sum = load(y, 0, p, C)
        for i in range(len(x)):
            sum = sum + load(x, i, p, C)
        store(y, 0, p, sum)


@inline
def add_scaled(y, x, a):  # [n], [n], number -> [n]
    """y += a x, a strip at a time."""
    j = 0
    while j + size(STRIP) <= len(y):
        store(y, j, 0, load(y, j, 0, STRIP) + a * load(x, j, 0, STRIP))
        j += size(STRIP)
    while j < len(y):
        y[j] += a * x[j]
        j += 1


@inline
def dot(x, y):  # [n], [n] -> number
    """x · y"""
    sums, j = splat(x, 0.0, STRIP), 0
    while j + size(STRIP) <= len(x):
        sums = sums + load(x, j, 0, STRIP) * load(y, j, 0, STRIP)
        j += size(STRIP)
    sum = total(sums)
    while j < len(x):
        sum += x[j] * y[j]
        j += 1
    return sum
