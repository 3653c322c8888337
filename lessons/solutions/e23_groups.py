import numpy as np


def forward(u, W, group):  # G x [N_g,b_g], G x [b_g,D], [N] -> [N,D]
    S = np.zeros((len(group), W[0].shape[1]))
    for g in range(len(W)):
        S[group == g] = np.maximum(u[g] @ W[g], 0)
    return S


def backward(dS, S, u, W, group):  # [N,D], [N,D], … -> G x [N_g,b_g], G x [b_g,D]
    du, dW = [], []
    for g in range(len(W)):
        dz = dS[group == g] * (S[group == g] > 0)
        dW.append(u[g].T @ dz)
        du.append(dz @ W[g].T)
    return du, dW


WRONG = [
    ("S[group == g] = ", "S[sum(map(len, u[:g])) : sum(map(len, u[: g + 1]))] = ", "rows in the order of the groups"),
    ("np.maximum(u[g] @ W[g], 0)", "u[g] @ W[g]", "no relu"),
    ("dS[group == g]", "dS[: len(u[g])]", "the first rows of dS"),
    (" * (S[group == g] > 0)", "", "no gate"),
    ("return du, dW", "return dW, du", "swapped"),
]
