"""The shard of ATRank: (1) to (8) of a part of the batch, forward and backward."""

from typing import NamedTuple

from numba import njit

from .chunks import SpaceAt, common_space, common_space_backward, next_chunk, number_rows, with_a_choice
from .feedforward import Mask, add, clear
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
    project,
    project_backward,
    rank,
    update,
)
from .vectors import size

BUFFERS = 17  # rows of D numbers that `shard` has names for
ENCODED, VALUE_C = 8, 9  # of these: C of (6), and the values of a chunk's vanilla attention
# Matrices whose gradients the first chunk of a shard writes, so that nobody has to clear them: they lie at the end of P.
WRITTEN = tuple(f"{layer}.{name}" for layer in ("self", "vanilla") for name in ("P.W", "Q.W", "F.W1", "F.W2")) + ("self.W",)


class Places(NamedTuple):
    """Where the dense parameters lie in P."""

    space: SpaceAt
    deep: DeepAt
    self_attention: AttentionAt
    self_feed_forward: FeedForwardAt
    vanilla_attention: AttentionAt
    vanilla_feed_forward: FeedForwardAt
    written: int  # where `WRITTEN` begin


@njit(**INNER)
def shard(given, settings, batch, s, train, D, K, L):
    """Forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    In the buffers' rows of targets S holds h_t, X what enters F_vanilla, C what leaves it. Names are those of
    `models.atrank` and `layers`.
    """
    features, places, copies, transposed, tables, biases, _, work = given
    P, PT = copies[s % len(copies)], transposed[s % len(copies)]  # those of the thread that runs shard s
    rows, rstd, number, dP = work.rows[s], work.rstd[s], work.number[s], work.dP[s]
    S, query, key, value, X, hidden = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    out, normed, C, value_C, he, deep_hidden = rows[6], rows[7], rows[ENCODED], rows[VALUE_C], rows[10], rows[11]
    dS, d1, d2, d3, spare = rows[12], rows[13], rows[14], rows[15], rows[16]
    own, vanilla = places.self_attention, places.vanilla_attention
    own_ff, vanilla_ff = places.self_feed_forward, places.vanilla_feed_forward
    scale, width, N = P.dtype.type(settings.scale), size(D), len(batch.object)
    if train:
        dP[: places.written if work.count[s] else len(dP)] = 0
    work.loss[s] = 0
    first = row0 = u0 = ZERO
    while first < work.count[s]:
        last, n, q = next_chunk(batch, work, s, first)
        n2, q2 = with_a_choice(work.offset[s], last - first)  # only theirs are queries and keys
        number_rows(batch, work, s, first, last, row0)
        own_mask = Mask(settings.dropout, settings.key, 0, number, ZERO, ZERO, settings.columns)
        vanilla_mask = Mask(settings.dropout, settings.key, 1, number, n, N, settings.columns)
        u1 = common_space(features, places.space, P, tables, scale, batch, work, s, n + q, row0, u0, S, spare, D)  # (1)

        project(S, ZERO, n2, P, own.P_W, own.P_b, query, ZERO, D)  # (2)
        product(S, ZERO, n2, width, P, own.W, width, key, ZERO, SET)
        project(S, ZERO, n, P, own.Q_W, own.Q_b, value, ZERO, D)
        at = attend(query, ZERO, ZERO, P, -ONE, key, value, work, s, last - first, ZERO, train, X, D, K)  # (3) to (5)
        if settings.residual:
            add(S, n, X, D)
        feed_forward(X, ZERO, n, P, own_ff, own_mask, hidden, out, normed, rstd, C, D)  # (6)

        project(S, n, q2, P, vanilla.P_W, vanilla.P_b, query, n, D)  # (7)
        project(C, ZERO, n, P, vanilla.Q_W, vanilla.Q_b, value_C, ZERO, D)
        attend(query, ONE, n, P, vanilla.W, C, value_C, work, s, last - first, at, train, X, D, K)
        feed_forward(X, n, q, P, vanilla_ff, vanilla_mask, hidden, out, normed, rstd, C, D)
        rank(S, C, n, q, settings, places, P, PT, dP, biases, batch, work, s, first, last, he, deep_hidden, spare,
             train, dS, d1, D)  # fmt: skip

        if train:
            more = first > 0  # to the gradients of `WRITTEN` others than the first chunk add
            de = d1  # which becomes dx
            feed_forward_backward(de, n, q, X, P, PT, dP, vanilla_ff, more, vanilla_mask, hidden, normed, rstd, d2, spare, D)
            dx, dquery, dvalue, dC = de, d2, d2, d3  # targets in rows n …, keys and values in rows 0 …
            attend_back(query, dquery, ONE, n, P, dP, vanilla.W, C, value_C, dC, dvalue, work, s, last - first, at, dx, D, K)
            project_backward(dquery, n, query, n, S, n, q2, PT, dP, vanilla.P_W, vanilla.P_b, more, dS, n, ADD, D)
            project_backward(dvalue, ZERO, value_C, ZERO, C, ZERO, n, PT, dP, vanilla.Q_W, vanilla.Q_b, more, dC, ZERO, ADD, D)

            feed_forward_backward(dC, ZERO, n, X, P, PT, dP, own_ff, more, own_mask, hidden, normed, rstd, d2, spare, D)
            dX, dquery, dkey, dvalue = dC, d1, d2, spare
            attend_back(query, dquery, ZERO, ZERO, P, dP, -ONE, key, value, dkey, dvalue, work, s, last - first, ZERO, dX, D, K)
            clear(dS, n2, n, D)
            project_backward(dquery, ZERO, query, ZERO, S, ZERO, n2, PT, dP, own.P_W, own.P_b, more, dS, ZERO, SET, D)
            project_backward(dvalue, ZERO, value, ZERO, S, ZERO, n, PT, dP, own.Q_W, own.Q_b, more, dS, ZERO, ADD, D)
            product_of_transpose(S, ZERO, n2, width, dkey, ZERO, width, dP, own.W, more)
            product(dkey, ZERO, n2, width, PT, own.W, width, dS, ZERO, ADD)
            if settings.residual:
                add(dX, n, dS, D)

            common_space_backward(features, places.space, PT, dP, batch, work, s, n + q, row0, u0, S, dS, d1, d2, D)
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
    return Places(
        space=space,
        deep=deep,
        self_attention=AttentionAt.of("self", at),
        self_feed_forward=FeedForwardAt.of("self", at),
        vanilla_attention=AttentionAt.of("vanilla", at),
        vanilla_feed_forward=FeedForwardAt.of("vanilla", at),
        written=min(at[name] for name in WRITTEN),
    )
