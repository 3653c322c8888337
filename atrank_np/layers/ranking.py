"""The ranking function f(h_t, e_t) and the losses of (8)."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from .perceptron import LinearCache, PerceptronCache, linear_backward, linear_forward, perceptron_backward, perceptron_forward


class DotCache(NamedTuple):
    h: Floats  # [T,D]
    e: Floats  # [T,D]


class DeepCache(NamedTuple):
    h: Floats  # [T,D]
    e: Floats  # [T,D]
    hidden: PerceptronCache
    out: LinearCache


class BroadcastCache(NamedTuple):
    B: int  # rows of v
    history: Ints  # [T], the row of v that each target got


class PointwiseCache(NamedTuple):
    f: Floats  # [T]
    label: Floats  # [T]


class PairwiseCache(NamedTuple):
    margin: Floats  # [X], f⁺ - f⁻
    positive: Ints  # [X]
    negative: Ints  # [X]
    T: int


class SoftmaxLossCache(NamedTuple):
    margin: Floats  # [X], f⁺ - L of the positives that count
    positive: Ints  # [X], their places
    share: Floats  # [T], the softmax over the negatives of a history; 0 for a positive
    history: Ints  # [T]
    B: int


def dot_forward(h: Floats, e: Floats) -> tuple[Floats, DotCache]:  # [T,D], [T,D] -> [T]
    """f = h · e, as in the paper's experiments. Cache: both."""
    f = (h * e).sum(1)  # F1
    return f, DotCache(h, e)


def dot_backward(df: Floats, cache: DotCache) -> tuple[Floats, Floats]:  # [T] -> [T,D], [T,D]
    h, e = cache
    return df[:, None] * e, df[:, None] * h  # B1


def deep_forward(
    h: Floats, e: Floats, W1: Floats, b1: Floats, w2: Floats, b2: Floats
) -> tuple[Floats, DeepCache]:  # [T,D], [T,D], [3D,H], [H], [H,1], [1] -> [T]
    """f = relu([h, e, h ∘ e] W1 + b1) w2 + b2, the "more complexed deep neural network" of the text under (8).

    Cache: h, e, their concatenation, the hidden layer's output and the weights.
    """
    x = np.concatenate([h, e, h * e], axis=1)  # F1
    hidden, hidden_cache = perceptron_forward(x, W1, b1)  # F2
    f, out_cache = linear_forward(hidden, w2, b2)  # F3
    return f[:, 0], DeepCache(h, e, hidden_cache, out_cache)


def deep_backward(
    df: Floats, cache: DeepCache
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:  # [T] -> [T,D], [T,D], [3D,H], [H], [H,1], [1]
    h, e, hidden_cache, out_cache = cache
    dhidden, dw2, db2 = linear_backward(df[:, None], out_cache)  # B3
    dx, dW1, db1 = perceptron_backward(dhidden, hidden_cache)  # B2
    dh, de, dproduct = np.split(dx, 3, axis=1)  # B1: the three parts of the concatenation
    return dh + dproduct * e, de + dproduct * h, dW1, db1, dw2, db2


def broadcast_user_forward(v: Floats, target_offsets: Ints) -> tuple[Floats, BroadcastCache]:  # [B,D], [B+1] -> [T,D]
    """e_t = v_b for every target t of history b, in models whose user vector does not depend on the target.

    Cache: the number of histories, and the history of each target.
    """
    history = np.repeat(np.arange(len(v)), np.diff(target_offsets))
    return v[history], BroadcastCache(len(v), history)  # F1


def broadcast_user_backward(de: Floats, cache: BroadcastCache) -> Floats:  # [T,D] -> [B,D]
    B, history = cache
    dv = np.zeros((B, de.shape[1]), de.dtype)
    np.add.at(dv, history, de)  # B1: a history's targets use the same vector, so their gradients add up
    return dv


def sigmoid(x: Floats) -> Floats:  # [...] -> [...]
    """1 / (1 + exp(-x)) without overflow: exp is only taken of numbers that are not positive."""
    e: Floats = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x: Floats) -> Floats:  # [...] -> [...]
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    y: Floats = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def pointwise_forward(f: Floats, label: Floats) -> tuple[np.floating, PointwiseCache]:  # [T], [T] -> number
    """(8), the mean over the targets: -y log σ(f) - (1 - y) log(1 - σ(f)) = softplus(f) - y f, with the labels y in {0, 1}.

    f are logits. Cache: f and the labels.
    """
    loss = (softplus(f) - label * f).mean()  # F1
    return loss, PointwiseCache(f, label)


def pointwise_backward(dloss: float, cache: PointwiseCache) -> Floats:  # number -> [T]
    f, label = cache
    return dloss * (sigmoid(f) - label) / f.dtype.type(len(f))  # B1: softplus' = σ


def pairs_of(label: Floats, target_offsets: Ints) -> tuple[Ints, Ints]:  # [T], [B+1] -> [X], [X]
    """All (positive, negative) pairs of targets of the same history, as two arrays of target places."""
    positive, negative = [], []
    for start, stop in zip(target_offsets[:-1], target_offsets[1:]):
        here = label[start:stop]
        up, down = np.meshgrid(np.flatnonzero(here > 0), np.flatnonzero(here <= 0), indexing="ij")
        positive.append(start + up.ravel())
        negative.append(start + down.ravel())
    return np.concatenate(positive), np.concatenate(negative)


def pairwise_forward(f: Floats, positive: Ints, negative: Ints) -> tuple[np.floating, PairwiseCache]:  # [T], [X], [X] -> number
    """The pair-wise loss, mean over the pairs: -log σ(f⁺ - f⁻) = softplus(f⁻ - f⁺). Cache: f⁺ - f⁻, and the pairs."""
    margin = f[positive] - f[negative]  # F1
    loss = softplus(-margin).mean()  # F2
    return loss, PairwiseCache(margin, positive, negative, len(f))


def pairwise_backward(dloss: float, cache: PairwiseCache) -> Floats:  # number -> [T]
    margin, positive, negative, T = cache
    dmargin = -dloss * sigmoid(-margin) / margin.dtype.type(len(margin))  # B2
    df = np.zeros(T, margin.dtype)
    np.add.at(df, positive, dmargin)  # B1: a target may be in several pairs
    np.add.at(df, negative, -dmargin)
    return df


def softmax_loss_forward(
    f: Floats, log_q: Floats, label: Floats, target_offsets: Ints
) -> tuple[np.floating, SoftmaxLossCache]:  # [T], [T], [T], [B+1] -> number
    """Sampled softmax: minus the log of the probability of a positive p, among p and the negatives j of its history,

        -log(exp f_p / (exp f_p + Σ_j exp g_j)) = softplus(L - f_p)   with g_j = f_j - log_q_j and L = log Σ_j exp g_j,

    mean over the positives of histories that have a negative. With one negative it is the pair-wise loss. log_q is 0 for
    negatives drawn uniformly. A negative that is drawn n times as often has log_q = log n and counts 1/n. So the expected sum
    over j is that of uniform negatives, however they are drawn.

    `logaddexp` cannot overflow: it takes exp of differences only. Cache: f_p - L, and ∂L/∂f.
    """
    B, negative = len(target_offsets) - 1, label <= 0
    history = np.repeat(np.arange(B), np.diff(target_offsets))
    g = f - log_q.astype(f.dtype)  # F1
    L = np.full(B, -np.inf, f.dtype)
    np.logaddexp.at(L, history[negative], g[negative])  # F2
    positive = np.flatnonzero(~negative & np.isin(history, history[negative]))
    margin = f[positive] - L[history[positive]]  # F3
    share = np.zeros_like(f)
    share[negative] = np.exp((g - L[history])[negative])
    return softplus(-margin).mean(), SoftmaxLossCache(margin, positive, share, history, B)  # F4


def softmax_loss_backward(dloss: float, cache: SoftmaxLossCache) -> Floats:  # number -> [T]
    margin, positive, share, history, B = cache
    dmargin = -dloss * sigmoid(-margin) / margin.dtype.type(len(margin))  # B4
    dL = np.zeros(B, margin.dtype)
    np.add.at(dL, history[positive], -dmargin)  # B3: the positives of a history share its L
    df = share * dL[history]  # B2, B1: ∂L/∂g_j = exp(g_j - L)
    df[positive] = dmargin  # B3
    return df
