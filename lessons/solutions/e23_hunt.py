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
        for column in range(2 - g):
            part = du[:, column * E : (column + 1) * E]
            np.add.at(dtable, brands[rows, column], part)
    return dtable, dW


WRONG = [
    ("du[:, column * E : (column + 1) * E]", "du[:, :E]", "the first fault as it was planted"),
    ("np.add.at(dtable, brands[rows, column], part)", "dtable[brands[rows, column]] += part", "the second fault"),
    ("du = dz @ W[g].T", "du = dz @ W[0].T[:, : u[g].shape[1]]", "all groups through the matrix of the first"),
]
