import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "numeric derivatives: the instrument itself"
TASK = """
Write numeric(f, x, h) (about 6 lines).
    f   a function of an array that returns one number
    x   [N,D], any N and D; leave x itself as it is: move copies
    h   the step
    returns the gradient [N,D]: entry (n, d) is the central difference when only x[n, d] moves by h to both sides
"""
STUB = """\
import numpy as np


def numeric(f, x, h):  # number of [N,D], [N,D], number -> [N,D]
    gradient = np.zeros_like(x)
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Two loops, over n and d. In each turn make two fresh copies of x; entry (n, d) is larger in one, smaller in the other.",
    "The entry is the difference of the two values of f, divided by the distance of the two points. That distance is not h.",
)
EXPLAIN = """
Why it is so: to both sides, the even terms of Taylor's series cancel, so the error is of the order h² instead of h.
And it costs two calls of f for each entry: for the 200,000 parameters of a small model, 400,000 forward passes for
one gradient. The backward pass gives all of them for about the price of two. That is the reason for this whole
course.
"""


def check(answer, rng):
    for N, D in ((1, 1), (3, 2), (2, 5)):
        x, w = rng.standard_normal((N, D)), rng.standard_normal((N, D))

        def f(x, w=w):
            return float((w * np.sin(x)).sum() * (1 + x[0, 0] ** 2) + x.sum() ** 3)

        for h in (1e-5, 0.1):  # the large step tells a central difference from all others
            one_sided, shared = np.zeros_like(x), np.full_like(x, f(x + h) - f(x - h)) / (2 * h)
            for i in np.ndindex(x.shape):
                up = x.copy()
                up[i] += h
                one_sided[i] = (f(up) - f(x)) / h
            expected = numeric_gradient(f, x.copy(), h)
            yield Case(
                f"gradient [{N},{D}], h = {h}",
                answer.numeric(f, x, h),
                expected,
                {
                    "the two points are 2h apart, not h": 2 * expected,
                    "only one side was moved: that is (f(x+h) - f(x)) / h": one_sided,
                    "the sign: the larger point comes first": -expected,
                    "all entries moved at once; one at a time": shared,
                    "the difference is not divided by the distance of the two points": 2 * h * expected,
                },
            )
