import numpy as np


def weighted_bag_grad(dy, table, ids, w, offsets):  # [N,E], [V,E], [P], [P], [N+1] -> [V,E], [P]
    dtable, dw = np.zeros_like(table), np.zeros_like(w)
    for i in range(len(dy)):
        places = range(offsets[i], offsets[i + 1])
        total = sum(w[p] for p in places)
        y_i = sum(w[p] * table[ids[p]] / total for p in places)
        for p in places:
            dtable[ids[p]] += w[p] / total * dy[i]
            dw[p] = dy[i] @ (table[ids[p]] - y_i) / total
    return dtable, dw


WRONG = [
    ("w[p] / total * dy[i]", "dy[i] / total", "without the weight"),
    ("w[p] / total * dy[i]", "w[p] * dy[i]", "without the total"),
    ("dtable[ids[p]] += ", "dtable[ids[p]] = ", "repeats"),
    ("(table[ids[p]] - y_i)", "table[ids[p]]", "denominator a constant"),
    (" - y_i) / total", " - y_i)", "dw without the total"),
    ("offsets[i + 1])", "offsets[i + 1] - 1)", "the last word of a bag"),
]
