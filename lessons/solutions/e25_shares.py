import numpy as np


def shares(A, g):  # [n,n], [n] -> columns, squares
    n, m = len(A), A.mean(0)
    rest, R = A - m, np.zeros_like(A)
    for a in np.unique(g):
        for b in np.unique(g):
            block = np.ix_(g == a, g == b)
            R[block] = rest[block].mean()
    uneven = ((A - 1 / n) ** 2).sum()
    return n * ((m - 1 / n) ** 2).sum() / uneven, (R**2).sum() / uneven


WRONG = [
    ("A.mean(0)", "A.mean(1)", "means over the read"),
    ("return n * ((m", "return ((m", "the columns without their n rows"),
    ("rest, R = A - m", "rest, R = A - 1 / n", "squares without taking the columns away"),
    ("for b in np.unique(g):", "for b in [a]:", "squares on the diagonal only"),
    ("rest[block].mean()", "rest[block].sum()", "a sum in place of a mean"),
]
