"""The kernels under the names and signatures of the layers, so that they pass the layers' own tests.

The kernels work in place, with the space index innermost; here every array is copied first.
"""

import numpy as np

from atrank_np.kernels import attention, convolution, feedforward, ranking
from atrank_np.kernels.layout import SpaceOrder
from atrank_np.kernels.old import lstm
from atrank_np.kernels.old.products import transpose
from atrank_np.kernels.old.vectors import Lanes
from atrank_np.kernels.packed import Matrix, ready
from atrank_np.kernels.products import J, from_strips, matrix, to_strips


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


def attention_work(n, q, D, K, keep=True):
    """AttentionWork for one history."""
    weight = np.zeros((max(q * n if keep else 2 * n, 1), K))
    return attention.AttentionWork(weight, np.zeros((max(n, 1), 2 * K)), np.zeros((max(q, 1) * D, 2 * K)),
                                   np.zeros((2 * K, D)), np.zeros((0, D)))  # fmt: skip


def _attend(keep):
    """attend_forward and attend_backward that keep the weights, or compute them again."""

    def forward(query, key, value, query_offsets, offsets, K):
        D = query.shape[1]
        columns = SpaceOrder(D, K).columns
        query, key, value = (np.ascontiguousarray(a[:, columns]) for a in (query, key, value))
        c, histories = np.zeros_like(query), []
        for (i, j), (a, b) in zip(zip(query_offsets, query_offsets[1:]), zip(offsets, offsets[1:])):
            work = attention_work(b - a, j - i, D, K, keep)
            given = attention.Operands(query[i:j], work.no_matrix, key[a:b], value[a:b])
            run(attention.attend_forward, given, int(keep), work.weight, work.folded, work.score[: b - a], c[i:j])
            histories.append((given, work, slice(i, j), slice(a, b)))
        return c[:, columns.argsort()], (query, key, value, columns, histories)

    def backward(dc, cache):
        query, key, value, columns, histories = cache
        dc = np.ascontiguousarray(dc[:, columns])
        gradients = [np.full_like(a, np.nan) for a in (query, key, value)]  # all are written
        for given, work, queries, keys in histories:
            work = attention.AttentionWork(*(a.copy() for a in work))
            own = attention.Operands(gradients[0][queries], work.no_matrix, gradients[1][keys], gradients[2][keys])
            run(attention.attend_backward, dc[queries], given, int(keep), work.weight, work.folded, work,
                work.score[: len(given.key)], own)  # fmt: skip
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


# The LSTM's kernels still have the former signatures.


def flat(*arrays):
    """One flat array of several, and where each starts."""
    places = np.cumsum([0, *(a.size for a in arrays)])
    return np.concatenate([a.reshape(-1) for a in arrays]), places[:-1].tolist()


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


KERNELS = {name: function for name, function in globals().items() if name.endswith(("_forward", "_backward"))} | _attend(True)
RECOMPUTED = KERNELS | _attend(False)
