import numpy as np


def top(scores, history, k):  # [M], [n], number -> [k]
    scores = scores.copy()
    scores[0] = scores[history] = -np.inf
    return np.argsort(-scores)[:k]


WRONG = [
    ("np.argsort(-scores)", "np.argsort(scores)", "the worst first"),
    ("scores[0] = scores[history] = -np.inf", "scores[0] = -np.inf", "the history recommended"),
    ("scores[0] = scores[history] = -np.inf", "scores[history] = -np.inf", "unknown recommended"),
    ("scores = scores.copy()", "pass", "writes into its input"),
    ("-np.inf", "0", "zero is not the lowest score"),
    ("-np.inf", "-100", "nor is any other number"),
    ("-np.inf", "scores.min()", "nor the least that is there"),
    ("np.argsort(-scores)[:k]", "np.sort(np.argsort(-scores)[:k])", "not best first"),
    ("np.argsort(-scores)[:k]", "scores[np.argsort(-scores)[:k]]", "scores instead of rows"),
]
