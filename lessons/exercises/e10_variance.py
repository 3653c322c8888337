import numpy as np

from lessons.exercises import Case

TITLE = "layer norm: a variance that keeps its digits"
TASK = """
Write normalise(x) (about 3 lines): every row of x [N,D] to mean 0 and variance 1.
    returns (x − mean) / sqrt(variance + 1e-5), [N,D]
The rows that you are given may lie very far from 0, around 10⁸. The result must be right to a millionth all the same.
"""
STUB = """\
import numpy as np


def normalise(x):  # [N,D] -> [N,D]
    # YOUR CODE (about 3 lines)
    ...
"""
HINTS = (
    "A float64 holds 16 digits. The square of 10⁸ has used them all up before the variance, a number near 1, begins.",
    "Subtract the mean first; the variance is the mean of the squares of what is left.",
)
EXPLAIN = """
Why it is so: E[x²] − E[x]² is right on paper and wrong in floats: it subtracts two numbers of size 10¹⁶ to get one of size 1,
and nothing is left of it but rounding. The second pass over the centred row costs next to nothing.
"""


def check(answer, rng):
    for N, D, away in ((5, 7, 0), (3, 11, 2.0**27)):
        x = np.round(64 * rng.standard_normal((N, D))) / 64  # on a grid, so that shifting it far away loses nothing
        expected = np.array([(row - row.mean()) / (row.var() + 1e-5) ** 0.5 for row in x])
        moved = x + away * np.arange(N)[:, None]  # each row elsewhere: one shift for all of them does not help
        with np.errstate(invalid="ignore", divide="ignore"):
            yours = answer.normalise(moved)
            in_one = (moved**2).mean(1, keepdims=True) - moved.mean(1, keepdims=True) ** 2
            one_pass = (moved - moved.mean(1, keepdims=True)) / np.sqrt(in_one + 1e-5)
            centred = x - x.mean(1, keepdims=True)
        yield Case(
            f"rows of {D}, {away:.0e} from 0",
            yours,
            expected,
            {
                "E[x²] − E[x]² cancels: take the variance of the centred row": one_pass,
                "the square root is missing": centred / ((centred**2).mean(1, keepdims=True) + 1e-5),
                "ε = 1e-5 inside the root is missing": centred / centred.std(1, keepdims=True),
                "normalised down the columns: each row for itself": (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5),
                "divided by D − 1: the layer norm divides by D": centred / np.sqrt(x.var(1, keepdims=True, ddof=1) + 1e-5),
            },
        )
