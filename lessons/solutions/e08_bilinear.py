import numpy as np


def scores_backward(dscores, h, A, S, B):  # [T,n], [T,E], [E,d], [n,D], [D,d] -> [T,E], [E,d], [n,D], [D,d]
    s, key = h @ A, S @ B
    dscaled = dscores / np.sqrt(A.shape[1])
    ds = dscaled @ key
    dkey = dscaled.T @ s
    return ds @ A.T, h.T @ ds, dkey @ B.T, S.T @ dkey


WRONG = [
    ("dscores / np.sqrt(A.shape[1])", "dscores", "without 1/√d"),
    ("dscores / np.sqrt(A.shape[1])", "dscores / A.shape[1]", "1/d in place of 1/√d"),
    ("np.sqrt(A.shape[1])", "np.sqrt(A.shape[0])", "the wrong size"),
    ("dscaled @ key", "dscaled @ (0 * key)", "nothing for the queries"),
    ("dkey @ B.T", "-dkey @ B.T", "sign of dS"),
    ("ds @ A.T, h.T @ ds, dkey @ B.T, S.T @ dkey", "ds @ A.T, h.T @ ds, dkey @ B.T", "dB is missing"),
    ("ds @ A.T, h.T @ ds, dkey @ B.T, S.T @ dkey", "ds @ A.T, dkey @ B.T, h.T @ ds, S.T @ dkey", "order of the results"),
]
