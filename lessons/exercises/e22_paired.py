import numpy as np

from lessons.exercises import Case

TITLE = "a difference of two models, and its standard error"
TASK = """
Write paired(a, b) (about 4 lines).
    a  [R,S]  of model A: trained R times (seeds), the AUC terms of S users, numbers from 0 to 1
    b  [Q,S]  of model B: trained Q times, judged on the same users and negatives
    returns the mean difference A - B, a number, and its standard error over users, a number: user by user, each model averaged
    over its seeds. The sum of squares is divided by S - 1
"""
STUB = """\
import numpy as np


def paired(a, b):  # [R,S], [Q,S] -> number, number
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "One number for each user first: what A gives them, averaged over its seeds, minus what B gives them. Then the mean of S "
    "numbers, and how well S numbers know their mean.",
    "d = a.mean(0) - b.mean(0) is [S]. The error of a mean is its deviation over √S: d.std(ddof=1) / np.sqrt(len(d)).",
)
EXPLAIN = """
Why it is so: an easy user is easy for both models, and so is an easy negative; the difference forgets both. If the two agree
about most users, the paired error is a fraction of the unpaired one, and no user need be added for it. But seeds are not
users: averaged over R of them, their luck is smaller and still there, and this ± does not contain it.
"""


def check(answer, rng):
    for S, R, Q in ((5, 1, 1), (40, 3, 3), (97, 2, 5)):
        hard = rng.random(S)
        a, b = ((rng.random((k, S)) * 0.6 + rng.random(S) * 0.4 > hard).astype(float) for k in (R, Q))
        a[0, 0], b[0, 0] = 1, 0.5
        per_user = [sum(a[:, s]) / R - sum(b[:, s]) / Q for s in range(S)]
        mean = sum(per_user) / S
        squares = sum((d - mean) ** 2 for d in per_user)
        difference, se = answer.paired(a, b)
        errors = [x.mean(0).std(ddof=1) / S**0.5 for x in (a, b)]
        seeds = a[: min(R, Q)] - b[: min(R, Q)]
        yield Case(f"difference, {R} and {Q} seeds", difference, mean, {"B - A: turned round": -mean})
        yield Case(
            f"its standard error, {S} users",
            se,
            (squares / S / (S - 1)) ** 0.5,
            {
                "that is the unpaired error: take the difference user by user first": np.hypot(*errors),
                "that is the deviation of one user; a mean knows more, by √S": (squares / (S - 1)) ** 0.5,
                "divided by S, not by S - 1": squares**0.5 / S,
                "that is the variance: its root is missing": squares / S / (S - 1),
                "seeds are no users: average over them first": seeds.std(ddof=1) / seeds.size**0.5,
            },
        )
