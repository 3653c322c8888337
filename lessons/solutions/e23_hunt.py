import numpy as np


def forward(table, W, group, brands):  # [V,E], ([2E,D], [E,D]), [N], [N,2] -> [N,D]
    S, u = np.zeros((len(group), W[0].shape[1])), []
    for g in (0, 1):
        rows = np.flatnonzero(group == g)
        u.append(table[brands[rows, : 2 - g]].reshape(len(rows), -1))
        S[rows] = np.maximum(u[g] @ W[g], 0)
    return S, (table, W, group, brands, u, S)


def backward(dS, cache):  # [N,D] -> dtable, [dW of each group]
    table, W, group, brands, u, S = cache
    E = table.shape[1]
    dtable, dW = np.zeros_like(table), []
    for g in (0, 1):
        rows = np.flatnonzero(group == g)
        dz = dS[rows] * (S[rows] > 0)
        dW.append(u[g].T @ dz)
        du = dz @ W[g].T
        parts = du.reshape(-1, E)
        ids = brands[rows, : 2 - g].reshape(-1)
        np.add.at(dtable, ids, parts)
    return dtable, dW


WRONG = [
    (": 2 - g].reshape(-1)\n", ": 2 - g].T.reshape(-1)\n", "the fault as it was planted"),
    ("np.add.at(dtable, ids, parts)", "dtable[ids] += parts", "repeats are lost"),
    ("parts = du.reshape(-1, E)", "parts = du.reshape(-1, E)[::-1]", "another order"),
    ("dS[rows] * (S[rows] > 0)", "dS[rows]", "the relu's gate is missing"),
]
