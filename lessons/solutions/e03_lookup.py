import numpy as np


def difference_grad(dy, plus, minus, V):  # [N,E], [N], [N], number -> [V,E]
    dtable = np.zeros((V, dy.shape[1]))
    np.add.at(dtable, plus, dy)
    np.add.at(dtable, minus, -2 * dy)
    return dtable


WRONG = [
    ("np.add.at(dtable, plus, dy)", "dtable[plus] += dy", "repeats lost"),
    ("np.add.at(dtable, minus, -2 * dy)", "dtable[minus] -= 2 * dy", "repeats lost in the second"),
    ("np.add.at(dtable, minus, -2 * dy)", "np.add.at(dtable, minus, 2 * dy)", "sign"),
    ("-2 * dy", "-dy", "factor"),
    ("    np.add.at(dtable, minus, -2 * dy)\n", "", "the second use left out"),
    ("np.zeros((V, dy", "np.zeros((max(plus, default=0) + 1, dy", "the table's last rows missing"),
]
