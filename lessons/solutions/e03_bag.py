import numpy as np


def bag_grad(dy, ids, offsets, V):  # [N,E], [P], [N+1], number -> [V,E]
    dtable = np.zeros((V, dy.shape[1]))
    for i in range(len(dy)):
        bag = ids[offsets[i] : offsets[i + 1]]
        for v in bag:
            dtable[v] += dy[i] / len(bag)
    return dtable


WRONG = [
    (" / len(bag)", "", "sum instead of mean"),
    ("for v in bag", "for v in set(bag)", "repeats in a bag"),
    ("dtable[v] += ", "dtable[v] = ", "repeats between bags"),
    ("offsets[i + 1]]", "offsets[i + 1] - 1]", "the last word of a bag"),
    ("dy[i] / len(bag)", "dy[i] / len(set(bag))", "size without repeats"),
]
