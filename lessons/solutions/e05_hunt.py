import numpy as np


def space_backward(dS, dh, group, u, q, S, h):
    dW, db = [], []
    for g in (0, 1):
        rows = np.flatnonzero(group == g)  # a group's places, wherever in time they are
        dz = dS[rows] * (S[rows] > 0)
        dW.append(u[g].T @ dz)
        db.append(dz.sum(0))
    dz = dh * (h > 0)
    dW[0] = dW[0] + q.T @ dz  # a second use of the same matrix
    db[0] = db[0] + dz.sum(0)
    return dW, db


WRONG = [
    ("np.flatnonzero(group == g)", "np.arange(len(u[g])) + g * len(u[0])", "the first planted fault: rows in a block"),
    ("dW[0] = dW[0] + q.T @ dz", "dW[0] = q.T @ dz", "the second planted fault: the history's use overwritten"),
    ("dW[0] + q.T", "dW[0] - q.T", "sign"),
    ("dz = dh * (h > 0)", "dz = dh", "no gate for the targets"),
    ("    db[0] = db[0] + dz.sum(0)\n", "", "the targets' use of the bias"),
    ("dW[0] = dW[0] + q.T @ dz", "dW[1] = dW[1] + np.resize(q.T @ dz, dW[1].shape)", "the wrong group"),
]
