import math

import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "negatives from two sources at once"
TRANSFER = True
TASK = """
Each of m negatives is drawn like this: with probability w uniformly among M objects, else in proportion to the numbers n [M] of
times that they were taken. Nobody writes down which source it was. Write mixed(f, drawn, n, w) (about 8 lines): the sampled
softmax loss of one positive, corrected so that the sum over the negatives stands on average for the sum over all M objects.
    f      [1+m]  scores: first the positive, then the negatives     drawn  [m]  their objects, numbers from 0 to M - 1
    returns a tuple: the loss (a number), df [1+m]
"""
STUB = """\
import numpy as np


def mixed(f, drawn, n, w):  # [1+m], [m], [M], number -> number, [1+m]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "How likely is object j in ONE draw, if you do not know the source? Sum over both ways in which it can come: P(uniform) · "
    "P(j | uniform) + P(popular) · P(j | popular).",
    "q = w / M + (1 - w) n / n.sum(); g_j = f_j - log(m q_j). Then as in the lesson: G = log sum exp g_j, "
    "loss = softplus(G - f_0), df_0 = -s(G - f_0), df_j = s(G - f_0) exp(g_j - G).",
)
EXPLAIN = """
Why it is so: what counts is how often an object comes, not the way it came. So the chances are mixed, never their logarithms.
The mix has a practical side: with w > 0 no q is tiny, so no negative can get a huge weight 1/(m q) when it is drawn after all.
Pure popularity has that fault: an object taken once among 100,000 events is drawn almost never, and then counts for thousands.
"""


def slow_loss(f, drawn, n, w, positive=False, uncounted=False, logs=False):
    """The loss; the switches are typical mistakes."""
    m, M = len(drawn), len(n)
    total = 0.0
    for x, j in zip(f[1:], drawn):
        q = w / M + (1 - w) * n[j] / sum(n)
        if logs:
            q = math.exp(w * math.log(1 / M) + (1 - w) * math.log(n[j] / sum(n)))
        total += math.exp(x) / (q if uncounted else m * q)
    top = math.exp(f[0]) / (1 / M if positive else 1)
    return -math.log(top / (top + total))


def check(answer, rng):
    for m, M, w in ((1, 4, 0.5), (5, 9, 0.25), (7, 30, 0.9), (6, 5, 1.0)):
        f, n = rng.standard_normal(1 + m), rng.integers(1, 50, M)
        drawn = rng.integers(M, size=m)
        yours = answer.mixed(f, drawn, n, w)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("a tuple of two: the loss and df. How many came back", came, 2)
            return
        causes = {}
        if m > 1 and w < 1:
            causes = {
                "m is forgotten: m draws stand for the whole catalogue, each for 1/m of it": slow_loss(
                    f, drawn, n, w, uncounted=True
                ),
                "the chances are mixed, not their logarithms": slow_loss(f, drawn, n, w, logs=True),
                "the positive was not drawn: it has no correction": slow_loss(f, drawn, n, w, positive=True),
                "no correction": math.log(1 + sum(math.exp(x - f[0]) for x in f[1:])),
            }
        yield Case(f"loss, m = {m}, M = {M}, w = {w}", yours[0], slow_loss(f, drawn, n, w), causes)
        expected = numeric_gradient(lambda f, rest=(drawn, n, w): slow_loss(f, *rest), f)
        yield Case(f"df, m = {m}, M = {M}, w = {w}", yours[1], expected)
    f, n, drawn = np.array([900.0, 905, 900]), np.array([1, 1, 2]), np.array([2, 0])
    expected = slow_loss(f - 900, drawn, n, 0.5)
    yield Case("loss of scores near 900: only differences may meet exp", answer.mixed(f, drawn, n, 0.5)[0], expected)
