import numpy as np


def max_bag(table, ids, offsets):  # [V,E], [P], [N+1] -> [N,E]
    y = np.zeros((len(offsets) - 1, table.shape[1]))
    for i in range(len(y)):
        bag = ids[offsets[i] : offsets[i + 1]]
        if len(bag):
            y[i] = table[bag].max(0)
    return y


def max_bag_grad(dy, table, ids, offsets):  # [N,E], [V,E], [P], [N+1] -> [V,E]
    dtable = np.zeros_like(table)
    for i in range(len(dy)):
        bag = np.unique(ids[offsets[i] : offsets[i + 1]])
        for e in range(table.shape[1]):
            if len(bag):
                v = bag[table[bag, e].argmax()]
                dtable[v, e] += dy[i, e]
    return dtable


WRONG = [
    ("table[bag].max(0)", "np.maximum(table[bag].max(0), 0)", "starts at zero"),
    ("dtable[v, e] += dy[i, e]", "dtable[v, e] = dy[i, e]", "repeats between bags"),
    ("dtable[v, e] += dy[i, e]", "dtable[bag, e] += dy[i, e] / len(bag)", "mean"),
    ("table[bag, e].argmax()", "np.abs(table[bag, e]).argmax()", "the largest without its sign"),
    ("dtable[v, e] += dy[i, e]", "dtable[v, e] += dy[i, e] * (ids[offsets[i] : offsets[i + 1]] == v).sum()", "twice for repeats"),
]
