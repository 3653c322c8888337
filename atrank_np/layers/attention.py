"""Attention in K latent spaces: the self-attention of a history, (2) to (5), and a target's vanilla attention (7).

Rows are packed: history b has the keys offsets[b]:offsets[b+1] and the queries query_offsets[b]:query_offsets[b+1].
In self-attention these are the same rows; in vanilla attention the queries are the history's targets. Column k·d + j of
a [·, D] array is number j of space k. The targets of an empty history get zeros: a sum over nothing.
"""

from typing import NamedTuple, Protocol

import numpy as np

from ..arrays import Floats, Ints
from .perceptron import PerceptronCache, perceptron_backward, perceptron_forward


class AttendCache(NamedTuple):
    query: Floats  # [Q,D]
    key: Floats  # [N,D]
    value: Floats  # [N,D]
    query_offsets: Ints  # [B+1]
    offsets: Ints  # [B+1]
    K: int
    weights: list[Floats | None]  # [K,q,n] of each history; None for an empty one


class AttentionCache(NamedTuple):
    P: PerceptronCache
    m: Floats  # [N,Dm]
    W: Floats  # [K,d,Dm]
    Q: PerceptronCache
    attend: AttendCache


class HoldsAttention(Protocol):
    """A cache that contains the cache of `attend_forward`."""

    @property
    def attend(self) -> AttendCache: ...


def softmax_forward(x: Floats) -> tuple[Floats, Floats]:  # [..., m] -> [..., m], rows sum to one
    """(3). The maximum is subtracted first: it cancels in the quotient, and exp cannot overflow. Cache: the output."""
    e = np.exp(x - x.max(-1, keepdims=True))  # F1
    a = e / e.sum(-1, keepdims=True)  # F2
    return a, a


def softmax_backward(da: Floats, cache: Floats) -> Floats:  # [..., m] -> [..., m]
    """The Jacobian of a row is diag(a) - a aᵀ, so dx = a ∘ (da - <a, da>): no m × m matrix is ever formed."""
    a = cache
    dx: Floats = a * (da - (a * da).sum(-1, keepdims=True))  # B1, B2
    return dx


def split_spaces(x: Floats, K: int) -> Floats:  # [n,D] -> [K,n,d]
    return x.reshape(len(x), K, x.shape[1] // K).transpose(1, 0, 2)


def join_spaces(x: Floats) -> Floats:  # [K,n,d] -> [n,D]
    return x.transpose(1, 0, 2).reshape(x.shape[1], x.shape[0] * x.shape[2])


def attend_forward(
    query: Floats, key: Floats, value: Floats, query_offsets: Ints, offsets: Ints, K: int
) -> tuple[Floats, AttendCache]:  # [Q,D], [N,D], [N,D], [B+1], [B+1] -> [Q,D]
    """(3) and the product of (5): in every history and space c = softmax(query keyᵀ) value.

    Cache: query, key, value, and each history's weights [K,q,n]. Its size grows with the square of a history's length.
    """
    c = np.zeros_like(query)
    weights: list[Floats | None] = []
    for b in range(len(offsets) - 1):
        rows, keys = slice(*query_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        if keys.start == keys.stop:
            weights.append(None)
            continue
        q, k, v = split_spaces(query[rows], K), split_spaces(key[keys], K), split_spaces(value[keys], K)
        scores = q @ k.transpose(0, 2, 1)  # F1 [K,q,n]
        a, _ = softmax_forward(scores)  # F2
        c[rows] = join_spaces(a @ v)  # F3
        weights.append(a)
    return c, AttendCache(query, key, value, query_offsets, offsets, K, weights)


def attend_backward(dc: Floats, cache: AttendCache) -> tuple[Floats, Floats, Floats]:  # [Q,D] -> [Q,D], [N,D], [N,D]
    query, key, value, query_offsets, offsets, K, weights = cache
    dquery, dkey, dvalue = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)
    for b, a in enumerate(weights):
        if a is None:
            continue
        rows, keys = slice(*query_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        q, k, v = split_spaces(query[rows], K), split_spaces(key[keys], K), split_spaces(value[keys], K)
        dcb = split_spaces(dc[rows], K)
        da = dcb @ v.transpose(0, 2, 1)  # B3, by a
        dvalue[keys] = join_spaces(a.transpose(0, 2, 1) @ dcb)  # B3, by v
        dscores = softmax_backward(da, a)  # B2
        dquery[rows] = join_spaces(dscores @ k)  # B1, by q
        dkey[keys] = join_spaces(dscores.transpose(0, 2, 1) @ q)  # B1, by k
    return dquery, dkey, dvalue


def attention_forward(
    x: Floats, m: Floats, P_W: Floats, P_b: Floats, W: Floats, Q_W: Floats, Q_b: Floats, query_offsets: Ints, offsets: Ints
) -> tuple[Floats, AttentionCache]:
    # [Q,D], [N,Dm], [D,D], [D], [K,d,Dm], [Dm,D], [D], [B+1], [B+1] -> [Q,D]
    """concat_k softmax(F_Pk(x) W_k mᵀ) F_Qk(m): (2) to (5) with x = m = S; the inner part of (7) with x = h_t, m = C.

    The bilinear score s W_k m_j of (4) is computed as s · (W_k m_j). The key W_k m_j is computed once for every behaviour, so a
    pair (i, j) costs d products instead of D. The K projections of each kind are one product, side by side.
    Dm, the width of the memory m, is D in ATRank. Cache: x, m, the weights, both projections' outputs, the keys and the
    attention weights.
    """
    K, d, Dm = W.shape
    s, P_cache = perceptron_forward(x, P_W, P_b)  # F1 (2)
    key = m @ W.reshape(K * d, Dm).T  # F2: key_k = m W_kᵀ
    value, Q_cache = perceptron_forward(m, Q_W, Q_b)  # F3, in (5)
    c, attend_cache = attend_forward(s, key, value, query_offsets, offsets, K)  # F4 (3), (4), (5)
    return c, AttentionCache(P_cache, m, W, Q_cache, attend_cache)


def attention_backward(dc: Floats, cache: AttentionCache) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]:
    # [Q,D] -> [Q,D], [N,Dm], [D,D], [D], [K,d,Dm], [Dm,D], [D]
    P_cache, m, W, Q_cache, attend_cache = cache
    K, d, Dm = W.shape
    ds, dkey, dvalue = attend_backward(dc, attend_cache)  # B4
    dm, dQ_W, dQ_b = perceptron_backward(dvalue, Q_cache)  # B3
    dm = dm + dkey @ W.reshape(K * d, Dm)  # B2, by m: m has two uses, its gradients add up
    dW = (dkey.T @ m).reshape(W.shape)  # B2, by W
    dx, dP_W, dP_b = perceptron_backward(ds, P_cache)  # B1
    return dx, dm, dP_W, dP_b, dW, dQ_W, dQ_b


def attention_weights(cache: HoldsAttention) -> list[Floats | None]:
    """The weights that a forward pass used: one [K,q,n] array per history, None for an empty one."""
    return cache.attend.weights
