import numpy as np

from lessons.exercises import Case

TITLE = "the mean over uneven shards"
TASK = """
Each of S shards reports the gradient of the MEAN loss of its own targets, and how many targets it has. A shard without a target
reports NaN: its mean is 0 / 0. Write mean(means, counts) (about 4 lines): the gradient of the mean loss of the whole batch.
    means  [S,n]   counts  [S]        returns [n]
"""
STUB = """\
import numpy as np


def mean(means, counts):  # [S,n], [S] -> [n]
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "The sum of a shard's losses is its mean times its count. Divide the sum of these sums by the number of all targets.",
    "0 * NaN is NaN, so leave empty shards out: some = counts > 0. Then means[some] * counts[some, None], summed over axis 0.",
)
EXPLAIN = """
Why it is so: a mean of means counts each shard once, however few targets it has. Shards are cut by their work, so they are hardly
ever equal. The package divides each term of the loss by the number of terms in the whole batch from the start.
"""


def check(answer, rng):
    for counts in ([3, 1], [5, 0, 2, 7], [0, 0, 4], [2, 2]):
        terms = [rng.standard_normal((count, 3)) for count in counts]
        means = np.array([own.mean(0) if len(own) else np.full(3, np.nan) for own in terms])
        expected = np.concatenate(terms).mean(0)
        causes = {"that is the mean of the shards' means": np.nanmean(means, axis=0)} if len(set(counts) - {0}) > 1 else {}
        yield Case(f"shards of {counts} targets", answer.mean(means, np.array(counts)), expected, causes)
