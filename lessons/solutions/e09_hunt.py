import numpy as np


def weights_of(s_i, key):  # [d], [n,d] -> [n]
    x_i = key @ s_i
    e = np.exp(x_i - x_i.max())
    return e / e.sum()


def forward(S, P, W, Q):  # [n,D], [D,d], [d,D], [D,D] -> [n,D]
    s = np.maximum(S @ P, 0) / np.sqrt(P.shape[1])
    key = S @ W.T
    v = np.maximum(S @ Q, 0)
    y = S.copy()  # the residual connection
    for i in range(len(S)):
        y[i] += weights_of(s[i], key) @ v
    return y, (S, P, W, Q, s, key, v, y)


def backward(dy, cache):  # [n,D] -> by S, P, W, Q
    S, P, W, Q, s, key, v, y = cache
    ds, dkey, dv = np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
    for i in range(len(S)):
        a_i = weights_of(s[i], key)
        da_i = v @ dy[i]
        dx_i = a_i * (da_i - dy[i] @ (y[i] - S[i]))
        ds[i] = dx_i @ key
        dkey += np.outer(dx_i, s[i])
        dv += np.outer(a_i, dy[i])
    dzs = ds * (s > 0) / np.sqrt(P.shape[1])
    dzv = dv * (v > 0)
    dS = dy + dzs @ P.T + dkey @ W + dzv @ Q.T
    return dS, S.T @ dzs, dkey.T @ S, S.T @ dzv


WRONG = [
    ("(y[i] - S[i])", "y[i]", "the mean of what was given, and of S too: a fault as it was planted"),
    ("(s > 0) / np.sqrt(P.shape[1])", "(s > 0)", "1/√d: the other fault"),
    ("dv * (v > 0)", "dv * (v >= 0)", "a relu that is always open"),
    ("dS = dy + dzs", "dS = dzs", "no residual connection"),
    ("y = S.copy()", "y = 2 * S", "another forward pass"),
]
