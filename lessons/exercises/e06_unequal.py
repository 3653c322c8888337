import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "spaces of different widths, each with a strength"
TRANSFER = True
TASK = """
The paper lets the spaces have different widths. And let each space k have a strength g_k that is learned. With the columns
bounds[k] … bounds[k+1] - 1 for space k:
    z = S P + b,   y_ic = g_k relu(z_ic)      for the columns c of space k
Write unequal_grad(dy, S, P, b, g, bounds) (about 8 lines).
    dy [n,D]  the derivative of the loss by y;  S [n,E], P [E,D], b [D], g [K] (negative ones occur);  bounds [K+1], from 0 to D
    returns dS [n,E], dP [E,D], db [D], dg [K]
A loop over the spaces is welcome.
"""
STUB = """\
import numpy as np


def unequal_grad(dy, S, P, b, g, bounds):  # [n,D], [n,E], [E,D], [D], [K], [K+1] -> [n,E], [E,D], [D], [K]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Name the relu r = max(z, 0), so y = g_k r in space k: a product of two, so each gets dy times the other. g_k is one "
    "number that many entries use.",
    "Spread g over the columns: np.repeat(g, np.diff(bounds)). Then dr = dy times that, dz = dr [z > 0] (not [y > 0]: g may "
    "be negative), and dg_k = the sum of dy r over all behaviours and over the columns of space k.",
)
EXPLAIN = """
Why it is so: nothing in (2) asks for equal widths; the columns of a product are independent, so spaces are only a way to
group them. Where the output may be negative, its sign no longer tells on which side of the relu it was: keep z, or the relu's
own output. The strength is used n times the width of its space, and gets one number: the sum.
"""


def check(answer, rng):
    for n, E, bounds in ((5, 4, (0, 2, 3, 7)), (3, 7, (0, 1, 5)), (4, 3, (0, 3, 4, 6, 7))):
        bounds = np.array(bounds)
        D, K = bounds[-1], len(bounds) - 1
        S, P, b, r = (rng.standard_normal(shape) for shape in ((n, E), (E, D), D, (n, D)))
        g = rng.uniform(0.5, 2, size=K)
        g[0] = -g[0]
        width = np.diff(bounds)
        on = S @ P + b > 0

        # The oracle holds the relu's sides fixed while it moves a number.
        def f(_, S=S, P=P, b=b, g=g, r=r, on=on, width=width):
            return (r * np.repeat(g, width) * on * (S @ P + b)).sum()

        relu, spread = np.maximum(S @ P + b, 0), np.repeat(g, width)
        causes = [{}, {}, {}, {}]
        for words, dz in {
            "the factor g of y = g relu(z) is missing": r * on,
            "where g is negative, y > 0 does not say that the relu is on": r * spread * (spread * relu > 0),
            "the relu's slope is missing": r * spread,
        }.items():
            for i, value in enumerate((dz @ P.T, S.T @ dz, dz.sum(0))):
                causes[i][words] = value
        per_column = (r * relu).sum(0)
        causes[3]["the factor beside g is relu(z), not z"] = np.add.reduceat((r * (S @ P + b)).sum(0), bounds[:-1])
        causes[3]["the factor beside g is relu(z), not y"] = np.add.reduceat(per_column * spread, bounds[:-1])
        causes[3]["the sum over the columns of a space, not the mean"] = np.add.reduceat(per_column, bounds[:-1]) / width
        causes[3]["the sum over the behaviours, not the mean"] = np.add.reduceat(per_column, bounds[:-1]) / n
        yours = answer.unequal_grad(r, S, P, b, g, bounds)
        for name, mine, array, why in zip(("dS", "dP", "db", "dg"), yours, (S, P, b, g), causes, strict=True):
            yield Case(f"{name}, {n} behaviours, bounds {bounds.tolist()}", mine, numeric_gradient(f, array), why)
