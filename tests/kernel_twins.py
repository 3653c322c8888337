"""The kernels under the names and signatures of the layers, so that they pass the layers' own tests.

The kernels work in place on rows of a workspace, with the space index innermost; here every array is copied first.
"""

import numpy as np

from atrank_np.kernels import attention, cnn, feedforward, lstm, ranking
from atrank_np.kernels.backend import SpaceOrder
from atrank_np.kernels.products import from_strips, product, product_of_transpose, to_strips, transpose
from atrank_np.kernels.vectors import Lanes


def flat(*arrays):
    """One flat array of several, and where each starts."""
    places = np.cumsum([0, *(a.size for a in arrays)])
    return np.concatenate([a.reshape(-1) for a in arrays]), places[:-1].tolist()


def perceptron_forward(x, W, b):
    P, (W_at, b_at) = flat(to_strips(W), b)
    y = np.zeros((len(x), W.shape[1]))
    product(x, 0, len(x), W.shape[0], P, W_at, W.shape[1], y, 0, False)
    feedforward.relu_forward(y, 0, len(x), P, b_at, Lanes(W.shape[1]))
    return y, (x, W, y)


def perceptron_backward(dy, cache):
    x, W, y = cache
    inner, columns = W.shape
    dy, dP, dx = dy.copy(), np.zeros(W.size + columns), np.zeros_like(x)
    feedforward.relu_backward(dy, 0, y, 0, len(x), dP, W.size, Lanes(columns))
    product_of_transpose(x, 0, len(x), inner, dy, 0, columns, dP, 0, True)
    turned = np.zeros(W.size)
    transpose(to_strips(W), 0, inner, columns, turned)
    product(dy, 0, len(x), columns, turned, 0, inner, dx, 0, False)
    return dx, from_strips(dP[: W.size], inner), dP[W.size :]


def layer_norm_forward(x, gain, bias):
    P, (gain_at, bias_at) = flat(gain, bias)
    y, normed, rstd = np.zeros_like(x), np.zeros_like(x), np.zeros(len(x))
    nothing = np.zeros_like(x)
    D = Lanes(x.shape[1])
    feedforward.residual_layer_norm_forward(x, 0, nothing, 0, len(x), P, -1, gain_at, bias_at, normed, rstd, y, 0, D)
    return y, (normed, rstd, P)


def layer_norm_backward(dy, cache):
    normed, rstd, P = cache
    D = dy.shape[1]
    dx, dP = dy.copy(), np.zeros_like(P)
    feedforward.layer_norm_backward(dx, 0, normed, rstd, 0, len(dx), P, 0, dP, D, Lanes(D))
    return dx, dP[:D], dP[D:]


NOTHING, NOTHING_FOLDED = np.zeros(0), np.zeros((0, 0))  # keys that went through W need none


def _attend(keep):
    """attend_forward and attend_backward that keep the weights, or compute them again."""

    def forward(query, key, value, query_offsets, offsets, K):
        D = query.shape[1]
        columns = SpaceOrder(D, K).columns
        query, key, value = (np.ascontiguousarray(a[:, columns]) for a in (query, key, value))
        c, weights = np.zeros_like(query), []
        for b in range(len(offsets) - 1):
            (i, q), (a, n) = ((o[b], o[b + 1] - o[b]) for o in (query_offsets, offsets))
            weight = np.zeros(max(q * n if keep else 2 * n, 1) * K)
            attention.attend_forward(
                query, i, q, NOTHING, -1, key, value, a, n, weight, 0, keep, c, i, np.zeros(2 * n * K), NOTHING_FOLDED,
                Lanes(D), Lanes(K),
            )  # fmt: skip
            weights.append(weight)
        return c[:, columns.argsort()], (query, key, value, query_offsets, offsets, K, columns, weights)

    def backward(dc, cache):
        query, key, value, query_offsets, offsets, K, columns, weights = cache
        D, dc = query.shape[1], np.ascontiguousarray(dc[:, columns])
        gradients = [np.full_like(a, np.nan) for a in (query, key, value)]  # all are written
        for b, weight in enumerate(weights):
            (i, q), (a, n) = ((o[b], o[b + 1] - o[b]) for o in (query_offsets, offsets))
            attention.attend_backward(
                query, gradients[0], i, q, NOTHING, NOTHING, -1, key, value, *gradients[1:], a, n, weight, 0, keep, dc, i,
                np.zeros(2 * n * K), NOTHING_FOLDED, NOTHING, Lanes(D), Lanes(K),
            )  # fmt: skip
        return tuple(g[:, columns.argsort()] for g in gradients)

    return {"attend_forward": forward, "attend_backward": backward}


def lstm_forward(x, W, U, b, offsets, backwards):
    """The kernel's rows stand in step order; here they are brought there and back."""
    H, n, count = len(U), len(x), len(offsets) - 1
    order, start, place, reverse = np.zeros((4, n + count + 1), np.int64)
    steps = lstm.step_order(offsets, count, order, start, place, reverse)
    place = (reverse if backwards else place)[:n]
    P, at = flat(to_strips(W), to_strips(U), b)
    ordered, y = np.ascontiguousarray(x[place]), np.zeros((n, H), x.dtype)
    gates, c = np.zeros((n, 4 * H), x.dtype), np.zeros((n, H), x.dtype)
    lstm.lstm_forward(ordered, gates, c, y, start, steps, P, lstm.LSTMAt(*at), Lanes(H), Lanes(1))
    back = np.empty_like(y)
    back[place] = y
    return back, (ordered, gates, c, y, start, steps, P, at, place, W.shape, U.shape)


def lstm_backward(dy, cache):
    ordered, gates, c, y, start, steps, P, at, place, W_shape, U_shape = cache
    H = U_shape[0]
    PT, dP = np.zeros_like(P), np.zeros_like(P)
    for first, shape in zip(at, (W_shape, U_shape)):
        transpose(P, first, *shape, PT)
    dc, old = np.zeros_like(y), np.zeros_like(y)
    dx, back = np.zeros_like(ordered), np.zeros_like(ordered)
    lstm.lstm_backward(dy[place].copy(), ordered, gates.copy(), c, y, start, steps, PT, dP, lstm.LSTMAt(*at), dc, old, dx,
                       Lanes(H), Lanes(1))  # fmt: skip
    back[place] = dx
    return back, from_strips(dP[: at[1]], W_shape[0]), from_strips(dP[at[1] : at[2]], H), dP[at[2] :]


def convolution_forward(x, W, b, offsets):
    w, D, F = W.shape
    P, at = flat(to_strips(W.reshape(w * D, F)), b)
    count, places = len(offsets) - 1, len(x) + len(offsets)
    laid, z, pooled = (np.zeros(size, x.dtype) for size in (places * w * D, places * F, count * F))
    best = np.zeros((F, max(count, 1)), np.int64)
    cnn.convolution_forward(x, offsets, count, w, P, *at, F, laid, z, pooled, best, F, 0, Lanes(D))
    return pooled.reshape(count, F), (x, W.shape, offsets, P, at, laid, z, best)


def convolution_backward(dy, cache):
    x, (w, D, F), offsets, P, at, laid, z, best = cache
    PT, dP, dx = np.zeros_like(P), np.zeros_like(P), np.zeros_like(x)
    transpose(P, at[0], w * D, F, PT)
    cnn.convolution_backward(dy.reshape(-1), x, offsets, len(dy), w, PT, dP, *at, F, laid.copy(), z.copy(), best, F, 0, dx,
                             Lanes(D))  # fmt: skip
    return dx, from_strips(dP[: at[1]], w * D).reshape(w, D, F), dP[at[1] :]


def dot_forward(h, e):
    f = np.zeros(len(h))
    ranking.dot_forward(h, 0, e, 0, len(h), f, Lanes(h.shape[1]))
    return f, (h, e)


def dot_backward(df, cache):
    h, e = cache
    dh, de = np.zeros_like(h), np.zeros_like(e)
    ranking.dot_backward(df, h, 0, e, 0, len(h), dh, 0, de, 0, Lanes(h.shape[1]))
    return dh, de


def pointwise_forward(f, label):
    df = np.zeros_like(f)
    loss = ranking.pointwise(f, label, 1 / len(f), df, 0, len(f))
    return loss / len(f), df


def pointwise_backward(dloss, cache):
    return dloss * cache


KERNELS = {name: function for name, function in globals().items() if name.endswith(("_forward", "_backward"))} | _attend(True)
RECOMPUTED = KERNELS | _attend(False)
