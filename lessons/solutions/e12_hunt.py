import numpy as np


def forward(h, C, W, Q, target_offsets, offsets):  # [T,d], [N,d], [d,d], [d,d], [B+1], [B+1] -> [T]
    key, v = C @ W.T, C @ Q
    c, weights = np.zeros_like(h), []
    for b in range(len(offsets) - 1):
        rows, keys = slice(*target_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        x = h[rows] @ key[keys].T
        e = np.exp(x - x.max(1, keepdims=True))
        weights.append(e / e.sum(1, keepdims=True))
        c[rows] = weights[b] @ v[keys]
    return (h * c).sum(1), (h, C, W, Q, target_offsets, offsets, key, v, c, weights)


def backward(df, cache):  # [T] -> by h, C, W, Q
    h, C, W, Q, target_offsets, offsets, key, v, c, weights = cache
    dc = df[:, None] * h
    dh = df[:, None] * c
    dC, dW, dQ = np.zeros_like(C), np.zeros_like(W), np.zeros_like(Q)
    for b, a in enumerate(weights):
        rows, keys = slice(*target_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        da = dc[rows] @ v[keys].T
        dv = a.T @ dc[rows]
        dx = a * (da - (a * da).sum(1, keepdims=True))
        dh[rows] += dx @ key[keys]
        dkey = dx.T @ h[rows]
        dC[keys] = dkey @ W
        dW += dkey.T @ C[keys]
        dC[keys] += dv @ Q.T
        dQ += C[keys].T @ dv
    return dh, dC, dW, dQ


WRONG = [
    ("dC[keys] += dv", "dC[keys] = dv", "the fault as it was planted"),
    ("dC[keys] = dkey @ W", "dC[keys] = dkey @ W.T", "W transposed"),
    ("dh[rows] += dx", "dh[rows] = dx", "h counts as query only"),
    ("dW += dkey", "dW = dkey", "W hears the last history only"),
]
