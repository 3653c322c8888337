"""numba twin of `layers.convolution`, and the shard of the CNN."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numba import njit

from .chunks import SpaceAt, common_space, common_space_backward, next_chunk, number_rows
from .options import ADD, INNER, KERNEL, SET, STEP, ZERO
from .products import product, product_of_transpose
from .ranking import DeepAt
from .step import part, rank, share, share_backward, update
from .vectors import load, size, splat, store

BUFFERS = 10  # rows of D numbers that `shard` has names for; behind them stand those of WindowsAt


class WindowsAt(NamedTuple):
    """The windows are 1, 2, … behaviours; [windows] places of W and b. Then numbers of buffers, of as many as are needed."""

    W: np.ndarray
    b: np.ndarray
    maps: int
    pooled: int  # two times `wide` buffers: pooled features and their gradient, a row per history
    wide: int
    z: int  # maps numbers for each place of a window
    laid_out: int  # w D numbers for each place


class Places(NamedTuple):
    """Where the dense parameters lie in P."""

    space: SpaceAt
    deep: DeepAt
    windows: WindowsAt
    user_W: int
    user_b: int


@njit(**INNER)
def windows_in(offset, h, w):
    """How many windows of w behaviours history h has: a shorter one has one, an empty one none."""
    n = offset[h + 1] - offset[h]
    return max(n - w + 1, min(n, 1))


@njit(**KERNEL)
def lay_out(x, offset, count, w, laid, D):
    """F1: the windows of w behaviours, one after another: they are w D numbers in a row of x. -> number of places."""
    nothing = splat(laid.dtype.type(0), D)
    places = row = 0
    for h in range(count):
        for p in range(offset[h], offset[h] + windows_in(offset, h, w)):
            for i in range(p, p + w):
                store(laid, row * size(D), load(x, i * size(D), D) if i < offset[h + 1] else nothing)
                row += 1
            places += 1
    return places


@njit(**KERNEL)
def convolution_forward(x, offset, count, w, P, W, b, F, laid, z, pooled, best, columns, first, D):
    """pooled[h · columns + first + f] = max over the places of relu(window W + b); best[first + f, h] is the first such place
    among those of all histories, or -1 where the maximum is 0 and no gradient flows."""
    n = lay_out(x, offset, count, w, laid, D)
    product(laid, ZERO, n, w * size(D), P, W, F, z, ZERO, SET)  # F2
    place = 0
    for h in range(count):
        row, at = pooled[h * columns + first : h * columns + first + F], best[first : first + F, h]
        row[:] = 0
        at[:] = -1
        for _ in range(windows_in(offset, h, w)):
            for f in range(F):
                value = z[place * F + f] + P[b + f]
                if value > row[f]:  # F3
                    row[f], at[f] = value, place
            place += 1


@njit(**KERNEL)
def convolution_backward(dpooled, x, offset, count, w, PT, dP, W, b, F, laid, dz, best, columns, first, dx, D):
    """Adds to dx and to the gradients of W and b."""
    n = lay_out(x, offset, count, w, laid, D)
    dz[: n * F] = 0
    for h in range(count):
        for f in range(F):
            if best[first + f, h] >= 0:
                g = dpooled[h * columns + first + f]
                dz[best[first + f, h] * F + f] = g  # B3
                dP[b + f] += g
    product_of_transpose(laid, ZERO, n, w * size(D), dz, ZERO, F, dP, W, ADD)  # B2
    product(dz, ZERO, n, F, PT, W, w * size(D), laid, ZERO, SET)
    row = 0
    for h in range(count):  # B1
        for p in range(offset[h], offset[h] + windows_in(offset, h, w)):
            for i in range(p, min(p + w, offset[h + 1])):
                store(dx, i * size(D), load(dx, i * size(D), D) + load(laid, (row + i - p) * size(D), D))
            row += w


@njit(**INNER)
def shard(given, settings, batch, s, train, D, K, L):
    """CNN: forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    Rows n … of a buffer belong to the chunk's targets; pooled and user have a row per history.
    """
    features, places, copies, transposed, tables, biases, _, work = given
    P, PT = copies[s % len(copies)], transposed[s % len(copies)]  # those of the thread that runs shard s
    rows, dP, offset, best, at = work.rows[s], work.dP[s], work.offset[s], work.integers[s], places.windows
    S, user, e, he, deep_hidden, dS, de, duser = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
    spare, spare2, scale = rows[8], rows[9], P.dtype.type(settings.scale)
    pooled, dpooled = part(rows, at.pooled, at.wide), part(rows, at.pooled + at.wide, at.wide)
    z, laid = part(rows, at.z, at.laid_out - at.z), part(rows, at.laid_out, len(at.W))
    columns = len(at.W) * at.maps
    if train:
        dP[:] = 0
    work.loss[s] = 0
    first = row0 = u0 = ZERO
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        count = last - first
        number_rows(batch, work, s, first, last, row0)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)
        for i in range(len(at.W)):
            convolution_forward(S, offset[0], count, i + 1, P, at.W[i], at.b[i], at.maps, laid, z, pooled, best, columns,
                                i * at.maps, D)  # fmt: skip
        product(pooled, ZERO, count, columns, P, places.user_W, size(D), user, ZERO, SET)
        share(user, offset[1], count, P, places.user_b, e, n, D)
        rank(S, e, n, q, settings, places, P, PT, dP, biases, batch, work, s, first, last, he, deep_hidden, spare,
             train, dS, de, D)  # fmt: skip
        if train:
            share_backward(de, n, offset[1], count, dP, places.user_b, duser, D)
            product_of_transpose(pooled, ZERO, count, columns, duser, ZERO, size(D), dP, places.user_W, ADD)
            product(duser, ZERO, count, size(D), PT, places.user_W, columns, dpooled, ZERO, SET)
            dS[:n] = 0
            for i in range(len(at.W)):
                convolution_backward(dpooled, S, offset[0], count, i + 1, PT, dP, at.W[i], at.b[i], at.maps, laid, z, best,
                                     columns, i * at.maps, dS, D)  # fmt: skip
            common_space_backward(features, places.space, PT, dP, batch, work, s, n + q, row0, u0, S, dS, spare, spare2, D)
        first, row0, u0 = last, row0 + n + q, u1
    work.used[s] = row0


@njit(**STEP)
def step(held, settings, batch, thread, arrived, D, K, L):
    """A thread's part of a step: its shards, then its update."""
    given = held.value
    for s in range(thread, settings.shards, len(arrived)):
        shard(given, settings, batch, s, settings.train, D, K, L)
    update(given, settings, batch, thread, arrived)


def places_of(model, space, deep, at):
    """Places, from the place of each dense parameter by name."""
    wide = buffers_for(len(model.windows) * model.maps, model)
    z = BUFFERS + 2 * wide
    windows = WindowsAt(
        W=np.array([at[f"window{w}.W"] for w in model.windows]),
        b=np.array([at[f"window{w}.b"] for w in model.windows]),
        maps=model.maps,
        pooled=BUFFERS,
        wide=wide,
        z=z,
        laid_out=z + buffers_for(model.maps, model),
    )
    return Places(space, deep, windows, at["user.W"], at["user.b"])


def buffers_for(numbers, model):
    """How many buffers hold so many numbers a row."""
    return -(-numbers // model.space.width)


def buffers_of(model):
    return places_of(model, None, None, defaultdict(int)).windows.laid_out + len(model.windows)
