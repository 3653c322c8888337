"""A training step as one compiled call on each thread: a model's shards, forward and backward, then the update.

Why one call: a call from Python costs microseconds, and a step has about forty products of a few dozen rows. And two threads
that go back to Python at once wait there for each other.
    1. Each shard goes forward and backward. Dense gradients add up in its own dP, the embeddings' gradients stay in its du.
       Shards may run on threads of their own.
    2. The threads meet at a barrier. The update takes the shards in order, so no bit depends on the number of threads: also
       where threads share the rows of tables, each row gets its gradients from one thread, in that order.
"""

import numpy as np

from .elementwise import section
from .embedding import EVERY_ROW, Share, owns, prefetch_object, scatter, take_squares
from .jit import entry, inline, kernel
from .optimizer import descend_object, direction
from .products import transpose
from .ranking import count_terms, loss_of_history, score_backward, score_forward
from .simd import STRIP, load, size, splat, store, total
from .threads import barrier
from .views import fill
from .workspace import AHEAD, assign_to_shards, begin_shard, behaviour, common_space, common_space_backward, fits, next_chunk

SHARING = 3  # so many threads share the rows of tables; of two, the first one updates all
DECAYED, TABLE, REST = 0, 1, 2  # dense parameters: of the weight decay, of that of tables (through their scale), of none


@entry
def begin(context, batch, task, shards, first):
    """Takes over a batch and a Task, and gives its histories to so many shards; those here are number first, first + 1, …

    -> 1 / the terms of its loss; 0: there is no room.
    """
    fill(context.batch, batch)
    if not fits(context.batch, context.room):
        return 0.0
    settings = context.settings
    fill(settings, task)
    assign_to_shards(context.batch, context.chunks, context.assignment, shards, first)
    settings.norm = 1.0 / max(count_terms(context.batch.label, context.batch.target_offsets, settings.loss), 1)
    return settings.norm


@kernel
def rank_targets(context, thread, shard, h, e, dh, de):  # ., ., ., [q, D], [q, D] -> [q, D], [q, D]
    """(8) for the chunk's targets: context.f; in training the loss, context.df, dh and de, and the gradients of a deep f."""
    batch, chunk, N = context.batch, shard.chunk, len(context.batch.object)
    f, df, numbers = shard.f[: chunk.q], shard.df[: chunk.q], chunk.number[chunk.n : chunk.n + chunk.q]
    score_forward(h, e, thread.own.deep, shard.deep, f)
    for i in range(chunk.q):
        t = numbers[i] - N
        bias = item_bias(context.groups[np.int64(batch.target_group[t])], np.int64(batch.target_object[t]))
        context.f[t] = f[i] + bias
        if not context.settings.train:
            keep_vectors(context.settings.vectors, t, h[i], e[i], bias)
    if context.settings.train:
        compute_loss(context, shard)
        for i in range(chunk.q):
            df[i] = context.df[numbers[i] - N]
        score_backward(df, h, e, thread.own_T.deep, shard.gradients.deep, shard.deep, dh, de)


@inline
def keep_vectors(vectors, t, h, e, bias):  # Vectors or None, ., [D], [D], number
    """Both sides of the score of target t, where they are asked for."""
    if vectors is not None:
        vectors.h[t], vectors.e[t], vectors.bias[t] = h, e, bias


@inline
def item_bias(group, object):
    """0 without item biases."""
    return group.item_bias[object] if len(group.item_bias) > 0 else 0


@inline
def compute_loss(context, shard):
    """The loss of the chunk's histories, and context.df."""
    batch, settings, chunk = context.batch, context.settings, shard.chunk
    for h in range(chunk.first, chunk.last):
        b, offsets = chunk.histories[h], batch.target_offsets
        f, log_q, label = section(context.f, offsets, b), section(batch.log_q, offsets, b), section(batch.label, offsets, b)
        shard.loss += loss_of_history(f, log_q, label, settings.loss, settings.norm, section(context.df, offsets, b))


@inline
def sum_of_shards(dP, size, shards, i):
    """A strip of the dense gradients."""
    g = load(dP, i, 0, STRIP)
    for s in range(1, shards):
        g = g + load(dP, s * size + i, 0, STRIP)
    return g


@kernel
def update_dense(context, thread, rule):
    """A thread's copy of the dense parameters. Pieces end on a line of the cache, so whole strips are added."""
    settings, P, shards = context.settings, thread.P, context.settings.sums
    table_rate = settings.rate / (settings.scale * settings.keep)
    for m in range(len(context.pieces)):
        piece = context.pieces[m]
        shrink = splat(P, settings.keep if piece.kind == DECAYED else 1.0, STRIP)
        pace = splat(P, table_rate if piece.kind == TABLE else settings.rate, STRIP)
        for i in range(piece.first, piece.last, size(STRIP)):
            g = sum_of_shards(context.dP, len(P), shards, i)
            store(P, i, 0, load(P, i, 0, STRIP) * shrink - pace * direction(rule, g, thread.mean, thread.square, i, STRIP))


@kernel
def update_tables(groups, share, batch, chunks, df, rate, table_rate):
    """The feature tables and the item biases of groups, of which a share. All rows of the batch are walked through."""
    N = len(batch.object)
    for s in range(len(chunks)):
        chunk, u = chunks[s], 0
        for i in range(chunk.rows):
            number = chunk.order[i]
            if i + AHEAD < chunk.rows:
                g, object, _, _ = behaviour(batch, groups, chunk.order[i + AHEAD])
                prefetch_object(groups[g], object)
            g, object, _, _ = behaviour(batch, groups, number)
            group = groups[g]
            scatter(group, share, table_rate, object, chunk.du[u : u + group.width])
            u += group.width
            if number >= N and len(group.item_bias) > 0 and object > 0 and owns(share, object):
                group.item_bias[object] -= rate * df[number - N]


@inline
def update_rows(context, rule, share):
    """Tables and item biases. A row that comes several times has one gradient, so for a rule they are added up first.

    Nothing waits between the two passes: only the owner of a row adds to its sum, descends with it and clears it.
    """
    groups, batch, chunks, settings = context.groups, context.batch, context.finished, context.settings
    rate, table_rate = settings.row_rate, settings.row_rate / (settings.scale * settings.keep)
    if rule is None:
        update_tables(groups, share, batch, chunks, context.df, rate, table_rate)
    else:
        update_tables(rule.sums, share, batch, chunks, context.df, -1.0, -1.0)
        for s in range(len(chunks)):
            for i in range(chunks[s].rows):
                g, object, _, _ = behaviour(batch, groups, chunks[s].order[i])
                descend_object(rule, share, table_rate, rate, groups, g, object)


@kernel
def transpose_all(matrices):
    """The transpose of each TransposedPair."""
    for m in range(len(matrices)):
        transpose(matrices[m].W, matrices[m].W_T)


@entry
def transpose_matrices(context):
    """The same for all threads: once, for a new workspace."""
    for t in range(len(context.threads)):
        transpose_all(context.threads[t].matrices)


@kernel
def update(context, thread, arrived):
    """w <- keep w - rate dw for all parameters, from what the shards left, or what `optimizer.Rule` says; and the transposes.

    The thread waits until all shards are there; if one failed, nothing is done.

    keep is 1 for what does not decay; what tables keep is in the factor that they are stored divided by.
    Each thread does all dense parameters, in its own copy. Cores that share the work must fetch what the others wrote; where
    they have no cache in common, that takes far longer than to do it twice. All add up in the order of the shards, so the
    copies have the same bits, whatever their number. Tables have no copies: one thread updates a row.
    """
    own, share = context.threads[thread], Share(thread, len(arrived) if len(arrived) >= SHARING else 1)
    if not context.settings.update or not barrier(arrived, thread):
        return
    if share.thread < share.threads:
        update_rows(context, context.rule, share)
    update_dense(context, own, context.rule)
    transpose_all(own.matrices)


@inline
def run(context, thread, arrived, chunk_step):
    """A thread's part of a step: its shards, chunk by chunk, then its update.

    chunk_step(context, thread, shard): the kernel of a model, for what lies between the common space and its gradient.
    """
    own, batch, settings, groups = context.threads[thread], context.batch, context.settings, context.groups
    for s in range(thread, settings.shards, len(arrived)):
        shard = context.shards[s]
        chunk, B, d_own = shard.chunk, shard.buffers, shard.gradients
        if settings.piece == 0:
            begin_shard(shard, settings.train)
        until = chunk.count * (settings.piece + 1) // settings.pieces
        while chunk.last < until and next_chunk(batch, chunk):
            end = chunk.n + chunk.q
            common_space(groups, own.own.groups, settings.scale, batch, chunk, B.S[:end], shard.spare)  # (1)
            chunk_step(context, own, shard)
            if settings.train:
                spares = shard.spare, shard.spare2
                common_space_backward(groups, own.own_T.groups, d_own.groups, batch, chunk, B.S[:end], B.dS[:end], spares)
    update(context, thread, arrived)


@entry
def sum_tables(context, groups):
    """Adds the gradients of tables and item biases to groups, a list in a NamedTuple."""
    update_tables(groups.groups, EVERY_ROW, context.batch, context.finished, context.df, -1.0, -1.0)


@entry
def gradient_norm(context, groups):
    """The norm of all gradients, for `optimizer.clip`.

    groups: a list in a NamedTuple, with tables and item biases of zeros. There the gradients of a row are added up before they
    are squared; then it is zero again.
    """
    groups, chunks = groups.groups, context.finished
    update_tables(groups, EVERY_ROW, context.batch, chunks, context.df, 1.0, 1.0)
    squares = 0.0
    for s in range(len(chunks)):
        for i in range(chunks[s].rows):
            g, object, _, _ = behaviour(context.batch, groups, chunks[s].order[i])
            squares += take_squares(groups[g], object)
    numbers = len(context.dP) // len(context.shards)
    for i in range(0, numbers, size(STRIP)):
        g = sum_of_shards(context.dP, numbers, context.settings.sums, i)
        squares += total(g * g)
    return np.sqrt(squares)
