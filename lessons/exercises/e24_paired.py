import numpy as np

from lessons.exercises import Case

TITLE = "the standard error of a difference, when users have several rankings"
TASK = """
Two models ranked the same S moments, and moment s belongs to user[s]; in all2all a user has up to one for each group.
Write gain(a, b, user) (about 6 lines).
    a, b  [S]  the AUC of each moment under the two models        user  [S]  integers, in any order
    returns the mean over USERS of d_u (d_u: the mean of b - a over the moments of user u), and its standard error
    sd(d_u) / √(number of users), where sd divides by the number of users less one
"""
STUB = """\
import numpy as np


def gain(a, b, user):  # [S], [S], [S] -> mean, standard error
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Subtract first. np.unique(user, return_inverse=True) numbers the users 0 … U - 1.",
    "With that number: d = np.bincount(number, weights=b - a) / np.bincount(number). Then d.mean() and d.std(ddof=1) / √len(d).",
)
EXPLAIN = """
Why it is so: an error bar counts independent draws, and the draws here are users. Two rankings of one user rise and fall
together; counted as two, they make the error too small. Counted apart from the other model's, they make it too large.
"""


def check(answer, rng):
    for users, most in ((2, 1), (5, 3), (11, 4)):
        of = np.repeat(np.arange(users) * 7, rng.integers(1, most + 1, size=users))
        rng.shuffle(of)
        ease = rng.random(len(of))
        a, b = ease + 0.1 * rng.standard_normal(len(of)), ease + 0.1 * rng.standard_normal(len(of)) + 0.05
        each = []
        for u in set(of.tolist()):
            rows = [s for s in range(len(of)) if of[s] == u]
            each.append(sum(b[s] - a[s] for s in rows) / len(rows))
        U = len(each)
        mean = sum(each) / U
        error = (sum((d - mean) ** 2 for d in each) / (U - 1) / U) ** 0.5
        d = b - a
        yours = answer.gain(a, b, of)
        yield Case(
            f"mean gain ({users} users, {len(of)} moments)",
            yours[0],
            mean,
            {
                "every user counts once, however many moments they have": d.mean(),
                "b - a, not a - b": -mean,
            },
        )
        yield Case(
            f"standard error ({users} users, {len(of)} moments)",
            yours[1],
            error,
            {
                "users are the independent draws, not moments": d.std(ddof=1) / len(d) ** 0.5,
                "that is the spread of the users, not of their mean": error * U**0.5,
                "sd divides by the number less one": error * ((U - 1) / U) ** 0.5,
                "subtract before you measure the spread": np.hypot(a.std(ddof=1), b.std(ddof=1)) / len(d) ** 0.5,
            },
        )
