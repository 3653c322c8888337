import numpy as np


def numeric(f, x, h):  # number of [N,D], [N,D], number -> [N,D]
    gradient = np.zeros_like(x)
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            up, down = x.copy(), x.copy()
            up[n, d] += h
            down[n, d] -= h
            gradient[n, d] = (f(up) - f(down)) / (2 * h)
    return gradient


WRONG = [
    ("(2 * h)", "h", "divided by h"),
    ("f(down)) / (2 * h)", "f(x)) / h", "one-sided"),
    ("f(up) - f(down)", "f(down) - f(up)", "sign"),
    ("up[n, d] += h", "up += h", "all entries at once"),
    ("up, down = x.copy(), x.copy()", "up, down = x, x.copy()", "moves x itself"),
    (" / (2 * h)", "", "not divided"),
    ("range(x.shape[1])", "range(x.shape[1] - 1)", "last column left out"),
]
