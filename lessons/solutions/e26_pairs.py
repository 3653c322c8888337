import numpy as np


def together(x, y):  # [n], [n] -> [n,n]
    e = np.exp(x - x.max())
    a = e / e.sum()
    d = a * (y - a @ y)
    effect = d / (1 - a)
    rest = 1 - a[:, None] - a
    np.fill_diagonal(rest, 1)
    both = (d[:, None] + d) / rest
    found = both - effect[:, None] - effect
    np.fill_diagonal(found, 0)
    return found


WRONG = [
    ("(d[:, None] + d) / rest", "(d[:, None] + d)", "not shared out again"),
    ("both - effect[:, None] - effect", "both", "the single effects left in"),
    ("    np.fill_diagonal(found, 0)\n", "", "the diagonal"),
    ("effect = d / (1 - a)", "effect = d", "single effects by the gradient"),
    ("a * (y - a @ y)", "a * y", "the mean left in"),
    ("rest = 1 - a[:, None] - a", "rest = (1 - a[:, None]) * (1 - a)", "a product in place of a sum"),
]
