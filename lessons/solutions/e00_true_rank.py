import numpy as np


def true_ranks(scores, positive, seen):  # [U,M], [U], [[n_u]] -> [U]
    ranks = np.zeros(len(scores))
    for u, row in enumerate(scores):
        others = np.ones(len(row), bool)
        others[seen[u]] = False
        others[positive[u]] = False
        rivals = row[others]
        own = row[positive[u]]
        ranks[u] = 1 + (rivals > own).sum() + 0.5 * (rivals == own).sum()
    return ranks


WRONG = [
    ("        others[seen[u]] = False\n", "", "those seen compete"),
    ("        others[positive[u]] = False\n", "", "the positive competes with itself"),
    (" + 0.5 * (rivals == own).sum()", "", "ties count 0"),
    ("0.5 * (rivals == own)", "(rivals == own)", "ties count 1"),
    ("1 + (rivals > own)", "(rivals > own)", "the best is 0"),
    ("(rivals > own)", "(rivals < own)", "the worst is 1"),
]
