import numpy as np

from atrank_np.metrics import user_auc
from lessons.exercises import Case

TITLE = "the average user AUC"
TASK = """
Write average_user_auc(scores, label, offsets) (about 8 lines, loops are welcome).
    scores   [T]    of the targets of all users, one user after another
    label    [T]    1 chosen, 0 not
    offsets  [S+1]  user s owns the targets offsets[s] : offsets[s+1]; each has at least one of both labels
    returns the mean over users of the share of (chosen, other) pairs in which the chosen one is above; a tie counts ½
"""
STUB = """\
import numpy as np


def average_user_auc(scores, label, offsets):  # [T], [T], [S+1] -> number
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "One user at a time: which of their scores are of chosen objects, which of others? Then every chosen one meets every other.",
    "plus[:, None] > minus[None, :] is a table of all pairs; its mean is the user's AUC without ties. Add half the mean of ==. "
    "The users' AUCs are averaged last.",
)
EXPLAIN = """
Why it is so: a user's AUC asks only about the order of their own objects, so scores of different users never meet, and one
with many pairs counts as much as one with few.
"""


def check(answer, rng):
    for S in (1, 3, 7):
        sizes = rng.integers(2, 8, size=S)
        offsets = np.append(0, np.cumsum(sizes))
        label = np.concatenate([rng.permutation([1, 0, *rng.integers(2, size=size - 2)]) for size in sizes])
        scores = rng.integers(3, size=len(label)).astype(float) + np.repeat(rng.integers(3, size=S), sizes)
        expected = user_auc(scores, label, offsets)
        user = np.repeat(np.arange(S), sizes)
        i, j = np.nonzero((label[:, None] == 1) & (label == 0) & (user[:, None] == user))
        wins, ties = scores[i] > scores[j], scores[i] == scores[j]
        mean = lambda of_pairs, i=i, user=user, S=S: float(np.mean([of_pairs[user[i] == s].mean() for s in range(S)]))
        yield Case(
            f"AUC of {S} users",
            answer.average_user_auc(scores, label, offsets),
            expected.mean,
            {
                "a tie counts ½, not 0": mean(wins),
                "a tie counts ½, not 1": mean(wins + 1.0 * ties),
                "all users in one pot: scores of different users must never meet": user_auc(scores, label, offsets[[0, -1]]).mean,
                "a mean over all pairs: average each user's pairs first, then the users": float((wins + 0.5 * ties).mean()),
                "upside down: the chosen one should be above": 1 - expected.mean,
            },
        )
