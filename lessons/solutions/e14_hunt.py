import numpy as np


def model_forward(S, h, W):  # [n,D], [D], [D,D] -> number
    s = S @ h  # F1
    a = np.exp(s - s.max())
    a = a / a.sum()  # F2
    c = S.T @ a  # F3
    hidden = np.maximum(c @ W, 0)  # F4
    e = c + hidden  # F5
    f = h @ e  # F6
    return f, (S, h, W, a, c, hidden, e)


def model_backward(df, cache):  # number -> [n,D], [D], [D,D]
    S, h, W, a, c, hidden, e = cache
    dh, de = df * e, df * h  # B6
    dc, dhidden = de, de  # B5
    dz = dhidden * (hidden > 0)  # B4, the relu
    dW = np.outer(c, dz)  # B4, by W
    dc = dc + W @ dz  # B4, by c, which B5 uses too
    da = S @ dc  # B3, by a
    dS = np.outer(a, dc)  # B3, by S
    ds = a * (da - a @ da)  # B2
    dS = dS + np.outer(ds, h)  # B1, by S
    dh = dh + S.T @ ds  # B1, by h, which B6 uses too
    return dS, dh, dW


WRONG = [
    ("dc = dc + W @ dz", "dc = W @ dz", "the residual's road"),
    ("dh = dh + S.T @ ds", "dh = S.T @ ds", "the ranking's road"),
    ("dc = dc + W @ dz", "dc = dc + dz @ W", "transposed"),
    ("da - a @ da", "da", "the softmax's second term"),
    ("dS = dS + np.outer", "dS = np.outer", "S as what is seen"),
    ("e = c + hidden", "e = hidden", "another forward pass"),
]
