import math

import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "gBCE: a point-wise loss that knows how few negatives it has"
TRANSFER = True
TASK = """
With few negatives a point-wise loss makes all scores too high. gBCE (Petrov and Macdonald, 2023) puts a power on the positive:
    alpha = m / (M - 1)                          the part of all M - 1 negatives that was drawn
    beta  = alpha (t (1 - 1/alpha) + 1/alpha)    t: a number from 0 (no correction) to 1 (the full one)
    loss of a row = -1/(m + 1) · ( beta log s(f_0) + sum over j = 1 … m of log(1 - s(f_j)) )    s(x) = 1 / (1 + exp(-x))
Write gbce(f, M, t) (about 8 lines).
    f  [B, 1+m]  scores; column 0 holds the positives, the others the negatives drawn for that row
    returns a tuple: the mean of the loss over the B rows, and df [B, 1+m], its gradient
No exp of a large positive number, please: a score may be 800. (log(1 + exp(x)) is np.logaddexp(0, x).)
"""
STUB = """\
import numpy as np


def gbce(f, M, t):  # [B,1+m], number, number -> number, [B,1+m]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Write both logarithms with softplus: -log s(x) = softplus(-x) and -log(1 - s(x)) = softplus(x). Then differentiate each: "
    "softplus' = s. beta and the number of rows are constants.",
    "df[:, 0] = -beta s(-f_0) / ((m + 1) B), df[:, 1:] = s(f_j) / ((m + 1) B). s(x) = exp(-softplus(-x)) never overflows.",
)
EXPLAIN = """
Why it is so: a power on a probability is a factor before its logarithm, so beta only rescales the pull on the positive. With
t = 1, beta = alpha: the positive pulls less by the same factor by which negatives are missing. The scores then are no more too
high, and the model can be read as probabilities. The order of the pushes stays that of the point-wise loss: an easy negative
still gets its share by s(f_j), whatever the others are. That is the difference to the softmax loss, whose negatives compete.
"""


def slow_loss(f, M, t):
    B, m = f.shape[0], f.shape[1] - 1
    alpha = m / (M - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    total = 0.0
    for row in f:
        total += beta * math.log(1 + math.exp(-row[0])) / (m + 1)
        for x in row[1:]:
            total += math.log(1 + math.exp(x)) / (m + 1)
    return total / B


def check(answer, rng):
    for B, m, M, t in ((1, 1, 5, 0.0), (3, 4, 30, 0.75), (2, 6, 11, 1.0)):
        f = rng.standard_normal((B, 1 + m))
        yours = answer.gbce(f, M, t)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("a tuple of two: the loss and df. How many came back", came, 2)
            return
        expected = numeric_gradient(lambda f, M=M, t=t: slow_loss(f, M, t), f)
        plain = numeric_gradient(lambda f, M=M: slow_loss(f, M, 0.0), f)
        yield Case(f"loss, B = {B}, m = {m}, t = {t}", yours[0], slow_loss(f, M, t), {"t has no effect": slow_loss(f, M, 0.0)})
        causes = {
            "beta stands before the logarithm, so it stays in the slope": plain,
            "the mean over the rows is missing": B * expected,
            "the division by m + 1 is missing": (m + 1) * expected,
        }
        yield Case(f"df, B = {B}, m = {m}, t = {t}", yours[1], expected, {} if B == 1 or t == 0 else causes)
    far = np.array([[800.0, -800, 800], [-800.0, 800, 0]])
    loss, df = answer.gbce(far, 5, 0.5)
    beta = 0.5 * (0.5 * (1 - 2) + 2)
    yield Case("loss of scores of 800", loss, (800 + 800 * beta + 800 + math.log(2)) / 6)
    yield Case("df of scores of 800", df, np.array([[0, 0, 1], [-beta, 1, 0.5]]) / 6)
