"""The chunks of a step: the histories of a batch go to shards, and those of a shard to chunks; and the common space.

A shard is a part of the histories of a batch, the same for any number of threads. It goes forward and backward chunk by chunk.
A chunk has so many histories that their rows stay in the cache: in its buffers, rows 0 … n-1 are its behaviours, rows n … n+q-1
its targets.
"""

import numpy as np

from .context import CHUNK
from .elementwise import clear, copy, length
from .embedding import dense_backward, embed, prefetch_object
from .feedforward import project, relu_backward
from .jit import ZERO, inline, kernel
from .matrices import rows_of
from .products import add_product_of_transpose, product

AHEAD = 8  # rows: so early are those of tables asked for


@inline
def fits(batch, room):
    """Whether there is room for a batch."""
    histories, targets = len(batch.offsets) - 1, len(batch.label)
    if histories > room.histories or targets > room.targets or len(batch.object) + targets > room.rows:
        return False
    for b in range(histories):
        n, q = length(batch.offsets, b), length(batch.target_offsets, b)
        if n > room.behaviours or q > room.targets_of_one or n + q > room.rows_of_one:
            return False
    return True


@kernel
def sort_by_cost(order, cost, spare):  # [B], [B], [B]
    """Sorts the histories of `order` in place, the most costly first; those of the same cost keep their order. A merge sort."""
    B, run = len(order), 1
    while run < B:  # runs of so many are sorted; two neighbours become one
        for first in range(0, B, 2 * run):
            middle, last = min(first + run, B), min(first + 2 * run, B)
            i, j = first, middle
            for k in range(first, last):
                if j == last or (i < middle and cost[order[i]] >= cost[order[j]]):
                    spare[k] = order[i]
                    i += 1
                else:
                    spare[k] = order[j]
                    j += 1
        copy(spare, order)
        run *= 2


@kernel
def assign_to_shards(batch, chunks, assignment, shards, first):  # ., [Chunk], Assignment, ., .
    """Gives each history to the shard with the least work so far, the longest first, so that shards end together.

    The result depends on the batch and the number of shards alone. chunks: those of shards first, first + 1, …; other ranks
    have the others.
    """
    B = len(batch.offsets) - 1
    order, cost, work = assignment.order[:B], assignment.cost[:B], assignment.work[:shards]
    for b in range(B):
        n, q = length(batch.offsets, b), length(batch.target_offsets, b)
        cost[b] = n + 0.7 * q + 0.005 * n * (n + q)  # in the time of a behaviour: targets, and pairs of the attention
        order[b] = b
    sort_by_cost(order, cost, assignment.spare[:B])
    clear(work)
    for s in range(len(chunks)):
        chunks[s].count = 0
    for i in range(B):
        s = 0
        for other in range(1, shards):
            if work[other] < work[s]:
                s = other
        work[s] += cost[order[i]]
        if first <= s < first + len(chunks):
            chunk = chunks[s - first]
            chunk.histories[chunk.count] = order[i]
            chunk.count += 1


@inline
def offsets_of(chunk):  # -> [histories+1], [histories+1]
    """The first behaviour and the first target of each history of the chunk, and one past the last."""
    count = chunk.last - chunk.first + 1
    return chunk.offsets[:count], chunk.target_offsets[:count]


@inline
def begin_shard(shard, train):
    """Before its first chunk: nothing done, and in training gradients of 0."""
    chunk = shard.chunk
    chunk.last = chunk.n = chunk.q = chunk.rows = chunk.next_u = 0
    shard.loss = 0.0
    if train:
        clear(shard.dP)


@kernel
def next_chunk(batch, chunk):
    """Makes the next chunk -> whether there is one."""
    if chunk.last == chunk.count:
        return False
    n = q = np.int64(0)
    h = chunk.first = chunk.last
    while h < chunk.count:
        b = chunk.histories[h]
        more_n, more_q = length(batch.offsets, b), length(batch.target_offsets, b)
        if h > chunk.first and (n + q + more_n + more_q > CHUNK or h - chunk.first == CHUNK):
            break
        chunk.offsets[h - chunk.first], chunk.target_offsets[h - chunk.first] = n, q
        n += more_n
        q += more_q
        h += 1
    chunk.offsets[h - chunk.first], chunk.target_offsets[h - chunk.first] = n, q
    chunk.last, chunk.n, chunk.q = h, n, q
    chunk.row, chunk.u = chunk.rows, chunk.next_u
    chunk.rows += n + q
    number_rows(batch, chunk)
    return True


@kernel
def number_rows(batch, chunk):
    """Fills number, order and place of a chunk: behaviours, then targets, and all of it group by group in du."""
    number, N, r = chunk.number, len(batch.object), 0
    for h in range(chunk.first, chunk.last):
        for i in range(batch.offsets[chunk.histories[h]], batch.offsets[chunk.histories[h] + 1]):
            number[r] = i
            r += 1
    for h in range(chunk.first, chunk.last):
        for t in range(batch.target_offsets[chunk.histories[h]], batch.target_offsets[chunk.histories[h] + 1]):
            number[r] = N + t
            r += 1
    p = g = 0
    while p < r:
        for i in range(r):
            if group_of(batch, number[i]) == g:
                chunk.order[chunk.row + p], chunk.place[p] = number[i], i
                p += 1
        g += 1


@inline
def group_of(batch, number):
    N = len(batch.object)
    return np.int64(batch.group[number]) if number < N else np.int64(batch.target_group[number - N])


@inline
def history_of(target_offsets, t):  # [B+1]
    """The history of target t, found by halving: it is b, or one of b+1 … end-1."""
    b, end = 0, len(target_offsets) - 1
    while b + 1 < end:
        middle = (b + end) // 2
        if target_offsets[middle] <= t:
            b = middle
        else:
            end = middle
    return b


@inline
def behaviour(batch, groups, number):
    """-> group, object, bucket, action of a row; a target has elapsed time 0 and its group's target action.

    BPR-MF has a row for the user of each target, behind the targets: its user is an object of a group behind the groups.
    """
    N, T = len(batch.object), len(batch.target_object)
    if number >= N + T:
        t = number - N - T
        user = batch.user[history_of(batch.target_offsets, t)]
        return np.int64(batch.target_group[t]) + len(groups) // 2, np.int64(user), ZERO, ZERO
    if number < N:
        object, bucket, action = batch.object[number], batch.bucket[number], batch.action[number]
        return np.int64(batch.group[number]), np.int64(object), np.int64(bucket), np.int64(action)
    group = np.int64(batch.target_group[number - N])
    return group, np.int64(batch.target_object[number - N]), ZERO, groups[group].target_action


@inline
def end_of_group(batch, order, p, last):  # [.]
    """The first place after p in the order, at most `last`, whose row is of another group than that at p."""
    e = p
    while e < last and group_of(batch, order[e]) == group_of(batch, order[p]):
        e += 1
    return e


@kernel
def common_space(groups, own, scale, batch, chunk, S, spare):  # -> [n+q, D]
    """(1): S = F_M(u) for the chunk's rows, group by group, each with its own width; spare: rows like S."""
    order, u, p, last = chunk.order, chunk.u, chunk.row, chunk.row + chunk.n + chunk.q
    target = spare if len(groups) > 1 else S
    while p < last:
        g, e, start = group_of(batch, order[p]), end_of_group(batch, order, p, last), u
        width, parameters = groups[g].width, own[g]
        for i in range(p, e):
            if i + AHEAD < e:
                _, object, _, _ = behaviour(batch, groups, order[i + AHEAD])
                prefetch_object(groups[g], object)
            _, object, bucket, action = behaviour(batch, groups, order[i])
            embed(groups[g], parameters, scale, object, bucket, action, chunk.du[u : u + width])
            u += width
        rows = rows_of(chunk.du[start:u], e - p, width)
        project(rows, parameters.F_M_W, parameters.F_M_b, target[p - chunk.row : e - chunk.row])
        p = e
    if len(groups) > 1:
        for i in range(len(S)):
            S[chunk.place[i]] = spare[i]
    chunk.next_u = u


@kernel
def common_space_backward(groups, groups_T, d_groups, batch, chunk, S, dS, spares):  # [n+q, D], [n+q, D]
    """From dS to the gradients of F_M, to du, and from there to the dense part of the embeddings."""
    order, u, p, last = chunk.order, chunk.u, chunk.row, chunk.row + chunk.n + chunk.q
    if len(groups) > 1:
        spare, spare2 = spares
        for i in range(len(S)):
            spare[i] = dS[chunk.place[i]]
            spare2[i] = S[chunk.place[i]]
        dS, S = spare, spare2
    while p < last:
        g, e = group_of(batch, order[p]), end_of_group(batch, order, p, last)
        width, gradients, dz = groups[g].width, d_groups[g], dS[p - chunk.row : e - chunk.row]
        rows = rows_of(chunk.du[u : u + (e - p) * width], e - p, width)
        relu_backward(dz, S[p - chunk.row : e - chunk.row], gradients.F_M_b)
        add_product_of_transpose(rows, dz, gradients.F_M_W)
        product(dz, groups_T[g].F_M_W, rows)
        for i in range(p, e):
            _, object, bucket, action = behaviour(batch, groups, order[i])
            dense_backward(groups[g], gradients, object, bucket, action, chunk.du[u : u + width])
            u += width
        p = e
