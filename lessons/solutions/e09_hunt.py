import numpy as np


def forward(S, P_W, P_b, W, Q_W, Q_b):
    s = np.maximum(S @ P_W + P_b, 0)
    key = S @ W.T
    v = np.maximum(S @ Q_W + Q_b, 0)
    x = s @ key.T
    e = np.exp(x - x.max(1, keepdims=True))
    a = e / e.sum(1, keepdims=True)
    return a @ v, (S, P_W, W, Q_W, s, key, v, a)


def backward(dc, cache):  # -> by S, P_W, P_b, W, Q_W, Q_b
    S, P_W, W, Q_W, s, key, v, a = cache
    da = dc @ v.T
    dv = a.T @ dc
    dx = a * (da - (a * da).sum(1, keepdims=True))
    ds = dx @ key
    dkey = dx.T @ s
    dzs = ds * (s > 0)
    dzv = dv * (v > 0)
    dS = dzs @ P_W.T + dkey @ W + dzv @ Q_W.T
    return dS, S.T @ dzs, dzs.sum(0), dkey.T @ S, S.T @ dzv, dzv.sum(0)


WRONG = [
    ("v > 0", "v >= 0", "the fault as it was planted"),
    ("s > 0", "s >= 0", "the same fault at the other relu"),
    ("dkey @ W", "0 * dkey @ W", "S is no key"),
]
