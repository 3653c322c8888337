import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: every row to length one"
TASK = """
The forward pass divides every row by its length, y = x / |x|. One line of the backward pass is wrong.
Find it with lesson 02's scoreboard (from lessons._common import scoreboard) or with atrank_np.gradcheck, then mend it:

    from atrank_np.gradcheck import check_layer
    from lessons.answers.e02_hunt import unit_backward, unit_forward
    rng = np.random.default_rng(0)
    print(*check_layer(unit_forward, unit_backward, {"x": rng.standard_normal((3, 5))}, ["x"], rng), sep="\\n")

    unit_forward(x)          [N,D] -> y [N,D], cache
    unit_backward(dy, cache) [N,D] -> dx [N,D]
"""
STUB = '''\
import numpy as np


def unit_forward(x):  # [N,D] -> [N,D]
    square = (x * x).sum(1, keepdims=True)  # F1
    length = np.sqrt(square)  # F2
    y = x / length  # F3
    return y, (x, length)


def unit_backward(dy, cache):  # [N,D] -> [N,D]
    """One of these lines is wrong. Which?"""
    x, length = cache
    dlength = -(dy * x).sum(1, keepdims=True) / length**2  # B3, by length
    dsquare = dlength / (2 * length)  # B2
    dx_square = dsquare * x  # B1
    return dx_square + dy / length  # B3, by x, and the road through the length
'''
HINTS = (
    "Check the atoms one by one: for each named number, write the rest of the computation from it on and give both to the "
    "scoreboard. dlength and dsquare are right.",
    "F1 holds x twice. What is the derivative of x · x?",
)
EXPLAIN = """
Why it is so: in x * x both factors are x, and a thing that is used twice gets the sum of two gradients: 2 x dsquare.
This is the commonest fault of hand-written backward passes. With an upstream of ones and random x it would have been
seen too; a layer whose rows always have the same sum is where only a random upstream helps.
"""


def check(answer, rng):
    for N, D in ((1, 2), (3, 5), (7, 3)):
        x, r = rng.standard_normal((N, D)) + 0.5, rng.standard_normal((N, D))
        length = np.sqrt((x * x).sum(1, keepdims=True))
        y, cache = answer.unit_forward(x)
        yield Case(f"y [{N},{D}]: leave the forward pass as it is", y, x / length)
        expected = numeric_gradient(lambda x, r=r: float((r * x / np.sqrt((x * x).sum(1, keepdims=True))).sum()), x.copy())
        inner = (r * x).sum(1, keepdims=True)
        yield Case(
            f"dx [{N},{D}]",
            answer.unit_backward(r, cache),
            expected,
            {
                "as it stood: one of two uses of a number is missing": r / length - inner * x / (2 * length**3),
                "the road through the length is lost": r / length,
                "the sign of the road through the length": r / length + inner * x / length**3,
            },
        )
