import math

import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "the sampled softmax, backward, for several histories"
TASK = """
Write softmax_gradient(f, log_q, label, offsets) (about 12 lines, a loop over the histories is welcome).
    f, log_q  [T]    scores, and what is subtracted from those of negatives
    label     [T]    1 for a positive, 0 for a negative
    offsets   [B+1]  history b has the targets offsets[b] : offsets[b+1]; some have several positives, some no negative
    returns df [T], the gradient of the mean, over the positives of histories that have a negative, of
        -log( exp f_p / (exp f_p + sum over the negatives j of the history of exp(f_j - log_q_j)) )
"""
STUB = """\
import numpy as np


def softmax_gradient(f, log_q, label, offsets):  # [T], [T], [T], [B+1] -> [T]
    # YOUR CODE (about 12 lines)
    ...
"""
HINTS = (
    "One history at a time: G = log of the sum of exp(g_j), then r_p = f_p - G for each of its positives. Count first how many "
    "positives there are in all histories that have a negative: the mean divides by that.",
    "dr = -s(-r) / X; df[positives] = dr; df[negatives] = -dr.sum() · exp(g - G). A history without a negative keeps zeros.",
)
EXPLAIN = """
Why it is so: all positives of a history share one G, so its gradient is a sum over them; and G shares it out among the
negatives by a softmax. The sum of df over a history is 0: what the positives gain, the negatives lose.
"""


def slow_loss(f, log_q, label, offsets, correct=True):
    losses = []
    for start, stop in zip(offsets[:-1], offsets[1:]):
        here = range(start, stop)
        total = sum(math.exp(f[j] - (log_q[j] if correct else 0)) for j in here if label[j] == 0)
        losses += [-math.log(math.exp(f[p]) / (math.exp(f[p]) + total)) for p in here if label[p] == 1 and total > 0]
    return sum(losses) / len(losses)


def check(answer, rng):
    for labels, offsets in (([1, 0], [0, 2]), ([1, 0, 0, 1, 1, 1, 0], [0, 3, 4, 7]), ([1, 1, 0, 0, 0, 1, 0, 1], [0, 5, 7, 8])):
        label, offsets = np.array(labels, float), np.array(offsets)
        f = rng.standard_normal(len(label))
        log_q = np.where(label == 0, rng.standard_normal(len(label)), 0.0)
        rest = log_q, label, offsets
        expected = numeric_gradient(lambda f, rest=rest: slow_loss(f, *rest), f)
        causes = {}
        if len(labels) > 2:
            counted = sum(label[a:b].sum() for a, b in zip(offsets[:-1], offsets[1:]) if (label[a:b] == 0).any())
            causes = {
                "log_q is forgotten": numeric_gradient(lambda f, rest=rest: slow_loss(f, *rest, correct=False), f),
                "each history has a sum of its own": numeric_gradient(
                    lambda f, rest=rest: slow_loss(f, *rest[:2], rest[2][[0, -1]]), f
                ),
                "positives without a negative do not count in the mean": expected * counted / label.sum(),
                "the mean over the positives is missing": expected * counted,
            }
        yield Case(f"df, labels {labels}, offsets {offsets.tolist()}", answer.softmax_gradient(f, *rest), expected, causes)
