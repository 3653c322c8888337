"""The shards of both Bi-LSTMs."""

from typing import NamedTuple

from numba import njit

from .chunks import SpaceAt, common_space, common_space_backward, next_chunk, number_rows
from .feedforward import Mask, relu_backward, relu_forward
from .lstm import LSTMAt, lstm_backward, lstm_forward, put_rows, step_order, take_rows
from .options import ADD, INNER, ONE, SET, STEP, ZERO
from .products import product, product_of_transpose
from .ranking import DeepAt
from .step import (
    AttentionAt,
    FeedForwardAt,
    attend,
    attend_back,
    feed_forward,
    feed_forward_backward,
    part,
    project,
    project_backward,
    rank,
    share,
    share_backward,
    update,
)
from .vectors import load, size, store

BUFFERS = 33  # rows of D numbers that the shards have names for; numbers 1 to 17 are `bilstm`'s
INTEGERS = 4  # lists of whole numbers: order, start, place, backwards of `step_order`


class Places(NamedTuple):
    """Where the dense parameters lie in P."""

    space: SpaceAt
    deep: DeepAt
    forwards: LSTMAt
    backwards: LSTMAt
    user_W: int
    user_b: int


class AttentionPlaces(NamedTuple):
    space: SpaceAt
    deep: DeepAt
    forwards: LSTMAt
    backwards: LSTMAt
    vanilla_attention: AttentionAt
    vanilla_feed_forward: FeedForwardAt


@njit(**INNER)
def bilstm(S, rows, integers, offset, count, P, at, D, L):
    """Both directions over the chunk's histories -> number of steps. States, in step order, are in buffers 13 and 14."""
    order, start, place, backwards = integers[0], integers[1], integers[2], integers[3]
    steps = step_order(offset, count, order, start, place, backwards)
    n = start[steps]
    x, x_back, c, c_back, y, y_back = rows[9], rows[10], rows[11], rows[12], rows[13], rows[14]
    take_rows(S, place, n, x, D)
    take_rows(S, backwards, n, x_back, D)
    lstm_forward(x, part(rows, 1, 4), c, y, start, steps, P, at.forwards, D, L)
    lstm_forward(x_back, part(rows, 5, 4), c_back, y_back, start, steps, P, at.backwards, D, L)
    return steps


@njit(**INNER)
def bilstm_backward(dY, dY_back, dS, rows, integers, steps, PT, dP, at, D, L):
    """dS (written, its rows of behaviours) from the gradients of the states, in step order, which are overwritten."""
    start, place, backwards = integers[1], integers[2], integers[3]
    x, x_back, c, c_back, y, y_back = rows[9], rows[10], rows[11], rows[12], rows[13], rows[14]
    n, dc, old, dx = start[steps], rows[15], rows[16], rows[17]
    lstm_backward(dY, x, part(rows, 1, 4), c, y, start, steps, PT, dP, at.forwards, dc, old, dx, D, L)
    put_rows(dx, place, n, dS, SET, D)
    lstm_backward(dY_back, x_back, part(rows, 5, 4), c_back, y_back, start, steps, PT, dP, at.backwards, dc, old, dx, D, L)
    put_rows(dx, backwards, n, dS, ADD, D)


@njit(**INNER)
def final_row(offset, integers, i):
    """The row, in step order, of the last state of history order[i]; the same in both directions. -1: an empty history."""
    order, start = integers[0], integers[1]
    length = offset[order[i] + 1] - offset[order[i]]
    return start[length - 1] + i if length > 0 else -1


@njit(**INNER)
def copy_row(x, i, y, j, D):
    store(y, j * size(D), load(x, i * size(D), D))


@njit(**INNER)
def two_products(x, x_back, n, P, W, y, D):
    """y = (x, x_back side by side) W"""
    width = size(D)
    product(x, ZERO, n, width, P, W, width, y, ZERO, SET)
    product(x_back, ZERO, n, width, P, W + width * width, width, y, ZERO, ADD)


@njit(**INNER)
def two_products_backward(dy, x, x_back, n, PT, dP, W, dx, dx_back, add, D):
    """dx and dx_back (+)= their parts; the gradient of W is added to."""
    width, block = size(D), size(D) * size(D)
    product_of_transpose(x, ZERO, n, width, dy, ZERO, width, dP, W, ADD)
    product_of_transpose(x_back, ZERO, n, width, dy, ZERO, width, dP, W + block, ADD)
    product(dy, ZERO, n, width, PT, W, width, dx, ZERO, add)
    product(dy, ZERO, n, width, PT, W + block, width, dx_back, ZERO, add)


@njit(**INNER)
def shard(given, settings, batch, s, train, D, K, L):
    """Bi-LSTM: forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    Rows n … of a buffer belong to the chunk's targets; ends and user have a row per history.
    """
    features, places, copies, transposed, tables, biases, _, work = given
    P, PT = copies[s % len(copies)], transposed[s % len(copies)]  # those of the thread that runs shard s
    rows, dP, offset, integers = work.rows[s], work.dP[s], work.offset[s], work.integers[s]
    S, ends, ends_back, user, e, he, deep_hidden = rows[0], rows[19], rows[20], rows[21], rows[22], rows[23], rows[24]
    dS, de, duser, dends, dends_back, dY, dY_back = rows[25], rows[26], rows[27], rows[18], rows[32], rows[28], rows[29]
    spare, spare2, scale = rows[30], rows[31], P.dtype.type(settings.scale)
    if train:
        dP[:] = 0
    work.loss[s] = 0
    first = row0 = u0 = ZERO
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        count = last - first
        number_rows(batch, work, s, first, last, row0)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)
        steps = bilstm(S, rows, integers, offset[0], count, P, places, D, L)
        for i in range(count):
            h, r = integers[0, i], final_row(offset[0], integers, i)
            if r >= 0:
                copy_row(rows[13], r, ends, h, D)
                copy_row(rows[14], r, ends_back, h, D)
            else:
                ends[h], ends_back[h] = 0, 0
        two_products(ends, ends_back, count, P, places.user_W, user, D)
        share(user, offset[1], count, P, places.user_b, e, n, D)
        rank(S, e, n, q, settings, places, P, PT, dP, biases, batch, work, s, first, last, he, deep_hidden, spare,
             train, dS, de, D)  # fmt: skip
        if train:
            share_backward(de, n, offset[1], count, dP, places.user_b, duser, D)
            two_products_backward(duser, ends, ends_back, count, PT, dP, places.user_W, dends, dends_back, SET, D)
            dY[:n] = 0
            dY_back[:n] = 0
            for i in range(count):
                h, r = integers[0, i], final_row(offset[0], integers, i)
                if r >= 0:
                    copy_row(dends, h, dY, r, D)
                    copy_row(dends_back, h, dY_back, r, D)
            bilstm_backward(dY, dY_back, dS, rows, integers, steps, PT, dP, places, D, L)
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


@njit(**INNER)
def attention_shard(given, settings, batch, s, train, D, K, L):
    """Bi-LSTM + attention: as `shard`; the states Y of both directions, in the chunk's order, are what targets attend to."""
    features, places, copies, transposed, tables, biases, _, work = given
    P, PT = copies[s % len(copies)], transposed[s % len(copies)]  # those of the thread that runs shard s
    rows, rstd, dP = work.rows[s], work.rstd[s], work.dP[s]
    offset, integers, number = work.offset[s], work.integers[s], work.number[s]
    S, Y, Y_back, query, key, value, X, hidden = rows[0], rows[18], rows[19], rows[20], rows[21], rows[22], rows[23], rows[24]
    out, normed, e, he, deep_hidden, dS, d1, d2 = rows[25], rows[26], rows[27], rows[28], rows[29], rows[30], rows[31], rows[32]
    dvalue, spare = rows[16], rows[17]
    vanilla, vanilla_ff = places.vanilla_attention, places.vanilla_feed_forward
    scale, N = P.dtype.type(settings.scale), len(batch.object)
    if train:
        dP[:] = 0
    work.loss[s] = 0
    first = row0 = u0 = ZERO
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        count = last - first
        number_rows(batch, work, s, first, last, row0)
        mask = Mask(settings.dropout, settings.key, 1, number, n, N, settings.columns)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)
        steps = bilstm(S, rows, integers, offset[0], count, P, places, D, L)
        put_rows(rows[13], integers[2], n, Y, SET, D)
        put_rows(rows[14], integers[3], n, Y_back, SET, D)
        project(S, n, q, P, vanilla.P_W, vanilla.P_b, query, n, D)  # (7)
        two_products(Y, Y_back, n, P, vanilla.W, key, D)
        two_products(Y, Y_back, n, P, vanilla.Q_W, value, D)
        relu_forward(value, ZERO, n, P, vanilla.Q_b, D)
        attend(query, ONE, n, P, -ONE, key, value, work, s, count, ZERO, train, X, D, K)
        feed_forward(X, n, q, P, vanilla_ff, mask, hidden, out, normed, rstd, e, D)
        rank(S, e, n, q, settings, places, P, PT, dP, biases, batch, work, s, first, last, he, deep_hidden, spare,
             train, dS, d1, D)  # fmt: skip
        if train:
            feed_forward_backward(d1, n, q, X, P, PT, dP, vanilla_ff, ADD, mask, hidden, normed, rstd, d2, spare, D)
            attend_back(query, d2, ONE, n, P, dP, -ONE, key, value, d1, dvalue, work, s, count, ZERO, d1, D, K)
            project_backward(d2, n, query, n, S, n, q, PT, dP, vanilla.P_W, vanilla.P_b, ADD, dS, n, ADD, D)
            relu_backward(dvalue, ZERO, value, ZERO, n, dP, vanilla.Q_b, D)
            two_products_backward(dvalue, Y, Y_back, n, PT, dP, vanilla.Q_W, key, value, SET, D)
            two_products_backward(d1, Y, Y_back, n, PT, dP, vanilla.W, key, value, ADD, D)
            dY, dY_back = X, out
            take_rows(key, integers[2], n, dY, D)
            take_rows(value, integers[3], n, dY_back, D)
            bilstm_backward(dY, dY_back, dS, rows, integers, steps, PT, dP, places, D, L)
            common_space_backward(features, places.space, PT, dP, batch, work, s, n + q, row0, u0, S, dS, d1, d2, D)
        first, row0, u0 = last, row0 + n + q, u1
    work.used[s] = row0


@njit(**STEP)
def attention_step(held, settings, batch, thread, arrived, D, K, L):
    """A thread's part of a step: its shards, then its update."""
    given = held.value
    for s in range(thread, settings.shards, len(arrived)):
        attention_shard(given, settings, batch, s, settings.train, D, K, L)
    update(given, settings, batch, thread, arrived)


def places_of(model, space, deep, at):
    """Places, from the place of each dense parameter by name."""
    lstm = lambda direction: LSTMAt(*(at[f"{direction}.{name}"] for name in LSTMAt._fields))
    return Places(space, deep, lstm("forwards"), lstm("backwards"), at["user.W"], at["user.b"])


def attention_places_of(model, space, deep, at):
    own = AttentionAt.of("vanilla", at), FeedForwardAt.of("vanilla", at)
    return AttentionPlaces(*places_of(model, space, deep, at | {"user.W": 0, "user.b": 0})[:4], *own)
