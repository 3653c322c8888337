"""A training step as one compiled call on each thread: a model's `shard`, forward and backward of a part of the batch, then
`update`.

They call kernels and matrix products, and hold no formula of their own (but for BPR-MF's product). Why compiled whole: a call
from Python costs microseconds, and a step has about forty products of a few dozen rows; and two threads that go back to
Python at once wait there for each other.
    1. Each shard goes forward and backward, chunk by chunk: so many histories that their rows stay in the cache. Dense
       gradients add up in its own dP, the embeddings' gradients stay in its du. Shards may run on threads of their own.
    2. The threads meet. The update takes the shards in order, so no bit depends on the number of threads. Each thread has
       its own copy of the dense parameters, P, and of their transposes, PT: a line of the cache that another core wrote is
       slow to read.

The shards are in `atrank`, `bilstm`, `cnn` and `bpr_mf`, each with a `step` that differs in the shard alone: what numba
compiles of a function that is handed another, it never finds again in its cache. Here is what they share. given: what stays
the same from step to step, the value of the backend's `held`. In all shards rows 0 … n-1 of a buffer are a chunk's
behaviours, rows n … n+q-1 its targets.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .attention import attend_backward, attend_forward
from .chunks import behaviour
from .embedding import scatter, take_square, take_squares
from .feedforward import (
    add_rows,
    dropout,
    layer_norm_backward,
    relu_backward,
    relu_forward,
    residual_layer_norm_forward,
)
from .meeting import meet
from .options import ADD, INNER, KERNEL, ONE, SET, STEP
from .products import product, product_of_transpose, transpose
from .ranking import deep_backward, deep_forward, dot_backward, dot_forward, pairwise, pointwise
from .vectors import STRIP, load, size, splat, store, total

KEPT = 128  # histories up to this length keep their attention weights for the backward pass
DECAYED, TABLE, REST = 0, 1, 2  # dense parameters: of the weight decay, of that of tables (through their scale), of none


class AttentionAt(NamedTuple):
    """Places of an attention layer's parameters among the dense ones; W is laid out as one matrix, memory to key."""

    P_W: int
    P_b: int
    W: int
    Q_W: int
    Q_b: int

    @classmethod
    def of(cls, layer, at):
        return cls(*(at[f"{layer}.{name}"] for name in ("P.W", "P.b", "W", "Q.W", "Q.b")))


class FeedForwardAt(NamedTuple):
    W1: int
    b1: int
    W2: int
    b2: int
    gain: int
    bias: int

    @classmethod
    def of(cls, layer, at):
        return cls(*(at[f"{layer}.F.{name}"] for name in cls._fields))


class Settings(NamedTuple):
    """What a step is told besides arrays."""

    deep: bool
    residual: bool  # around the self-attention
    pairwise: bool
    dropout: float  # rate
    key: int  # of the dropout hash
    columns: np.ndarray  # [D] the number that a kernel's column has in the parameters' own order
    scale: float  # the tables are stored divided by it
    norm: float  # 1 / (targets, or pairs) of the batch
    shards: int  # 0: the update alone
    train: bool  # backward, too
    update: bool  # and descend:
    rate: float
    keep: float  # what a weight keeps, 1 - rate · l2


@njit(**INNER)
def project(x, x0, rows, P, W, b, y, y0, D):
    """y = relu(x W + b), a perceptron of the common space."""
    product(x, x0, rows, size(D), P, W, size(D), y, y0, SET)
    relu_forward(y, y0, rows, P, b, D)


@njit(**INNER)
def project_backward(dy, dy0, y, y0, x, x0, rows, PT, dP, W, b, more, dx, dx0, add, D):
    """dy becomes the gradient before the relu; dx (+)= its part; the gradient of b is added to, that of W if `more`."""
    relu_backward(dy, dy0, y, y0, rows, dP, b, D)
    product_of_transpose(x, x0, rows, size(D), dy, dy0, size(D), dP, W, more)
    product(dy, dy0, rows, size(D), PT, W, size(D), dx, dx0, add)


@njit(**INNER)
def feed_forward(x, x0, rows, P, at, mask, hidden, out, normed, rstd, y, D):
    """F_self or F_vanilla of rows x0 … of its buffers; mask: of its dropout."""
    project(x, x0, rows, P, at.W1, at.b1, hidden, x0, D)  # F1
    second_layer(x, x0, rows, P, at, mask, hidden, out, normed, rstd, y, D)


@njit(**INNER)
def second_layer(x, x0, rows, P, at, mask, hidden, out, normed, rstd, y, D):
    """The rest of `feed_forward`."""
    product(hidden, x0, rows, size(D), P, at.W2, size(D), out, x0, SET)  # F2
    b2 = at.b2
    if mask.rate > 0:
        dropout(out, x0, rows, P, b2, mask, out, x0, D)  # F3
        b2 = -1
    residual_layer_norm_forward(x, x0, out, x0, rows, P, b2, at.gain, at.bias, normed, rstd, y, x0, D)  # F4


@njit(**INNER)
def feed_forward_backward(dy, x0, rows, x, P, PT, dP, at, more, mask, hidden, normed, rstd, dhidden, spare, D):
    """dy becomes dx in place; more: as in `project_backward`."""
    layer_norm_backward(dy, x0, normed, rstd, x0, rows, P, at.gain, dP, at.bias, D)  # B4
    dout = dy
    if mask.rate > 0:
        dropout(dy, x0, rows, P, -ONE, mask, spare, x0, D)  # B3
        dout = spare
    add_rows(dout, x0, rows, dP, at.b2, D)  # B2
    product_of_transpose(hidden, x0, rows, size(D), dout, x0, size(D), dP, at.W2, more)
    product(dout, x0, rows, size(D), PT, at.W2, size(D), dhidden, x0, SET)
    project_backward(dhidden, x0, hidden, x0, x, x0, rows, PT, dP, at.W1, at.b1, more, dy, x0, ADD, D)  # B1 and the residual


@njit(**INNER)
def attend(query, to, query_row, P, W, key, value, work, s, count, at, train, c, D, K):
    """(3) to (5), history by history: the queries of histories' behaviours (to = 0) or targets (to = 1), of which the first
    is row query_row, over the keys of their behaviours; W as in `attend_forward`. -> place in weight after those kept."""
    offset, weight, score = work.offset[s], work.weight[s], work.score[s]
    for h in range(count):
        a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
        i, r, fold = query_row + offset[to, h], offset[to, h + 1] - offset[to, h], work.fold[s, offset[1, h] :]
        keep = train and m <= KEPT
        attend_forward(query, i, r, P, W, key, value, a, m, weight, at, keep, c, i, score, fold, D, K)
        at += r * m * size(K) if keep else 0
    return at


@njit(**INNER)
def attend_back(query, dquery, to, query_row, P, dP, W, key, value, dkey, dvalue, work, s, count, at, dc, D, K):
    """dquery, dkey and dvalue (written) from dc, in the order of `attend`; the gradient of W is added to."""
    offset, weight, score, turned = work.offset[s], work.weight[s], work.score[s], work.turned[s]
    for h in range(count):
        a, m = offset[0, h], offset[0, h + 1] - offset[0, h]
        i, r, fold = query_row + offset[to, h], offset[to, h + 1] - offset[to, h], work.fold[s, offset[1, h] :]
        keep = m <= KEPT
        attend_backward(query, dquery, i, r, P, dP, W, key, value, dkey, dvalue, a, m, weight, at, keep, dc, i, score, fold,
                        turned, D, K)  # fmt: skip
        at += r * m * size(K) if keep else 0


@njit(**INNER, inline="always")  # what allocates nothing cannot return a new array
def part(rows, first, count):
    """`count` buffers from number `first` on as one flat array, for rows that are wider than D."""
    size = rows.shape[1] * rows.shape[2]
    return rows.reshape(-1)[first * size : (first + count) * size]


@njit(**INNER)
def share(user, offset, count, P, b, e, e0, D):
    """`layers.ranking.share_forward` of user + b: e[e0 + t] for the targets t of each of the chunk's histories."""
    bias = load(P, b, D)
    for h in range(count):
        row = load(user, h * size(D), D) + bias
        for t in range(offset[h], offset[h + 1]):
            store(e, (e0 + t) * size(D), row)


@njit(**INNER)
def share_backward(de, e0, offset, count, dP, b, duser, D):
    """duser (written); the gradient of b is added to."""
    bias = load(dP, b, D)
    for h in range(count):
        total = splat(dP.dtype.type(0), D)
        for t in range(offset[h], offset[h + 1]):
            total = total + load(de, (e0 + t) * size(D), D)
        store(duser, h * size(D), total)
        bias = bias + total
    store(dP, b, bias)


@njit(**INNER)
def rank(S, e, n, q, settings, at, P, PT, dP, biases, batch, work, s, first, last, he, hidden, spare, train, dS, de, D):
    """(8) for the chunk's targets: work.f; with `train` the loss, work.df, and rows n … of dS and de (written).

    Rows n … of S are h_t, rows n … of e the user vectors. at: SpaceAt and DeepAt.
    """
    f, df, number, N = work.local[s, 0], work.local[s, 1], work.number[s], len(batch.object)
    if settings.deep:
        deep_forward(S, n, e, n, q, P, at.deep, he, hidden, f, D)
    else:
        dot_forward(S, n, e, n, q, f, D)
    for i in range(q):
        t = number[n + i] - N
        bias = at.space.item_bias[batch.target_group[t]]
        work.f[t] = f[i] + (biases[bias + batch.target_object[t]] if bias >= 0 else 0)
    if train:
        lose(settings, batch, work, s, first, last)
        for i in range(q):
            df[i] = work.df[number[n + i] - N]
        if settings.deep:
            deep_backward(df, S, n, e, n, q, P, PT, dP, at.deep, he, hidden, spare, dS, n, de, n, D)
        else:
            dot_backward(df, S, n, e, n, q, dS, n, de, n, D)


@njit(**INNER)
def lose(settings, batch, work, s, first, last):
    """The loss of histories first … last - 1 of the shard, and work.df."""
    for h in range(first, last):
        t0, t1 = batch.target_offsets[work.histories[s, h]], batch.target_offsets[work.histories[s, h] + 1]
        if settings.pairwise:
            work.loss[s] += pairwise(work.f, batch.label, settings.norm, work.df, t0, t1)
        else:
            work.loss[s] += pointwise(work.f, batch.label, settings.norm, work.df, t0, t1)


@njit(**INNER)
def transpose_piece(P, PT, pieces, m):
    """The backward pass multiplies by the matrices' transposes: PT holds each at the same place."""
    first, last, rows, columns = pieces[m, 0], pieces[m, 1], pieces[m, 3], pieces[m, 4]
    for place in range(first, last if rows else first, max(rows * columns, 1)):
        transpose(P, place, rows, columns, PT)


@njit(**KERNEL)
def transpose_all(P, PT, pieces):
    for copy in range(len(P)):
        for m in range(len(pieces)):
            transpose_piece(P[copy], PT[copy], pieces, m)


@njit(**STEP)
def gradient_norm(held, batch, rows, bias_rows):
    """The norm of all gradients, for `optimizer.clip`. rows, bias_rows: zeros like the tables and the item biases, zeros
    again afterwards: an object's parts are added up there before they are squared, as the rows of a gradient are."""
    features, places, _, _, tables, _, _, work = held.value
    one = tables.dtype.type(1)
    update_tables(features, places.space, rows, bias_rows, batch, work, one, one)
    squares, N = 0.0, len(batch.object)
    for s in range(len(work.count)):
        for i in range(work.used[s]):
            number = work.order[s, i]
            group, object, _, _ = behaviour(batch, places.space, number)
            squares += take_squares(features, rows, group, object)
            bias = places.space.item_bias[group]
            if number >= N and bias >= 0:
                squares += take_square(bias_rows, bias + object, ONE)
    for i in range(0, work.dP.shape[1], size(STRIP)):
        g = sum_of_shards(work.dP, i)
        squares += total(g * g)
    return np.sqrt(squares)


@njit(**INNER)
def sum_of_shards(dP, i):
    """A strip of the dense gradients."""
    g = load(dP, i, STRIP)
    for s in range(1, len(dP)):
        g = g + load(dP, s * dP.shape[1] + i, STRIP)
    return g


@njit(**INNER)
def update_dense(P, PT, dP, pieces, rate, keep, table_rate):
    """A copy of the dense parameters. Pieces end on a line of the cache, so whole strips are added."""
    for m in range(len(pieces)):
        kind = pieces[m, 2]
        shrink = splat(keep if kind == DECAYED else P.dtype.type(1), STRIP)
        pace = splat(table_rate if kind == TABLE else rate, STRIP)
        for i in range(pieces[m, 0], pieces[m, 1], size(STRIP)):
            store(P, i, load(P, i, STRIP) * shrink - pace * sum_of_shards(dP, i))
        transpose_piece(P, PT, pieces, m)  # now, while the cache holds it


@njit(**INNER)
def update_tables(features, at, tables, biases, batch, work, rate, table_rate):
    """The feature tables and the item biases."""
    N = len(batch.object)
    for s in range(len(work.count)):
        u = np.int64(0)
        for i in range(work.used[s]):
            number = work.order[s, i]
            group, object, _, _ = behaviour(batch, at, number)
            scatter(features, tables, table_rate, group, object, work.du[s], u)
            u += features.width[group]
            bias = at.item_bias[group]
            if number >= N and bias >= 0 and object > 0:
                biases[bias + object] -= rate * work.df[number - N]


@njit(**INNER)
def update(given, settings, batch, thread, arrived):
    """w <- keep w - rate dw for all parameters, from what the shards left in work; and PT, the matrices transposed.

    The thread waits until all shards are there, `meeting`; if one failed, nothing is done.

    keep is 1 for what does not decay; what tables keep is in the factor that they are stored divided by.
    Each thread does all dense parameters, in its own copy, and the first one the tables. Cores that share the work must
    fetch what the others wrote; where they have no cache in common, that takes far longer than to do it twice. All add up
    in the order of the shards, so the copies have the same bits, whatever their number.
    """
    features, places, P, PT, tables, biases, pieces, work = given
    number = P.dtype.type
    if not settings.update or not meet(arrived, thread):
        return
    keep, rate = number(settings.keep), number(settings.rate)
    table_rate = number(settings.rate / (settings.scale * settings.keep))
    if thread == 0:
        update_tables(features, places.space, tables, biases, batch, work, rate, table_rate)
    update_dense(P[thread], PT[thread], work.dP, pieces, rate, keep, table_rate)
