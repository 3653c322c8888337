import numpy as np


def adam(w, mean, square, ids, g, step, rate):  # [V,E] three times, [N], [N,E] -> [V,E] three times
    w, mean, square = w.copy(), mean.copy(), square.copy()
    rows, place = np.unique(ids, return_inverse=True)
    total = np.zeros((len(rows), w.shape[1]))
    for k in range(len(ids)):
        total[place[k]] += g[k]
    mean[rows] = 0.9 * mean[rows] + 0.1 * total
    square[rows] = 0.999 * square[rows] + 0.001 * total**2
    up = mean[rows] / (1 - 0.9**step)
    down = np.sqrt(square[rows] / (1 - 0.999**step)) + 1e-8
    w[rows] -= rate * up / down
    return w, mean, square


WRONG = [
    ("0.001 * total**2", "0.001 * np.array([(g[place == r] ** 2).sum(0) for r in range(len(rows))])", "the first fault left"),
    ("w[rows] -= rate * up / down", "np.subtract.at(w, ids, rate * (up / down)[place])", "the second fault left"),
    ("total[place[k]] += g[k]", "total[place[k]] = g[k]", "the last of the repeats alone"),
    ("square[rows] = 0.999 * square[rows]", "square *= 0.999\n    square[rows] = square[rows]", "the other rows do not wait"),
]
