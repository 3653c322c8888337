"""What a compiled step works on: the places of its parameters, its workspace, and its chunks of histories."""

from typing import NamedTuple

import numpy as np
from numba import njit

from .embedding import AHEAD, ask_for, dense_backward, embed
from .feedforward import relu_backward, relu_forward
from .options import ADD, INNER, SET, STEP, ZERO
from .products import product, product_of_transpose
from .vectors import load, row, size, store

CHUNK = 128  # rows of a chunk, unless one history has more; a matter of speed alone


class Work(NamedTuple):
    """Workspace, one of each per shard: reused from step to step. R is the most rows that a chunk has."""

    histories: np.ndarray  # [shards, B] the histories of each shard
    count: np.ndarray  # [shards] how many
    offset: np.ndarray  # [shards, 2, B+1] first behaviour and first target of each history of the chunk
    number: np.ndarray  # [shards, R] for each row of the chunk its number in the batch; targets follow the N behaviours
    order: np.ndarray  # [shards, .] the same for each row of du, where rows stand group by group, of all chunks
    used: np.ndarray  # [shards] how many rows du has
    place: np.ndarray  # [shards, R] where the rows of the chunk's part of du stand in the chunk
    du: np.ndarray  # [shards, .] embeddings, then their gradients, of all chunks
    rows: np.ndarray  # [shards, buffers, R, D or more]; what is behind the D numbers of a row is no one's
    rstd: np.ndarray  # [shards, R]
    weight: np.ndarray  # [shards, .] attention weights of the chunk
    integers: np.ndarray  # [shards, lists, R+1] whole numbers that a model keeps of a chunk
    score: np.ndarray  # [shards, 2 n K] of a pair of queries, for the longest history
    fold: np.ndarray  # [shards, targets, 2 D K] of a chunk's pairs of targets, each in the row of its first
    turned: np.ndarray  # [shards, 2 D K]
    local: np.ndarray  # [shards, 2, R] f and df of the chunk
    f: np.ndarray  # [T] scores, of the whole batch
    df: np.ndarray  # [T] the loss's derivative by them
    loss: np.ndarray  # [shards]
    dP: np.ndarray  # [shards, dense parameters]


class SpaceAt(NamedTuple):
    """Places of what embeddings and (1) need of each group [G]; item_bias is a place among the item biases, -1: none."""

    F_M_W: np.ndarray
    F_M_b: np.ndarray
    item_bias: np.ndarray
    target_action: np.ndarray


@njit(**STEP)
def longest(offsets):
    """The length of the longest part, 0 if there is none."""
    n = np.int64(0)
    for i in range(len(offsets) - 1):
        n = max(n, offsets[i + 1] - offsets[i])
    return n


@njit(**STEP)
def deal(offsets, target_offsets, histories, count):
    """Gives each history to the shard with the least work so far, the longest first, so that shards end together.

    Fills histories and count of `Work`; the result depends on the batch and the number of shards alone.
    """
    B, shards = len(offsets) - 1, len(count)
    cost, order, load = np.empty(B), np.empty(B, np.int64), np.zeros(shards)
    for b in range(B):
        n, q = offsets[b + 1] - offsets[b], target_offsets[b + 1] - target_offsets[b]
        cost[b] = n + 0.7 * q + 0.005 * n * (n + q)  # in the time of a behaviour: targets, and pairs of the attention
        i = b
        while i > 0 and cost[order[i - 1]] < cost[b]:  # some dozen histories: a sort by insertion is quick enough
            order[i] = order[i - 1]
            i -= 1
        order[i] = b
    count[:] = 0
    for b in order:
        s = 0
        for other in range(1, shards):
            if load[other] < load[s]:
                s = other
        load[s] += cost[b]
        histories[s, count[s]] = b
        count[s] += 1


@njit(**INNER)
def next_chunk(batch, work, s, first):
    """The chunk that starts at history `first` of shard s: one past its last history, its behaviours, its targets."""
    n = q = np.int64(0)
    h = first
    while h < work.count[s]:
        b = work.histories[s, h]
        more_n, more_q = batch.offsets[b + 1] - batch.offsets[b], batch.target_offsets[b + 1] - batch.target_offsets[b]
        if h > first and (n + q + more_n + more_q > CHUNK or h - first == CHUNK):
            break
        work.offset[s, 0, h - first], work.offset[s, 1, h - first] = n, q
        n += more_n
        q += more_q
        h += 1
    work.offset[s, 0, h - first], work.offset[s, 1, h - first] = n, q
    return h, n, q


@njit(**INNER)
def with_a_choice(offset, count):
    """How many behaviours and targets a chunk has up to its last history of two behaviours or more, which are dealt first.

    Where there is but one, it has all the weight, whatever the scores say: so (2) and (3) can do without such rows.
    """
    h = count
    while h > 0 and offset[0, h] - offset[0, h - 1] < 2:
        h -= 1
    return offset[0, h], offset[1, h]


@njit(**INNER)
def number_rows(batch, work, s, first, last, row0):
    """Fills number, order and place of a chunk: behaviours, then targets, and all of it group by group in du."""
    N = len(batch.object)
    number, order, place = work.number[s], work.order[s], work.place[s]
    r = 0
    for h in range(first, last):
        for i in range(batch.offsets[work.histories[s, h]], batch.offsets[work.histories[s, h] + 1]):
            number[r] = i
            r += 1
    for h in range(first, last):
        for t in range(batch.target_offsets[work.histories[s, h]], batch.target_offsets[work.histories[s, h] + 1]):
            number[r] = N + t
            r += 1
    p, g = 0, 0
    while p < r:
        for i in range(r):
            if group_of(batch, number[i]) == g:
                order[row0 + p], place[p] = number[i], i
                p += 1
        g += 1


@njit(**INNER)
def group_of(batch, number):
    N = len(batch.object)
    return np.int64(batch.group[number]) if number < N else np.int64(batch.target_group[number - N])


@njit(**INNER)
def behaviour(batch, at, number):
    """-> group, object, bucket, action of a row; a target has elapsed time 0 and its group's target action.

    BPR-MF has a row for the user of each target, behind the targets: its user is an object of a group behind the groups.
    """
    N, T = len(batch.object), len(batch.target_object)
    if number >= N + T:
        t = number - N - T
        owner = np.searchsorted(batch.target_offsets, t, side="right") - 1
        return np.int64(batch.target_group[t]) + len(at.item_bias) // 2, np.int64(batch.user[owner]), np.int64(0), np.int64(0)
    if number < N:
        object, bucket, action = batch.object[number], batch.bucket[number], batch.action[number]
        return np.int64(batch.group[number]), np.int64(object), np.int64(bucket), np.int64(action)
    group = np.int64(batch.target_group[number - N])
    return group, np.int64(batch.target_object[number - N]), np.int64(0), at.target_action[group]


@njit(**INNER)
def end_of_group(batch, order, p, last):
    e = p
    while e < last and group_of(batch, order[e]) == group_of(batch, order[p]):
        e += 1
    return e


@njit(**INNER)
def common_space(features, at, P, tables, scale, batch, work, s, rows, row0, u0, S, spare, D):
    """(1): S = F_M(u) for the chunk's rows, group by group, each with its own width. -> place in du after them."""
    order, place, du = work.order[s], work.place[s], work.du[s]
    target = spare if len(features.width) > 1 else S
    p = row0
    while p < row0 + rows:
        g, e, start = group_of(batch, order[p]), end_of_group(batch, order, p, row0 + rows), u0
        for i in range(p, e):
            if i + AHEAD < e:
                _, object, _, _ = behaviour(batch, at, order[i + AHEAD])
                ask_for(features, tables, g, object)
            group, object, bucket, action = behaviour(batch, at, order[i])
            embed(features, P, tables, scale, group, object, bucket, action, du, u0)
            u0 += features.width[g]
        u = du[start : start + (e - p) * features.width[g]].reshape(e - p, features.width[g])
        product(u, ZERO, e - p, features.width[g], P, at.F_M_W[g], size(D), target, p - row0, SET)
        relu_forward(target, p - row0, e - p, P, at.F_M_b[g], D)
        p = e
    if len(features.width) > 1:
        for i in range(rows):
            store(S, place[i] * row(S, size(D)), load(spare, i * row(S, size(D)), D))
    return u0


@njit(**INNER)
def common_space_backward(features, at, PT, dP, batch, work, s, rows, row0, u0, S, dS, spare, spare2, D):
    """From dS to the gradients of F_M, to du, and from there to the dense part of the embeddings."""
    order, place, du = work.order[s], work.place[s], work.du[s]
    if len(features.width) > 1:
        for i in range(rows):
            store(spare, i * row(S, size(D)), load(dS, place[i] * row(S, size(D)), D))
            store(spare2, i * row(S, size(D)), load(S, place[i] * row(S, size(D)), D))
        dS, S = spare, spare2
    p = row0
    while p < row0 + rows:
        g, e = group_of(batch, order[p]), end_of_group(batch, order, p, row0 + rows)
        r, b = p - row0, features.width[g]
        u = du[u0 : u0 + (e - p) * b].reshape(e - p, b)
        relu_backward(dS, r, S, r, e - p, dP, at.F_M_b[g], D)
        product_of_transpose(u, ZERO, e - p, b, dS, r, size(D), dP, at.F_M_W[g], ADD)
        product(dS, r, e - p, size(D), PT, at.F_M_W[g], b, u, ZERO, SET)
        for i in range(p, e):
            group, object, bucket, action = behaviour(batch, at, order[i])
            dense_backward(features, dP, group, object, bucket, action, du, u0)
            u0 += b
        p = e
