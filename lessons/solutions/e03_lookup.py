import numpy as np


def lookup_grad(dy, ids, V):  # [N,E], [N], number -> [V,E]
    dtable = np.zeros((V, dy.shape[1]))
    np.add.at(dtable, ids, dy)
    return dtable


WRONG = [
    ("np.add.at(dtable, ids, dy)", "dtable[ids] += dy", "repeats lost"),
    ("np.add.at(dtable, ids, dy)", "dtable[ids] = dy", "repeats lost"),
    ("np.zeros((V, dy.shape[1]))", "np.ones((V, dy.shape[1]))", "rows that nobody uses"),
    ("np.zeros((V, dy", "np.zeros((max(ids, default=0) + 1, dy", "the table's last rows missing"),
    ("return dtable", "return dtable / np.maximum(np.bincount(ids, minlength=V), 1)[:, None]", "mean of the uses"),
]
