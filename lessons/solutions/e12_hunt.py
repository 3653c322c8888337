import numpy as np


def forward(h, C, W, Q, target_offsets, offsets):  # [T,d], [N,d], [d,d], [d,d], [B+1], [B+1] -> [T]
    key, v = C @ W, C @ Q
    c, weights = np.zeros_like(h), []
    for b in range(len(offsets) - 1):
        rows = slice(target_offsets[b], target_offsets[b + 1])
        keys = slice(offsets[b], offsets[b + 1])
        x = h[rows] @ key[keys].T
        e = np.exp(x - x.max(1, keepdims=True))
        weights.append(e / e.sum(1, keepdims=True))
        c[rows] = weights[b] @ v[keys] + C[keys].mean(0)
    return (h * c).sum(1), (h, C, W, Q, target_offsets, offsets, key, v, c, weights)


def backward(df, cache):  # [T] -> by h, C, W, Q
    h, C, W, Q, target_offsets, offsets, key, v, c, weights = cache
    dc = df[:, None] * h
    dh = df[:, None] * c
    dC, dW, dQ = np.zeros_like(C), np.zeros_like(W), np.zeros_like(Q)
    for b, a in enumerate(weights):
        rows = slice(target_offsets[b], target_offsets[b + 1])
        keys = slice(offsets[b], offsets[b + 1])
        da = dc[rows] @ v[keys].T
        dv = a.T @ dc[rows]
        dx = a * (da - (a * da).sum(1, keepdims=True))
        dh[rows] += dx @ key[keys]
        dkey = dx.T @ h[rows]
        dC[keys] += dkey @ W.T
        dC[keys] += dv @ Q.T
        dC[keys] += dc[rows].sum(0) / len(C[keys])
        dW += C[keys].T @ dkey
        dQ += C[keys].T @ dv
    return dh, dC, dW, dQ


WRONG = [
    ("dkey @ W.T", "dkey @ W", "W transposed: a fault as it was planted"),
    ("dc[rows].sum(0) / len(C[keys])", "dc[rows].mean(0)", "the mean over the targets: the other fault"),
    ("dC[keys] += dv", "dC[keys] = dv", "C as value only"),
    ("dh[rows] += dx", "dh[rows] = dx", "h as query only"),
    ("dW += C", "dW = C", "W gets the share of the last history only"),
    ("+ C[keys].mean(0)", "+ 0", "another forward pass"),
]
