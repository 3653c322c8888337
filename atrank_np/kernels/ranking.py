"""numba twins of `layers.ranking`: f of (8), and the losses, over the targets of a chunk."""

from typing import NamedTuple

import numpy as np

from .elementwise import clear, length
from .feedforward import relu_backward, relu_forward
from .jit import inline, kernel
from .packed import Matrix
from .products import add_product, add_product_of_transpose, product
from .simd import total, zeros

PAIR, SOFTMAX = 1, 2  # losses over all scores of a history; None: point-wise


class Deep(NamedTuple):
    """The parameters of the deep f (or transposes, or gradients); W1 in three blocks, for h, e and h ∘ e."""

    W1_h: Matrix  # [D, D]
    W1_e: Matrix
    W1_he: Matrix
    b1: np.ndarray  # [1, D]
    w2: np.ndarray  # [1, D]
    b2: np.ndarray  # [1]


class DeepCache(NamedTuple):
    he: np.ndarray  # [T, D] h ∘ e; in the backward pass its gradient
    hidden: np.ndarray  # [T, D]
    dhidden: np.ndarray  # [T, D]


@inline
def softplus(x):
    """-> log(1 + exp(x)), and its derivative; exp(-|x|) cannot overflow."""
    e = np.exp(-abs(x))
    return max(x, 0.0) + np.log1p(e), (1.0 if x >= 0 else e) / (1 + e)


@kernel
def pointwise(f, label, norm, df):  # [T], [T] -> [T]
    """-> Σ softplus(f) - y f; df is the derivative of norm times it."""
    loss = 0.0
    for i in range(len(f)):
        z, y = np.float64(f[i]), np.float64(label[i])
        value, slope = softplus(z)
        loss += value - y * z  # F1
        df[i] = (slope - y) * norm  # B1
    return loss


@kernel
def pairwise(f, label, norm, df):  # [T], [T] -> [T]
    """-> Σ softplus(f⁻ - f⁺) over the (positive, negative) pairs of one history's targets; df as above."""
    loss = 0.0
    clear(df)
    for i in range(len(f)):
        for j in range(len(f)):
            if label[i] > 0 and label[j] <= 0:
                value, slope = softplus(np.float64(f[j] - f[i]))  # F1
                loss += value  # F2
                df[i] -= slope * norm  # B2, B1
                df[j] += slope * norm
    return loss


@kernel
def softmax_loss(f, log_q, label, norm, df):  # [T], [T], [T] -> [T]
    """-> Σ softplus(L - f⁺) over the positives of one history's targets, 0 without a negative; df as above."""
    loss, top, sum, dL = 0.0, -np.inf, 0.0, 0.0
    for j in range(len(f)):
        df[j] = f[j] - log_q[j] if label[j] <= 0 else 0  # F1, g until its gradient comes
        if label[j] <= 0:
            top = max(top, np.float64(df[j]))
    for j in range(len(f)):
        if label[j] <= 0:
            sum += np.exp(np.float64(df[j]) - top)
    if sum == 0:  # no negative
        return loss
    L = top + np.log(sum)  # F2
    for i in range(len(f)):
        if label[i] > 0:
            value, slope = softplus(L - np.float64(f[i]))  # F3
            loss += value  # F4
            df[i] = -slope * norm  # B4, B3
            dL += slope * norm
    for j in range(len(f)):
        if label[j] <= 0:
            df[j] = dL * np.exp(np.float64(df[j]) - L)  # B2, B1
    return loss


@inline
def count_terms(label, offsets, loss):  # [T], [B+1]
    """Of how many terms the loss is a mean: targets; pairs; positives of histories that have a negative."""
    if loss is None:
        return len(label)
    count = 0
    for b in range(len(offsets) - 1):
        positives = 0
        for t in range(offsets[b], offsets[b + 1]):
            positives += label[t] > 0
        negatives = length(offsets, b) - positives
        count += positives * (negatives if loss == PAIR else min(negatives, 1))
    return count


@kernel
def dot_forward(h, e, f):  # [T, D], [T, D] -> [T]
    """f_i = h_i · e_i"""
    for i in range(len(h)):
        f[i] = total(h[i] * e[i])  # F1


@kernel
def dot_backward(df, h, e, dh, de):  # [T], [T, D], [T, D] -> [T, D], [T, D]
    """Writes dh and de."""
    for i in range(len(h)):
        x, y = h[i], e[i]  # before they are written to
        dh[i] = df[i] * y  # B1
        de[i] = df[i] * x


@kernel
def deep_forward(h, e, own, cache, f):  # [T, D], [T, D] -> [T]
    """f = relu([h, e, h ∘ e] W1 + b1) w2 + b2"""
    he, hidden = cache.he[: len(h)], cache.hidden[: len(h)]
    for i in range(len(h)):
        he[i] = h[i] * e[i]  # F1
    product(h, own.W1_h, hidden)  # F2, the concatenation block by block
    add_product(e, own.W1_e, hidden)
    add_product(he, own.W1_he, hidden)
    relu_forward(hidden, own.b1)
    for i in range(len(h)):
        f[i] = total(hidden[i] * own.w2[0]) + own.b2[0]  # F3


@kernel
def deep_backward(df, h, e, own_T, d_own, cache, dh, de):  # [T], [T, D], [T, D] -> [T, D], [T, D]
    """Writes dh and de, adds to d_own."""
    he, hidden, dhidden = cache.he[: len(h)], cache.hidden[: len(h)], cache.dhidden[: len(h)]
    dw2 = d_own.w2[0]
    for i in range(len(h)):
        d_own.b2[0] += df[i]  # B3
        dw2 = dw2 + df[i] * hidden[i]
        dhidden[i] = df[i] * own_T.w2[0]
    d_own.w2[0] = dw2
    relu_backward(dhidden, hidden, d_own.b1)  # B2
    add_product_of_transpose(h, dhidden, d_own.W1_h)
    add_product_of_transpose(e, dhidden, d_own.W1_e)
    add_product_of_transpose(he, dhidden, d_own.W1_he)
    product(dhidden, own_T.W1_h, dh)
    product(dhidden, own_T.W1_e, de)
    product(dhidden, own_T.W1_he, he)
    for i in range(len(h)):  # B1
        dh[i] = dh[i] + he[i] * e[i]
        de[i] = de[i] + he[i] * h[i]


@inline
def score_forward(h, e, deep, cache, f):  # [T, D], [T, D] -> [T]
    """f of (8); deep: the parameters of the deep one, or None."""
    if deep is None:
        dot_forward(h, e, f)
    else:
        deep_forward(h, e, deep, cache, f)


@inline
def score_backward(df, h, e, deep_T, d_deep, cache, dh, de):  # [T], [T, D], [T, D] -> [T, D], [T, D]
    """Writes dh and de, adds to d_deep."""
    if deep_T is None:
        dot_backward(df, h, e, dh, de)
    else:
        deep_backward(df, h, e, deep_T, d_deep, cache, dh, de)


@inline
def loss_of_history(f, log_q, label, loss, norm, df):  # [T], [T], [T] -> [T]
    """-> the loss of one history's targets; loss: None for the point-wise one, PAIR or SOFTMAX."""
    if loss is None:
        return pointwise(f, label, norm, df)
    elif loss == PAIR:
        return pairwise(f, label, norm, df)
    else:
        return softmax_loss(f, log_q, label, norm, df)


@kernel
def broadcast_user_forward(user, b, target_offsets, e):  # [B, D], [1, D], [B+1] -> [T, D]
    """The same user vector, with its bias, for every target of a history."""
    for h in range(len(user)):
        for t in range(target_offsets[h], target_offsets[h + 1]):
            e[t] = user[h] + b[0]  # F1


@kernel
def broadcast_user_backward(de, target_offsets, db, duser):  # [T, D], [B+1] -> [1, D], [B, D]
    """Writes duser, adds to db."""
    dbias = db[0]
    for h in range(len(duser)):
        sum = zeros(de)
        for t in range(target_offsets[h], target_offsets[h + 1]):
            sum = sum + de[t]  # B1
        duser[h] = sum
        dbias = dbias + sum
    db[0] = dbias
