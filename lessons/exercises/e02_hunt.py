import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: the cosine of rows with a direction"
TASK = """
The layer measures how well each row of x points in the direction of w: y_n = <x_n, w> / (|x_n| |w|). One line of the backward
pass is wrong. Do not look for it by reading: let numbers find it. For each named number, write the rest of the computation
from it on as a function of it, and give its gradient and this function to the scoreboard of lesson 02 (from lessons._common
import scoreboard). Go through the lines in their order, from B5 down to B1. The line that makes the first wrong gradient is the
wrong one. Mend it. A start, for Python in the repository's root:
    import numpy as np
    from atrank_np.gradcheck import check_layer
    from lessons.answers.e02_hunt import cosine_backward, cosine_forward
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((3, 5)), "w": rng.standard_normal(5)}
    print(*check_layer(cosine_forward, cosine_backward, inputs, ["x", "w"], rng), sep="\\n")
The functions:
    cosine_forward(x, w)       [N,D], [D] -> y [N], cache
    cosine_backward(dy, cache) [N] -> dx [N,D], dw [D]
"""
STUB = '''\
import numpy as np


def cosine_forward(x, w):  # [N,D], [D] -> [N]
    inner = x @ w  # F1 [N]
    square = (x * x).sum(1)  # F2 [N]
    length = np.sqrt(square)  # F3 [N]
    size = np.sqrt((w * w).sum())  # F4, a number
    y = inner / (length * size)  # F5 [N]
    return y, (x, w, length, size, y)


def cosine_backward(dy, cache):  # [N] -> [N,D], [D]
    """One of these lines is wrong. Which?"""
    x, w, length, size, y = cache
    dinner = dy / (length * size)  # B5, by inner
    dlength = -dy * y / length  # B5, by length
    dsize = -(dy * y).sum() / size  # B5, by size
    dw_size = 2 * dsize * w / size  # B4
    dsquare = dlength / (2 * length)  # B3
    dx_square = 2 * x * dsquare[:, None]  # B2
    dx = dinner[:, None] * w + dx_square  # B1, by x
    dw = x.T @ dinner + dw_size  # B1, by w
    return dx, dw
'''
HINTS = (
    "Compare dx and dw with numeric gradients. One of them is right, so every line that it needs is right. Which lines are left?",
    "dsize is right too. What is the derivative of size = √(w·w) by w? Take two steps: q = w·w, then size = √q.",
)
EXPLAIN = """
Why it is so: call q = w·w, so size = √q. The slope of size by q is 1/(2 size), and the slope of q by w is 2w. In their product
the two 2 cancel, and w / size is left. On the way through the lengths of x the same two steps are two lines, each with its 2.
That makes the wrong line look right beside them. Naming every number, and checking every one, finds such a fault; reading does
not.
"""


def check(answer, rng):
    for N, D in ((3, 5), (7, 3), (2, 2)):
        x, w, r = rng.standard_normal((N, D)) + 0.5, rng.standard_normal(D) + 0.5, rng.standard_normal(N)
        length, size = np.sqrt((x * x).sum(1)), np.sqrt((w * w).sum())

        def f(_, x=x, w=w, r=r):
            return (r * (x @ w) / np.sqrt((x * x).sum(1) * (w * w).sum())).sum()

        y, cache = answer.cosine_forward(x, w)
        yield Case(f"y [{N}]: leave the forward pass as it is", y, x @ w / (length * size))
        dx, dw = answer.cosine_backward(r, cache)
        inner = r / (length * size)
        pull = (r * (x @ w) / length).sum() * w / size**3
        yield Case(
            f"dx [{N},{D}]",
            dx,
            numeric_gradient(f, x),
            {"this line was right: dx needs the way through the length": inner[:, None] * w},
        )
        yield Case(
            f"dw [{N},{D}]",
            dw,
            numeric_gradient(f, w),
            {
                "as it stood: a part of dw is counted twice": x.T @ inner - 2 * pull,
                "the way through the size of w is lost": x.T @ inner,
                "the sign of the way through the size": x.T @ inner + pull,
            },
        )
