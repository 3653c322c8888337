import numpy as np


def model_gradient(u, q, z, W, df):  # [n,b], [b], [b], [b,D], number -> [n,b], [b], [b], [b,D]
    S, h = u @ W, q @ W
    s = S.sum(0)
    e = np.maximum(s, 0)
    g = h * e
    o = W @ g
    dz, do = df * o, df * z  # f = Σ z o
    dg = W.T @ do  # o = W g
    dh, de = dg * e, dg * h  # g = h ∘ e
    ds = de * (s > 0)
    dS = np.tile(ds, (len(u), 1))  # s = Σ S_i
    du = dS @ W.T  # S = u W
    dq = W @ dh  # h = q W
    dW = u.T @ dS + np.outer(q, dh) + np.outer(do, g)  # three uses
    return du, dq, dz, dW


WRONG = [
    (" + np.outer(do, g)", "", "the third use"),
    (" + np.outer(q, dh)", "", "the target's use"),
    ("u.T @ dS + ", "", "the history's use"),
    ("dh, de = dg * e, dg * h", "dh, de = dg * h, dg * e", "factors swapped"),
    ("dz, do = df * o, df * z", "dz, do = o, z", "df forgotten"),
    ("de * (s > 0)", "de", "the relu"),
    ("np.tile(ds, (len(u), 1))", "np.tile(ds / len(u), (len(u), 1))", "a mean for the sum"),
    ("return du, dq, dz, dW", "return du, dq, dW", "one array missing"),
]
