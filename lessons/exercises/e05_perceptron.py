import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a perceptron whose negative side has a learned slope"
TASK = """
The lesson's relu is off below 0. Here each output o has a number c_o, and what is negative is multiplied by it (a PReLU):
    z = x W + b,   y_no = z_no if z_no > 0, else c_o z_no
Write prelu_backward(dy, x, W, b, c) (about 6 lines). A row c_o may be negative, so the sign of y tells nothing: compute z again.
    dy [N,O]  the derivative of the loss by y;  x [N,I], W [I,O], b [O], c [O]
    returns dx [N,I], dW [I,O], db [O], dc [O]
"""
STUB = """\
import numpy as np


def prelu_backward(dy, x, W, b, c):  # [N,O], [N,I], [I,O], [O], [O] -> [N,I], [I,O], [O], [O]
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "What is the slope of y by z on each side of 0? And which y_no change if c_o grows, and by how much per unit?",
    "dz = dy * np.where(z > 0, 1, c). Then dx, dW, db as in the lesson. c_o is used by the rows n with z_no <= 0, with the "
    "factor z_no: dc = (dy * np.minimum(z, 0)).sum(0).",
)
EXPLAIN = """
Why it is so: a relu is this layer with c = 0. On the negative side y = c z has two factors, so each gets the other times dy;
and c_o is used by many rows, so their shares add up. With c > 0 no output can be dead: something always comes back.
"""


def check(answer, rng):
    for N, I, O in ((7, 5, 3), (4, 2, 5), (3, 3, 3)):
        x, W, b = rng.standard_normal((N, I)), rng.standard_normal((I, O)), rng.standard_normal(O)
        c, r = rng.uniform(0.2, 0.8, size=O) * rng.choice([-1, 1], size=O), rng.standard_normal((N, O))
        z = x @ W + b
        on = z > 0

        # The oracle holds the sides of the kinks fixed while it moves a number.
        def f(_, x=x, W=W, b=b, c=c, r=r, on=on):
            z = x @ W + b
            return (r * np.where(on, z, c * z)).sum()

        wrong = {
            "the slope below 0 is c, not 0": r * on,
            "the slope must be 1 above 0 and c below": r * np.where(on, c, 1),
            "the side is decided by z: where c is negative, y > 0 on both sides": r * np.where(np.where(on, z, c * z) > 0, 1, c),
            "the slope is missing": r,
        }
        causes = [{}, {}, {}, {"c is used by many rows: the sum, not the mean": (r * np.minimum(z, 0)).mean(0)}]
        causes[3]["only rows with z <= 0 use c"] = (r * z).sum(0)
        causes[3]["the factor beside c is z"] = (r * ~on).sum(0)
        causes[3]["the factor beside c is z, not y = c z"] = (r * c * np.minimum(z, 0)).sum(0)
        for words, dz in wrong.items():
            for i, value in enumerate((dz @ W.T, x.T @ dz, dz.sum(0))):
                causes[i][words] = value
        yours = answer.prelu_backward(r, x, W, b, c)
        for name, mine, array, why in zip(("dx", "dW", "db", "dc"), yours, (x, W, b, c), causes, strict=True):
            yield Case(f"{name}, x [{N},{I}], W [{I},{O}]", mine, numeric_gradient(f, array), why)
