import numpy as np


def scores_backward(dscores, x, A, m, B):  # [q,n], [q,E], [E,d], [n,D], [D,d] -> [q,E], [E,d], [n,D], [D,d]
    s, key = x @ A, m @ B
    dscaled = dscores / np.sqrt(A.shape[1])
    ds = dscaled @ key
    dkey = dscaled.T @ s
    return ds @ A.T, x.T @ ds, dkey @ B.T, m.T @ dkey


WRONG = [
    ("dscores / np.sqrt(A.shape[1])", "dscores", "without 1/√d"),
    ("dscores / np.sqrt(A.shape[1])", "dscores / A.shape[1]", "1/d in place of 1/√d"),
    ("np.sqrt(A.shape[1])", "np.sqrt(A.shape[0])", "the wrong size"),
    ("dscaled @ key", "dscaled @ (0 * key)", "nothing for those who ask"),
    ("dkey @ B.T", "-dkey @ B.T", "sign of dm"),
    ("ds @ A.T, x.T @ ds, dkey @ B.T, m.T @ dkey", "ds @ A.T, x.T @ ds, dkey @ B.T", "dB is missing"),
    ("ds @ A.T, x.T @ ds, dkey @ B.T, m.T @ dkey", "ds @ A.T, dkey @ B.T, x.T @ ds, m.T @ dkey", "order of the results"),
]
