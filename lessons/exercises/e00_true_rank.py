import numpy as np

from lessons.exercises import Case

TITLE = "where does the true object stand in the whole catalogue?"
TRANSFER = True
TASK = """
An AUC compares with a few negatives. A shop shows the first places of the whole catalogue.
Write true_ranks(scores, positive, seen) (about 8 lines).
    scores    [U,M]  of U users for all M objects; no row is special here
    positive  [U]    the object that came next, one for each user; it is never among those seen
    seen      a list of U arrays: the objects that the user has acted on; repeats occur; they are out of the competition
    returns [U] ranks, 1 for the best: one more than the number of others with a higher score, and ½ for each other one with the
    same score. "Others" are all objects but the positive and those seen.
"""
STUB = """\
import numpy as np


def true_ranks(scores, positive, seen):  # [U,M], [U], [[n_u]] -> [U]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "One user at a time: a row of scores, and a mask of those that take part. Is the positive itself among the equal ones?",
    "others = np.ones(M, bool); others[seen[u]] = False; others[positive[u]] = False. Then 1 + (row[others] > own).sum() + "
    "0.5 * (row[others] == own).sum().",
)
EXPLAIN = """
Why it is so: with n others, the AUC of this user against all of them is 1 - (rank - 1)/n: the same information. But a mean of
ranks, "is it among the first 10" and 1/rank weigh the places differently, and only the last two say what a shop window with
ten places is worth. A tie counts ½ for the same reason as in the AUC: equal scores must not look like knowledge. Lesson 16
goes on from here.
"""


def check(answer, rng):
    for U, M in ((4, 7), (3, 5), (6, 11)):
        scores = rng.integers(0, 4, size=(U, M)) / 2 - 1  # few values, so that scores are equal
        positive = rng.integers(M, size=U)
        seen = []
        for u in range(U):
            rest = np.delete(np.arange(M), positive[u])
            seen.append(rng.choice(rest, size=rng.integers(0, 4)))
        seen[0] = np.append(seen[0], seen[0])
        expected, with_seen, strict, with_self, loose = np.zeros((5, U))
        for u in range(U):
            own = scores[u, positive[u]]
            for m in range(M):
                higher, equal = scores[u, m] > own, scores[u, m] == own
                with_seen[u] += (higher + 0.5 * equal) * (m != positive[u])
                if m not in seen[u]:
                    expected[u] += (higher + 0.5 * equal) * (m != positive[u])
                    strict[u] += higher
                    loose[u] += (higher + equal) * (m != positive[u])
                    with_self[u] += higher + 0.5 * equal
        yield Case(
            f"ranks of {U} users in {M} objects",
            answer.true_ranks(scores, positive, seen),
            1 + expected,
            {
                "those seen are out of the competition": 1 + with_seen,
                "an equal score counts ½": 1 + strict,
                "an equal score counts ½, not 1": 1 + loose,
                "the positive is no rival of itself": 1 + with_self,
                "the best rank is 1, not 0": expected,
            },
        )
