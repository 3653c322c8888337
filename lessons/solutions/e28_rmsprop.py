import numpy as np


def lazy(w, square, last, ids, g, step, rate, b):  # [V,E], [V,E], [V], [R], [R,E] -> [V,E], [V,E], [V]
    w, square, last = w.copy(), square.copy(), last.copy()
    missed = step - last[ids] - 1
    s = b ** missed[:, None] * square[ids]
    s = b * s + (1 - b) * g**2
    w[ids] -= rate * g / (np.sqrt(s) + 1e-8)
    square[ids] = s
    last[ids] = step
    return w, square, last


WRONG = [
    ("    s = b ** missed[:, None] * square[ids]\n", "    s = square[ids]\n", "the square waits"),
    ("missed = step - last[ids] - 1", "missed = step - last[ids]", "one step too many"),
    ("missed = step - last[ids] - 1", "missed = step - last[ids] - 2", "one step too few"),
    ("    last[ids] = step\n", "    last[:] = step\n", "all rows are called up to date"),
    ("    last[ids] = step\n", "", "the step is not written down"),
    ("    square[ids] = s\n", "", "the square is not kept"),
    ("    square[ids] = s\n", "    square *= b\n    square[ids] = s\n", "the dense way"),
    ("np.sqrt(s)", "np.sqrt(square[ids])", "the square before this step"),
    ("square.copy()", "square", "writes into its input"),
]
