import numpy as np


def mean(means, counts):  # [S,n], [S] -> [n]
    some = counts > 0
    sums = means[some] * counts[some, None]
    return np.sum(sums, axis=0) / np.sum(counts)


WRONG = [
    ("    some = counts > 0\n", "    some = counts >= 0\n", "empty shards are counted"),
    ("np.sum(counts)", "len(counts)", "divided by the number of shards"),
    (" * counts[some, None]", " * np.mean(counts)", "the mean of means"),
]
