"""BPR-MF: a shard, forward and backward. Names are those of `models.bpr_mf`."""

from typing import NamedTuple

import numpy as np

from .elementwise import dot
from .embedding import dense_backward, embed
from .jit import ZERO, entry, inline, kernel
from .step import compute_loss, item_bias, update
from .workspace import begin_shard, behaviour


class Parameters(NamedTuple):
    """The dense parameters, which are those of features that are numbers; or their gradients."""

    groups: list  # [GroupParameters] of the groups, then of their users
    deep: None


class Buffers(NamedTuple):
    """None. Each target has two rows of du: emb(o) and the user's vector, then the gradients of both."""


def make_buffers(model, R, dtype):
    return Buffers()


@inline
def rows_of_target(du, u, width):  # -> [width], [width]
    """emb(o) and the user's vector, from number u of du on."""
    return du[u : u + width], du[u + width : u + 2 * width]


@kernel
def shard_step(context, thread, s):
    """Forward, and in training backward, of the histories of a shard, of which only users and targets matter."""
    batch, settings, groups, shard = context.batch, context.settings, context.groups, context.shards[s]
    chunk, own, d_own, users = shard.chunk, thread.own.groups, shard.gradients.groups, len(groups) // 2
    N, T = len(batch.object), len(batch.label)
    begin_shard(shard, settings.train)
    while chunk.last < chunk.count:  # here a chunk is one history
        b, u = chunk.histories[chunk.last], chunk.next_u
        chunk.first, chunk.last = chunk.last, chunk.last + 1
        first, last = batch.target_offsets[b], batch.target_offsets[b + 1]
        for t in range(first, last):
            g, object, _, _ = behaviour(batch, groups, N + t)
            emb, user = rows_of_target(chunk.du, u, groups[g].width)
            embed(groups[users + g], own[users + g], settings.scale, np.int64(batch.user[b]), ZERO, ZERO, user)  # F1
            embed(groups[g], own[g], settings.scale, object, ZERO, ZERO, emb)  # F2
            context.f[t] = dot(user, emb) + item_bias(groups[g], object)  # F3, F4
            chunk.order[chunk.rows], chunk.order[chunk.rows + 1] = N + t, N + T + t
            chunk.rows += 2
            u += 2 * len(emb)
        if settings.train:
            compute_loss(context, shard)
            u = chunk.next_u
            for t in range(first, last):
                g, object, _, _ = behaviour(batch, groups, N + t)
                emb, user = rows_of_target(chunk.du, u, groups[g].width)
                for j in range(len(emb)):
                    emb[j], user[j] = context.df[t] * user[j], context.df[t] * emb[j]  # B3
                dense_backward(groups[g], d_own[g], object, ZERO, ZERO, emb)  # B2; B1 and B4 belong to the update
                u += 2 * len(emb)
        chunk.next_u = u


@entry
def step(context, thread, arrived):
    """A thread's part of a step: its shards, then its update."""
    for s in range(thread, context.settings.shards, len(arrived)):
        shard_step(context, context.threads[thread], s)
    update(context, thread, arrived)
