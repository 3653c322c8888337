"""The kernels under the names and signatures of the layers, so that they pass the layers' own tests.

The kernels work in place, with the space index innermost; here every array is copied first.
"""

import numpy as np

from atrank_np.kernels import attention, convolution, feedforward, lstm, ranking
from atrank_np.kernels.layout import SpaceOrder
from atrank_np.kernels.matrices import J, from_strips, matrix, to_strips
from atrank_np.kernels.packed import Matrix, pack, ready


def run(kernel, *arguments):
    return ready(kernel, *arguments)()


def in_strips(W):
    return matrix(to_strips(W).copy(), *W.shape)


def empty_matrix(rows, columns):
    return matrix(np.zeros(rows * columns), rows, columns)


def from_matrix(m):
    return from_strips(m.array, m.words[1])


def one_row(b):
    return b.reshape(1, -1).copy()


def perceptron_forward(x, W, b):
    y = np.zeros((len(x), W.shape[1]))
    run(feedforward.project, x, in_strips(W), one_row(b), y)
    return y, (x, W, y)


def perceptron_backward(dy, cache):
    x, W, y = cache
    dx, dW, db = np.zeros_like(x), empty_matrix(*W.shape), np.zeros((1, W.shape[1]))
    run(feedforward.project_backward, dy.copy(), y, x, in_strips(W.T), dW, db, dx)
    return dx, from_matrix(dW), db[0]


def _room(x):
    return feedforward.FeedForwardCache(x, *(np.zeros_like(x) for _ in range(3)), np.zeros(len(x)), np.zeros_like(x))


def layer_norm_forward(x, gain, bias):
    nothing, cache, y = np.zeros((1, x.shape[1])), _room(x), np.zeros_like(x)
    F = feedforward.FeedForward(*[nothing] * 4, one_row(gain), one_row(bias))
    run(feedforward.layer_norm_forward, x, np.zeros_like(x), nothing, F, cache, y)
    return y, (F, cache)


def layer_norm_backward(dy, cache):
    F, cache = cache
    dx, dF = dy.copy(), feedforward.FeedForward(*(np.zeros((1, dy.shape[1])) for _ in range(6)))
    run(feedforward.layer_norm_backward, dx, F, dF, cache)
    return dx, dF.gain[0], dF.bias[0]


def attention_work(n, q, K, keep=True):
    """AttentionWork for one history."""
    return attention.AttentionWork(np.zeros(((q + 1) // 2 * n if keep else n, 2 * K)), np.zeros((n, 2 * K)))


def _attend(keep):
    """attend_forward and attend_backward that keep the weights, or compute them again."""

    def forward(query, key, value, query_offsets, offsets, K):
        D = query.shape[1]
        columns = SpaceOrder(D, K).columns
        query, key, value = (np.ascontiguousarray(a[:, columns]) for a in (query, key, value))
        c, histories = np.zeros_like(query), []
        for (i, j), (a, b) in zip(zip(query_offsets, query_offsets[1:]), zip(offsets, offsets[1:])):
            work = attention_work(b - a, j - i, K, keep)
            operands = attention.Operands(query[i:j], key[a:b], value[a:b])
            run(attention.attend_forward, operands, int(keep), work.weight, c[i:j])
            histories.append((operands, work, slice(i, j), slice(a, b)))
        return c[:, columns.argsort()], (query, key, value, columns, histories)

    def backward(dc, cache):
        query, key, value, columns, histories = cache
        dc = np.ascontiguousarray(dc[:, columns])
        gradients = [np.full_like(a, np.nan) for a in (query, key, value)]  # all are written
        for operands, work, queries, keys in histories:
            work = attention.AttentionWork(*(a.copy() for a in work))
            own = attention.Operands(gradients[0][queries], gradients[1][keys], gradients[2][keys])
            run(attention.attend_backward, dc[queries], operands, int(keep), work.weight, work.dscore, own)
        return tuple(g[:, columns.argsort()] for g in gradients)

    return {"attend_forward": forward, "attend_backward": backward}


def _windows(x, W, offsets):
    """ConvolutionCache with room for all windows."""
    (w, D, F), count, places = W.shape, len(offsets) - 1, len(x) + len(offsets)
    laid_out = Matrix(np.zeros(places * w * D), places, w * D, w * D, J.n)
    return convolution.ConvolutionCache(laid_out, np.zeros((places, F)), *np.zeros((3, count, F)))


def convolution_forward(x, W, b, offsets):
    cache = _windows(x, W, offsets)
    own = convolution.Convolution(in_strips(W.reshape(-1, W.shape[2])), one_row(b))
    run(convolution.convolution_forward, x, own, offsets, cache)
    return cache.y, (x, W, offsets, cache.best)


def convolution_backward(dy, cache):
    x, W, offsets, best = cache
    flat, dx = W.reshape(-1, W.shape[2]), np.zeros_like(x)
    own_T = convolution.Convolution(in_strips(flat.T), np.zeros((1, W.shape[2])))
    d_own = convolution.Convolution(empty_matrix(*flat.shape), np.zeros((1, W.shape[2])))
    run(convolution.convolution_backward, x, own_T, d_own, offsets, _windows(x, W, offsets)._replace(best=best, dy=dy), dx)
    return dx, from_matrix(d_own.W).reshape(W.shape), d_own.b[0]


def lstm_forward(x, W, U, b, offsets, backwards):
    """Rows past those of x are NaN: they must not be read."""
    H, n = len(U), len(x)
    own = lstm.LSTM(in_strips(W), in_strips(U), one_row(b))
    cache, y = lstm.new_lstm_cache(n + len(offsets), x.shape[1], H, x.dtype), np.zeros((n, H))
    for array in cache[4:]:
        array[:] = np.nan
    packed = pack(cache)
    run(lstm.lstm_forward, x, own, offsets, int(backwards), packed, y)
    return y, (cache._replace(steps=packed.steps), W, U)


def lstm_backward(dy, cache):
    cache, W, U = cache
    cache = lstm.LSTMCache(*(a.copy() if isinstance(a, np.ndarray) else a for a in cache))
    dx, nothing = np.zeros((len(dy), len(W))), np.zeros((1, 4 * len(U)))
    d_own = lstm.LSTM(empty_matrix(*W.shape), empty_matrix(*U.shape), nothing.copy())
    run(lstm.lstm_backward, dy, lstm.LSTM(in_strips(W.T), in_strips(U.T), nothing), d_own, cache, dx)
    return dx, from_matrix(d_own.W), from_matrix(d_own.U), d_own.b[0]


def cell_forward(z, c):
    gates, new_c, h = z.copy(), np.zeros_like(c), np.zeros_like(c)
    run(lstm.cell_forward, gates, np.zeros((1, z.shape[1])), c, new_c, h)
    return h, new_c, (gates, c, new_c)


def cell_backward(dh, dnew_c, cache):
    gates, c, new_c = cache
    dz, dc = gates.copy(), dnew_c.copy()
    run(lstm.cell_backward, dh, c, new_c, dz, dc)
    return dz, dc


def _sides(both):
    H = both.shape[1] // 2
    return lstm.Sides(both, both[:, :H], both[:, H:])


def ends_forward(y, offsets):
    v = np.full((len(offsets) - 1, y.shape[1]), np.nan)
    run(lstm.ends_forward, _sides(y), offsets, _sides(v))
    return v, (len(y), offsets)


def ends_backward(dv, cache):
    n, offsets = cache
    dy = np.full((n, dv.shape[1]), np.nan)
    run(lstm.ends_backward, _sides(dv), offsets, _sides(dy))
    return dy


def broadcast_user_forward(v, target_offsets):
    e = np.zeros((target_offsets[-1], v.shape[1]))
    run(ranking.broadcast_user_forward, v, np.zeros((1, v.shape[1])), target_offsets, e)
    return e, (v.shape, target_offsets)


def broadcast_user_backward(de, cache):
    shape, target_offsets = cache
    dv, db = np.full(shape, np.nan), np.zeros((1, shape[1]))
    run(ranking.broadcast_user_backward, de, target_offsets, db, dv)
    return dv


def dot_forward(h, e):
    f = np.zeros(len(h))
    run(ranking.dot_forward, h, e, f)
    return f, (h, e)


def dot_backward(df, cache):
    h, e = cache
    dh, de = np.zeros_like(h), np.zeros_like(e)
    run(ranking.dot_backward, df, h, e, dh, de)
    return dh, de


def pointwise_forward(f, label):
    df = np.zeros_like(f)
    loss = run(ranking.pointwise, f, label, 1 / len(f), df)
    return loss / len(f), df


def pointwise_backward(dloss, cache):
    return dloss * cache


def softmax_loss_forward(f, log_q, label, target_offsets):
    df, loss = np.full_like(f, np.nan), 0.0
    norm = 1 / run(ranking.count_terms, label, target_offsets, ranking.SOFTMAX)
    for some in map(slice, target_offsets[:-1], target_offsets[1:]):
        loss += run(ranking.softmax_loss, f[some], log_q[some], label[some], norm, df[some])
    return loss * norm, df


softmax_loss_backward = pointwise_backward


KERNELS = {name: function for name, function in globals().items() if name.endswith(("_forward", "_backward"))} | _attend(True)
RECOMPUTED = KERNELS | _attend(False)
