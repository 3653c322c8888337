import numpy as np


def model_forward(u, q, M, W):  # [n,b], [b], [b,D], [D,D] -> number
    S = np.maximum(u @ M, 0)  # F1
    h = np.maximum(q @ M, 0)  # F2
    s = S @ h  # F3
    a = np.exp(s - s.max())
    a = a / a.sum()  # F4
    c = S.T @ a  # F5
    hidden = np.maximum(c @ W, 0)  # F6
    e = c + hidden  # F7
    f = h @ e  # F8
    return f, (u, q, M, W, S, h, a, c, hidden, e)


def model_backward(df, cache):  # number -> [n,b], [b], [b,D], [D,D]
    u, q, M, W, S, h, a, c, hidden, e = cache
    dh, de = df * e, df * h  # B8
    dz = de * (hidden > 0)  # B7, B6: the relu
    dW = np.outer(c, dz)  # B6, by W
    dc = de + W @ dz  # B7, and B6 by c
    da = S @ dc  # B5, by a
    dS = np.outer(a, dc)  # B5, by S
    ds = a * (da - a @ da)  # B4
    dh = (dh + S.T @ ds) * (h > 0)  # B3, by h, and its relu
    dS = (dS + np.outer(ds, h)) * (S > 0)  # B3, by S, then the relu of S, now complete
    dM = u.T @ dS + np.outer(q, dh)  # B1, B2: M has two uses
    return dS @ M.T, M @ dh, dM, dW


WRONG = [
    ("da = S @ dc", "da = S @ de", "de for dc: a fault as it was planted"),
    ("(dS + np.outer(ds, h)) * (S > 0)", "dS * (S > 0) + np.outer(ds, h)", "the gate before dS is complete: the other fault"),
    ("dc = de + W @ dz", "dc = W @ dz", "the residual's summand"),
    ("(dh + S.T @ ds)", "(S.T @ ds)", "h as factor"),
    ("da - a @ da", "da", "the softmax's second term"),
    ("u.T @ dS + np.outer(q, dh)", "u.T @ dS", "M for the history only"),
    ("e = c + hidden", "e = hidden", "another forward pass"),
]
