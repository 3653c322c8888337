import numpy as np


def bias_at_rest(n, q):  # [M], [M] -> [M]
    b = np.log(n / q)
    return b - b.mean()


WRONG = [
    ("n / q", "n", "popularity whatever the negatives are"),
    ("np.log(n / q)", "n / q", "no logarithm"),
    ("n / q", "n * q", "turned round"),
    (" - b.mean()", "", "not centred"),
    ("n / q", "q / n", "sign"),
]
