import numpy as np


def gates_backward(de, S, a, group, offsets):  # [B,D], [N,D], [G], [N], [B+1] -> [N,D], [G]
    dC = np.repeat(de, np.diff(offsets), axis=0)
    gate = 1 / (1 + np.exp(-a))
    dS = gate[group][:, None] * dC
    dgate = np.zeros(len(a))
    np.add.at(dgate, group, (dC * S).sum(1))
    return dS, dgate * gate * (1 - gate)


WRONG = [
    ("np.add.at(dgate, group, (dC * S).sum(1))", "dgate[group] += (dC * S).sum(1)", "repeats lost"),
    ("dgate * gate * (1 - gate)", "dgate", "no slope"),
    ("gate[group][:, None] * dC", "dC.copy()", "no gate"),
    ("gate[group][:, None] * dC", "a[group][:, None] * dC", "a in place of s(a)"),
    ("(dC * S).sum(1)", "S.sum(1)", "no upstream"),
]
