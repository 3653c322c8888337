import numpy as np


def backward(dy, S, allowed, P, R, Q, O, s, key, v, a, c):  # -> [n,D], [D,d], [D,d], [D,d], [d,D]
    dc = dy @ O.T  # y = S + c O
    dO = c.T @ dy
    da = dc @ v.T  # c = a v
    dv = a.T @ dc
    mean = (a * da).sum(1, keepdims=True)
    dx = a * (da - mean)  # where a is 0, this is 0
    ds = dx @ key  # x = s keyᵀ
    dkey = dx.T @ s
    dzkey = np.where(key > 0, dkey, 0)
    dP, dR, dQ = S.T @ ds, S.T @ dzkey, S.T @ dv
    dS = dy + ds @ P.T + dzkey @ R.T + dv @ Q.T  # four uses
    return dS, dP, dR, dQ, dO


WRONG = [
    ("dx = a * (da - mean)", "dx = a * da", "softmax's second term"),
    (".sum(1, keepdims=True)", ".sum(0)", "softmax's mean over the queries"),
    ("dv = a.T @ dc", "dv = a @ dc", "dv without the transpose"),
    ("dkey = dx.T @ s", "dkey = dx @ s", "dkey without the transpose"),
    ("np.where(key > 0, dkey, 0)", "dkey", "relu of the keys"),
    ("dS = dy + ds", "dS = ds", "the residual connection"),
    (" + dzkey @ R.T", "", "S as key"),
    ("dO = c.T @ dy", "dO = v.T @ dy", "v for c"),
    ("return dS, dP, dR, dQ, dO", "return dS, dP, dR, dQ", "one array missing"),
]
