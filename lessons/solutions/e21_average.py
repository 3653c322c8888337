import numpy as np


def average_backward(dy, x, W, b, t):  # [F], [n,D], [w,D,F], [F], number -> [n,D], [w,D,F], [F]
    w, D, F = W.shape
    starts = np.arange(0, len(x) - w + 1, t)
    P = len(starts)
    rows = starts[:, None] + np.arange(w)
    laid_out = x[rows].reshape(P, w * D)
    flat = W.reshape(w * D, F)
    s = laid_out @ flat + b
    ds = dy / P * (s > 0)
    dW = (laid_out.T @ ds).reshape(w, D, F)
    dx = np.zeros_like(x)
    np.add.at(dx, rows, (ds @ flat.T).reshape(P, w, D))
    return dx, dW, ds.sum(0)


WRONG = [
    ("dy / P * (s > 0)", "dy * (s > 0)", "a sum in place of a mean"),
    ("dy / P * (s > 0)", "np.tile(dy / P, (P, 1))", "no relu"),
    ("np.arange(0, len(x) - w + 1, t)", "np.arange(0, len(x) - w + 1)", "no stride"),
    ("len(x) - w + 1, t)", "len(x) - w, t)", "the last place lost"),
    ("np.add.at(dx, rows, (ds @ flat.T).reshape(P, w, D))", "dx[rows] += (ds @ flat.T).reshape(P, w, D)", "uses lost"),
    ("ds.sum(0)", "ds.mean(0)", "the bias by the mean"),
]
