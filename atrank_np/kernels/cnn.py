"""The CNN: a chunk, forward and backward. Names are those of `models.cnn`."""

from typing import NamedTuple

import numpy as np

from .convolution import ConvolutionCache, convolution_backward, convolution_forward
from .elementwise import clear
from .jit import entry, kernel
from .layout import aligned, rows
from .matrices import J
from .packed import Matrix
from .products import add_product_of_transpose, product
from .ranking import broadcast_user_backward, broadcast_user_forward
from .step import rank_targets, run
from .workspace import offsets_of


class Parameters(NamedTuple):
    """The dense parameters, the same with the matrices transposed, or their gradients."""

    groups: list  # [GroupParameters]
    deep: object  # Deep, or None
    windows: list  # [Convolution] of each of the I window sizes
    user_W: Matrix  # [I F, D]
    user_b: np.ndarray  # [1, D]


class Buffers(NamedTuple):
    """Rows of a chunk. In those of targets S holds h_t."""

    S: np.ndarray  # [R, D]
    e: np.ndarray  # of targets
    user: np.ndarray  # of histories
    dS: np.ndarray
    de: np.ndarray
    duser: np.ndarray
    features: np.ndarray  # [R, I F] of histories: pooled features of all window sizes, side by side
    dfeatures: np.ndarray
    windows: list  # [ConvolutionCache] whose y and dy are columns of the features


def make_buffers(model, R, dtype):
    D, F, sizes = model.space.width, model.maps, len(model.windows)
    features, dfeatures, z = rows(R, sizes * F, dtype), rows(R, sizes * F, dtype), rows(R, F, dtype)
    numbers, windows = aligned(R * sizes * D, dtype), []
    for i, w in enumerate(model.windows):
        laid_out, mine = Matrix(numbers, R, w * D, w * D, J.n), slice(i * F, (i + 1) * F)
        windows.append(ConvolutionCache(laid_out, z, rows(R, F, dtype), features[:, mine], dfeatures[:, mine]))
    return Buffers(*(rows(R, D, dtype) for _ in range(6)), features, dfeatures, windows)


@kernel
def chunk_step(context, thread, shard):
    """Forward, and in training backward, between the common space and its gradient."""
    chunk, own, own_T, d_own, B = shard.chunk, thread.own, thread.own_T, shard.gradients, shard.buffers
    n, q, histories, (offsets, target_offsets) = chunk.n, chunk.q, chunk.last - chunk.first, offsets_of(chunk)
    S, h, e, features, user = B.S[:n], B.S[n : n + q], B.e[:q], B.features[:histories], B.user[:histories]
    for i in range(len(own.windows)):
        convolution_forward(S, own.windows[i], offsets, B.windows[i])  # F1, F2
    product(features, own.user_W, user)  # F3
    broadcast_user_forward(user, own.user_b, target_offsets, e)  # F4
    dS, dh, de = B.dS[:n], B.dS[n : n + q], B.de[:q]
    rank_targets(context, thread, shard, h, e, dh, de)  # (8)

    if context.settings.train:
        dfeatures, duser = B.dfeatures[:histories], B.duser[:histories]
        broadcast_user_backward(de, target_offsets, d_own.user_b, duser)  # B4
        add_product_of_transpose(features, duser, d_own.user_W)  # B3
        product(duser, own_T.user_W, dfeatures)
        clear(dS)
        for i in range(len(own.windows)):
            convolution_backward(S, own_T.windows[i], d_own.windows[i], offsets, B.windows[i], dS)  # B2, B1


@entry
def step(context, thread, arrived):
    """A thread's part of a step."""
    run(context, thread, arrived, chunk_step)
