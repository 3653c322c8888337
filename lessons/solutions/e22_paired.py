import numpy as np


def paired(a, b):  # [R,S], [Q,S] -> number, number
    d = a.mean(0) - b.mean(0)
    return d.mean(), d.std(ddof=1) / np.sqrt(len(d))


WRONG = [
    ("d.std(ddof=1)", "np.hypot(a.mean(0).std(ddof=1), b.mean(0).std(ddof=1))", "unpaired"),
    (" / np.sqrt(len(d))", "", "the deviation, not the error"),
    ("ddof=1", "ddof=0", "divided by S"),
    ("a.mean(0) - b.mean(0)", "b.mean(0) - a.mean(0)", "turned round"),
    ("d.std(ddof=1) / np.sqrt(len(d))", "d.var(ddof=1) / len(d)", "no root"),
    ("a.mean(0) - b.mean(0)", "a[0] - b[0]", "one seed only"),
]
