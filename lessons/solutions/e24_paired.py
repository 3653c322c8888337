import numpy as np


def gain(a, b, user):  # [S], [S], [S] -> mean, standard error
    _, number = np.unique(user, return_inverse=True)
    d = np.bincount(number, weights=b - a) / np.bincount(number)
    return d.mean(), d.std(ddof=1) / np.sqrt(len(d))


WRONG = [
    ("np.unique(user, return_inverse=True)", "None, np.arange(len(a))", "moments as if they were users"),
    (" / np.bincount(number)", "", "sums over a user's moments"),
    ("ddof=1", "ddof=0", "divided by the number of users"),
    (" / np.sqrt(len(d))", "", "the spread in place of the error"),
    ("b - a", "a - b", "the wrong way round"),
]
