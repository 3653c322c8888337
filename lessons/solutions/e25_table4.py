import numpy as np


def by_age(weights, elapsed, edges):  # S x [n_s], S x [n_s], [E] -> [E], [E]
    w, days = np.concatenate(weights), np.concatenate(elapsed)
    even = np.concatenate([np.full(len(d), 1 / len(d)) for d in elapsed])
    bucket = np.searchsorted(edges, days, side="right") - 1
    count = np.maximum(np.bincount(bucket, minlength=len(edges)), 1)
    mean = lambda value: np.bincount(bucket, weights=value, minlength=len(edges)) / count
    return mean(w), mean(even)


WRONG = [
    ('side="right"', 'side="left"', "a day on an edge falls into the bucket before"),
    (" / count", "", "sums, not means"),
    ("/ count", "/ len(weights)", "divided by the number of histories"),
    ("np.full(len(d), 1 / len(d))", "np.full(len(d), len(elapsed) / len(days))", "one share for all histories"),
    ("return mean(w), mean(even)", "return mean(even), mean(w)", "swapped"),
]
