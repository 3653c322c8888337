"""The shard of BPR-MF: f = u · emb(o) + bias, history by history; behaviours play no part, only users and targets do."""

from typing import NamedTuple

import numpy as np
from numba import njit

from .chunks import SpaceAt, behaviour
from .embedding import dense_backward, embed
from .options import INNER, STEP
from .ranking import DeepAt
from .step import lose, update


class Places(NamedTuple):
    """Where the dense parameters lie in P."""

    space: SpaceAt
    deep: DeepAt


@njit(**INNER)
def shard(given, settings, batch, s, train, D, K, L):
    """Forward, and with `train` backward, of the histories of shard s. Fills work.f, .df, .loss, .dP and .du.

    Two rows of du for every target: emb(o) and the user's vector, and then, each in its place, their gradients.
    """
    features, places, copies, _, tables, biases, _, work = given
    P = copies[s % len(copies)]
    dP, du, order, space = work.dP[s], work.du[s], work.order[s], places.space
    scale, N, T = P.dtype.type(settings.scale), len(batch.object), len(batch.label)
    if train:
        dP[:] = 0
    work.loss[s] = 0
    row = u0 = np.int64(0)
    for h in range(work.count[s]):
        b, first_row, first_u = work.histories[s, h], row, u0
        for t in range(batch.target_offsets[b], batch.target_offsets[b + 1]):
            order[row], order[row + 1] = N + t, N + T + t
            for i in range(2):
                group, object, bucket, action = behaviour(batch, space, order[row + i])
                width = features.width[group]
                embed(features, P, tables, scale, group, object, bucket, action, du, u0 + i * width)
            group, object = np.int64(batch.target_group[t]), np.int64(batch.target_object[t])
            bias = space.item_bias[group]
            f = biases[bias + object] if bias >= 0 else P.dtype.type(0)
            for j in range(width):
                f += du[u0 + j] * du[u0 + width + j]
            work.f[t] = f
            row, u0 = row + 2, u0 + 2 * width
        if train:
            lose(settings, batch, work, s, np.int64(h), np.int64(h + 1))
            row, u0 = first_row, first_u
            for t in range(batch.target_offsets[b], batch.target_offsets[b + 1]):
                group, object, bucket, action = behaviour(batch, space, order[row])
                width = features.width[group]
                for j in range(width):
                    emb, user = du[u0 + j], du[u0 + width + j]
                    du[u0 + j], du[u0 + width + j] = work.df[t] * user, work.df[t] * emb
                dense_backward(features, dP, group, object, bucket, action, du, u0)
                row, u0 = row + 2, u0 + 2 * width
    work.used[s] = row


@njit(**STEP)
def step(held, settings, batch, thread, arrived, D, K, L):
    """A thread's part of a step: its shards, then its update."""
    given = held.value
    for s in range(thread, settings.shards, len(arrived)):
        shard(given, settings, batch, s, settings.train, D, K, L)
    update(given, settings, batch, thread, arrived)


def places_of(model, space, deep, at):
    return Places(space, deep)
