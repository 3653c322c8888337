import numpy as np


def clustered(a, b, user):  # [S], [S], [S] -> number, number
    d = a - b
    _, place = np.unique(user, return_inverse=True)
    sums = np.bincount(place, weights=d - d.mean())
    U = len(sums)
    se = np.sqrt(U / (U - 1) * (sums**2).sum()) / len(d)
    return d.mean(), se


WRONG = [
    ("_, place = np.unique(user, return_inverse=True)", "place = np.arange(len(d))", "rankings taken as independent"),
    ("weights=d - d.mean()", "weights=d", "the mean is not taken off"),
    ("/ len(d)", "/ U", "divided by the number of users"),
    ("U / (U - 1) * ", "", "without U / (U - 1)"),
    ("d = a - b", "d = b - a", "turned round"),
    ("np.sqrt(U / (U - 1) * (sums**2).sum())", "U / (U - 1) * (sums**2).sum()", "the root is missing"),
]
