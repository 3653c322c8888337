import numpy as np


def score_backward(dz, x, A, B):  # [n,n], [n,D], [D,d], [D,d] -> [n,D], [D,d], [D,d]
    s, t = np.maximum(x @ A, 0), np.maximum(x @ B, 0)
    dz = dz / np.sqrt(A.shape[1])
    ds = dz @ t * (s > 0)
    dt = dz.T @ s * (t > 0)
    dx = ds @ A.T + dt @ B.T
    return dx, x.T @ ds, x.T @ dt


WRONG = [
    (" / np.sqrt(A.shape[1])", "", "scale"),
    ("dz.T @ s", "dz @ s", "not transposed"),
    (" + dt @ B.T", "", "the keys' road"),
    ("ds @ A.T + ", "", "the queries' road"),
    (" * (s > 0)", "", "relu of the queries"),
    (" * (t > 0)", "", "relu of the keys"),
    ("A.shape[1]", "A.shape[0]", "another width"),
]
