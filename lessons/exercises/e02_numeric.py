import numpy as np

from lessons.exercises import Case

TITLE = "numeric derivatives of an array by an array"
TASK = """
The lesson measured the derivative of one number by an array. Write jacobian(g, x, h) (about 8 lines) for a function whose
result is an array too.
    g   takes an array of the shape of x, returns a row [M]; M is known only after a call
    x   of any shape: one, two or three axes (np.ndindex(x.shape) goes through all places); leave x itself as it is
    h   the step
    returns J [M, size of x]: J[i, j] is the central difference of g(x)[i] when only entry j of x moves; entries are counted in
    the order of np.ndindex, as in x.ravel()
"""
STUB = """\
import numpy as np


def jacobian(g, x, h):  # [M] of [...], [...], number -> [M, size of x]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "One call of g to each side tells a whole column of J: all M results answer to the same entry of x.",
    "Collect the columns in a list, (g(up) - g(down)) / (2 * h) for each place of np.ndindex(x.shape), with fresh copies up "
    "and down; np.stack(columns, axis=1) puts them side by side.",
)
EXPLAIN = """
Why it is so: a row of J belongs to a result, a column to an entry that moves. If L = Σ r_i g_i, its gradient is r times J:
that is what a backward pass computes, and it never forms J. A full J costs two calls of g for each entry of x: for the
200,000 parameters of a small model 400,000 forward passes. A backward pass gives the gradient for the price of about two.
"""


def check(answer, rng):
    for shape, M in (((2, 3), 4), ((5,), 3), ((2, 1, 3), 2)):
        x, w = rng.standard_normal(shape), rng.standard_normal((M, int(np.prod(shape))))

        def g(x, w=w):
            return np.sin(w @ x.ravel()) * (1 + x.ravel()[0] ** 2) + x.sum() ** 3

        for h in (1e-5, 0.1):  # the large step tells a central difference from all others
            expected, one_sided = np.zeros((2, M, x.size))
            for j in range(x.size):
                v = np.zeros(x.size)
                v[j] = h
                up, down = x + v.reshape(shape), x - v.reshape(shape)
                expected[:, j] = (g(up) - g(down)) / (2 * h)
                one_sided[:, j] = (g(up) - g(x)) / h
            yield Case(
                f"J of x {list(shape)}, h = {h}",
                answer.jacobian(g, x, h),
                expected,
                {
                    "the two points are 2h apart, not h": 2 * expected,
                    "only one side was moved: that is (g(x+h) - g(x)) / h": one_sided,
                    "the sign: the larger point comes first": -expected,
                    "the difference is not divided by the distance of the two points": 2 * h * expected,
                    "the entries of x are in another order than np.ndindex has them": expected[:, ::-1],
                },
            )
