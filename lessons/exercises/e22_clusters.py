import math

import numpy as np

from lessons.exercises import Case

TITLE = "users who are tested several times"
TRANSFER = True
TASK = """
In some logs a user has several rankings (one for each group, say). What is hard for a user is hard each time, so rankings of
one user are not independent, and the formula of the lesson gives a standard error that is too small.
Write clustered(a, b, user) (about 7 lines).
    a, b  [S]  what models A and B get for each ranking       user  [S]  whose ranking it is, any integers, in any order
    returns the mean difference over the rankings, and its standard error: let r = d - mean(d). Add up r within each user, take
    the sum of the squares of these sums, times U / (U - 1) for U users; its root, divided by S.
"""
STUB = """\
import numpy as np


def clustered(a, b, user):  # [S], [S], [S] -> number, number
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "Paired first: d = a - b. Then the deviations are summed per user BEFORE they are squared. np.unique(user, "
    "return_inverse=True) numbers the users from 0 to U - 1.",
    "sums = np.bincount(place, weights=d - d.mean()); U = len(sums); se = sqrt(U / (U - 1) · (sums**2).sum()) / S.",
)
EXPLAIN = """
Why it is so: the variance of a sum holds a product for every pair of terms. Between users these products are 0 on average;
within a user they are not, and summing before squaring keeps them. If every user has one ranking, the formula is the
lesson's. If a user is simply counted twice, it gives what counting once gives: copies bring no knowledge. The lesson's
formula would shrink by √2.
"""


def check(answer, rng):
    for U, most in ((5, 1), (4, 3), (12, 5)):
        sizes = rng.integers(1, most + 1, size=U)
        sizes[0] = most
        S = int(sizes.sum())
        order = rng.permutation(S)
        user = np.repeat(rng.permutation(100)[:U], sizes)[order]
        hard = np.repeat(rng.random(U), sizes)[order]
        a, b = rng.random(S) < hard, (rng.random(S) < hard) / 2
        a, b = a.astype(float), b.astype(float)
        d = [x - y for x, y in zip(a, b)]
        mean = sum(d) / S
        total = 0.0
        for one in set(user.tolist()):
            own = sum(x - mean for x, who in zip(d, user) if who == one)
            total += own**2
        expected = math.sqrt(U / (U - 1) * total) / S
        difference, se = answer.clustered(a, b, user)
        causes = {}
        if most > 1:
            means = np.array([np.mean([x for x, who in zip(d, user) if who == one]) for one in set(user.tolist())])
            causes = {
                "that is the lesson's formula: it takes the rankings of a user as independent": np.std(d, ddof=1) / math.sqrt(S),
                "that is the error of a mean over users; here it is over rankings": means.std(ddof=1) / math.sqrt(U),
                "U / (U - 1) is missing": math.sqrt(total) / S,
                "divided by U in place of S": math.sqrt(U / (U - 1) * total) / U,
            }
        yield Case(f"difference, {S} rankings of {U} users", difference, mean, {"B - A: turned round": -mean})
        yield Case(f"standard error, {S} rankings of {U} users", se, expected, causes)
        twice = answer.clustered(np.tile(a, 2), np.tile(b, 2), np.tile(user, 2))
        yield Case("standard error, if every ranking is written down twice", twice[1], expected)
