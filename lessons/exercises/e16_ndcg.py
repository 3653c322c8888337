import itertools
import math

import numpy as np

from lessons.exercises import Case

TITLE = "another metric: NDCG among the first k, fair to ties"
TRANSFER = True
TASK = """
In each ranking one candidate is the positive, in column 0. If it is in place r = 0, 1, 2 … its gain is 1 / log2(r + 2), and
0 from place k on. NDCG@k is the mean gain. Where scores are equal, their order is open. A fair value is the mean gain over
all orders of the tied candidates. Write ndcg(scores, k) (about 8 lines).
    scores  [S,R]  the positive first; no NaN, but many ties       k  a number of places, at least 1
    returns the mean over the S rankings of the expected gain
No loop over orders, please: with 50 tied candidates there are too many.
"""
STUB = """\
import numpy as np


def ndcg(scores, k):  # [S,R], number -> number
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Let a candidates have higher scores than the positive, and t others the same score. In a random order of the tied "
    "ones, at which places can the positive stand, and how likely is each?",
    "It stands at a, a + 1, … a + t with the same chance. So average the gains of these t + 1 places, with gain 0 from "
    "place k on.",
)
EXPLAIN = """
Why it is so: in a random order of t + 1 tied candidates each place is equally likely for the positive. The AUC's ½ for a tie
is the same idea. Without it, sorting decides: a stable sort leaves the positive in column 0 before its equals, and a model
that gives all candidates the same score has a perfect NDCG. Published results have been wrong by just this.
"""


def check(answer, rng):
    for S, R, k in ((1, 2, 1), (4, 5, 3), (6, 6, 10)):
        scores = rng.integers(3, size=(S, R)).astype(float)
        gains = [1 / math.log2(r + 2) if r < k else 0.0 for r in range(R)]
        total, stable, last = 0.0, 0.0, 0.0
        for row in scores:
            fair = []
            for order in itertools.permutations(range(R)):  # a random order breaks the ties
                place = sum(row[j] > row[0] or (row[j] == row[0] and order[j] < order[0]) for j in range(1, R))
                fair.append(gains[place])
            total += sum(fair) / len(fair)
            stable += gains[int((row[1:] > row[0]).sum())]
            last += gains[int((row[1:] >= row[0]).sum())]
        middle = (scores[:, 1:] > scores[:, :1]).sum(1) + (scores[:, 1:] == scores[:, :1]).sum(1) / 2
        causes = {}
        if R > 2:
            causes = {
                "a tie counts as won: the positive before its equals": stable / S,
                "a tie counts as lost: the positive behind its equals": last / S,
                "the mean PLACE has not the mean gain: average the gains": np.where(
                    middle < k, 1 / np.log2(middle + 2), 0
                ).mean(),
            }
        yield Case(f"NDCG@{k} of {S} rankings of {R}", answer.ndcg(scores, k), total / S, causes)
    flat = sum(1 / math.log2(r + 2) for r in range(10)) / 51
    yield Case("NDCG@10 of a constant score, 51 candidates", answer.ndcg(np.ones((2, 51)), 10), flat)
