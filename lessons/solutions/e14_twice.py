import numpy as np


def model_gradient(u, q, W, df):  # [n,b], [b], [b,D], number -> [n,b], [b], [b,D]
    S, h = u @ W, q @ W
    e = S.sum(0)
    dh, de = df * e, df * h  # f = h · e
    dS = np.tile(de, (len(u), 1))  # e = Σ S_i
    du = dS @ W.T  # S = u W
    dq = W @ dh  # h = q W
    dW = u.T @ dS + np.outer(q, dh)  # W has two uses
    return du, dq, dW


WRONG = [
    (" + np.outer(q, dh)", "", "target's road"),
    ("u.T @ dS + ", "", "history's road"),
    ("dh, de = df * e, df * h", "dh, de = df * h, df * e", "factors swapped"),
    ("dh, de = df * e, df * h", "dh, de = e, h", "df forgotten"),
    ("np.tile(de, (len(u), 1))", "np.tile(de / len(u), (len(u), 1))", "a mean for the sum"),
    ("return du, dq, dW", "return du, dW", "one array missing"),
]
