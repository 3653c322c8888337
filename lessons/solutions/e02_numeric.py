import numpy as np


def jacobian(g, x, h):  # [M] of [...], [...], number -> [M, size of x]
    columns = []
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        columns.append((g(up) - g(down)) / (2 * h))
    return np.stack(columns, axis=1)


WRONG = [
    ("(2 * h)", "h", "divided by h"),
    ("g(down)) / (2 * h)", "g(x)) / h", "one-sided"),
    ("g(up) - g(down)", "g(down) - g(up)", "sign"),
    ("up[place] += h", "up += h", "all entries at once"),
    ("up, down = x.copy(), x.copy()", "up, down = x, x.copy()", "moves x itself"),
    (" / (2 * h)", "", "not divided"),
    ("axis=1", "axis=0", "transposed"),
    ("np.stack(columns, axis=1)", "np.stack(columns[::-1], axis=1)", "entries in another order"),
]
