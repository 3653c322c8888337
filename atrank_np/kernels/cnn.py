"""The shard of the CNN, forward and backward. Names are those of `models.cnn`."""

from typing import NamedTuple

import numpy as np

from .convolution import Convolution, ConvolutionCache, convolution_backward, convolution_forward
from .jit import entry, kernel
from .layout import aligned, rows
from .packed import Matrix
from .products import J, add_product_of_transpose, product
from .ranking import broadcast_user_backward, broadcast_user_forward
from .simd import zeros
from .step import rank_targets, update
from .workspace import begin_shard, common_space, common_space_backward, next_chunk


class Parameters(NamedTuple):
    """The dense parameters, the same with the matrices transposed, or their gradients."""

    groups: list  # [GroupParameters]
    deep: object  # Deep, or None
    windows: list  # [Convolution] of each of the I window sizes
    user_W: Matrix  # [I F, D]
    user_b: np.ndarray  # [1, D]


class Buffers(NamedTuple):
    """Rows of a chunk. In those of targets S holds h_t. e has a row for each target, user and features for each history."""

    S: np.ndarray  # [R, D]
    dS: np.ndarray
    e: np.ndarray
    de: np.ndarray
    user: np.ndarray
    duser: np.ndarray
    spare: np.ndarray
    features: np.ndarray  # [R, I F] pooled features of all window sizes, side by side
    dfeatures: np.ndarray
    windows: list  # [ConvolutionCache] whose y and dy are columns of the features


@kernel
def shard_step(context, thread, s):
    """Forward, and in training backward, of the histories of a shard."""
    batch, settings, shard = context.batch, context.settings, context.shards[s]
    chunk = shard.chunk
    own, own_T, d_own, B = thread.own, thread.own_T, shard.gradients, shard.buffers
    begin_shard(shard, settings.train)
    while next_chunk(batch, chunk):
        n, end, histories = chunk.n, chunk.n + chunk.q, chunk.last - chunk.first
        offsets, target_offsets = chunk.offsets[: histories + 1], chunk.target_offsets[: histories + 1]
        S, h, e, features, user = B.S[:n], B.S[n:end], B.e[: chunk.q], B.features[:histories], B.user[:histories]
        common_space(context.groups, own.groups, settings.scale, batch, chunk, B.S[:end], B.dS)  # (1)
        for i in range(len(own.windows)):
            convolution_forward(S, own.windows[i], offsets, B.windows[i])  # F1, F2
        product(features, own.user_W, user)  # F3
        broadcast_user_forward(user, own.user_b, target_offsets, e)  # F4
        dS, dh, de = B.dS[:n], B.dS[n:end], B.de[: chunk.q]
        rank_targets(context, thread, shard, h, e, dh, de)  # (8)

        if settings.train:
            dfeatures, duser = B.dfeatures[:histories], B.duser[:histories]
            broadcast_user_backward(de, target_offsets, d_own.user_b, duser)  # B4
            add_product_of_transpose(features, duser, d_own.user_W)  # B3
            product(duser, own_T.user_W, dfeatures)
            for i in range(n):
                dS[i] = zeros(dS)
            for i in range(len(own.windows)):
                convolution_backward(S, own_T.windows[i], d_own.windows[i], offsets, B.windows[i], dS)  # B2, B1
            spares = B.e, B.spare
            common_space_backward(context.groups, own_T.groups, d_own.groups, batch, chunk, B.S[:end], B.dS[:end], spares)


@entry
def step(context, thread, arrived):
    """A thread's part of a step: its shards, then its update."""
    for s in range(thread, context.settings.shards, len(arrived)):
        shard_step(context, context.threads[thread], s)
    update(context, thread, arrived)


def parameters_of(named, model):
    """Parameters, from `spec.Named`."""
    windows = [Convolution(named.matrix(f"window{w}.W"), named.vector(f"window{w}.b")) for w in model.windows]
    user = named.matrix("user.W"), named.vector("user.b")
    return Parameters(named.groups(model.space.groups), named.deep(model), windows, *user)


def other_buffers(model, R, dtype):
    """The buffers that are no rows of D numbers, by name."""
    D, F, sizes = model.space.width, model.maps, len(model.windows)
    features, dfeatures, z = rows(R, sizes * F, dtype), rows(R, sizes * F, dtype), rows(R, F, dtype)
    numbers, windows = aligned(R * sizes * D, dtype), []
    for i, w in enumerate(model.windows):
        laid_out, mine = Matrix(numbers, R, w * D, w * D, J.n), slice(i * F, (i + 1) * F)
        windows.append(ConvolutionCache(laid_out, z, rows(R, F, dtype), features[:, mine], dfeatures[:, mine]))
    return {"features": features, "dfeatures": dfeatures, "windows": windows}
