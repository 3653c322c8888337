import numpy as np

from lessons.exercises import Case

TITLE = "two noises in one AUC: the draw and the users"
TASK = """
p [S] holds for each test user the chance that their positive beats a negative that is drawn at random (no ties). R negatives
are drawn for each, independently, and the AUC is the mean over users of the share that is beaten.
Write two functions (one line each):
    draw_error(p, R)   the standard deviation of this AUC over draws of negatives, the users staying as they are
    whole_error(p, R)  its standard error if the users are drawn afresh too, from users like these (take p.var(), ddof 0)
"""
STUB = """\
import numpy as np


def draw_error(p, R):  # [S], number -> number
    # YOUR CODE (1 line)
    ...


def whole_error(p, R):  # [S], number -> number
    # YOUR CODE (1 line)
    ...
"""
HINTS = (
    "A coin that falls heads with chance p has the variance p (1 - p); the mean of R coins a R-th of it. Variances of "
    "independent things add; the mean over S users divides the sum of variances by S².",
    "draw: sqrt(Σ p (1 - p) / R) / S. A user drawn afresh brings their own p, whose variance p.var() comes on top of the "
    "mean of p (1 - p) / R, and all of it is divided by S.",
)
EXPLAIN = """
Why it is so: with R = 1 the two parts are Σ p (1 - p) and Σ (p - mean)², and together they are S mean (1 - mean): the AUC's
binomial error, whatever the p are. More negatives cut the first part only. At 22,363 users and an AUC of 0.8 the whole is
0.0027 with one negative each; how low it can get is up to p.var(), which nobody knows who has drawn one.
"""


def check(answer, rng):
    for S, R in ((3, 1), (8, 1), (6, 4)):
        p = rng.beta(3, 1.5, size=S)
        # The exact distribution of a user's share, by adding up all R + 1 outcomes; no formula of a variance is used.
        k = np.arange(R + 1)
        ways = np.array([np.prod(np.arange(R, R - m, -1.0)) / np.prod(np.arange(1.0, m + 1)) for m in k])
        chance = ways * p[:, None] ** k * (1 - p[:, None]) ** (R - k)  # [S, R+1]
        own = (chance * (k / R - p[:, None]) ** 2).sum(1)
        fresh = (chance * (k / R - p.mean()) ** 2).sum() / S
        binomial = p.mean() * (1 - p.mean())
        yield Case(
            f"the draw, {S} users, {R} negatives",
            answer.draw_error(p, R),
            np.sqrt(own.sum()) / S,
            {
                "the users' own p differ: sum p (1 - p), not mean (1 - mean)": np.sqrt(binomial / R / S),
                "the mean over users is a sum divided by S, its variance one divided by S²": np.sqrt(own.sum()),
                "R negatives: each user's variance is a R-th": np.sqrt((p * (1 - p)).sum()) / S,
                "that is the variance: its root is missing": own.sum() / S**2,
            },
        )
        yield Case(
            f"the whole, {S} users, {R} negatives",
            answer.whole_error(p, R),
            np.sqrt(fresh / S),
            {
                "that is right for one negative only": np.sqrt(binomial / S),
                "more negatives do not shrink the users' part": np.sqrt(binomial / R / S),
                "that is the draw alone: users drawn afresh bring their own p": np.sqrt(own.sum()) / S,
                "that is the users alone": p.std() / np.sqrt(S),
            },
        )
