import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a layer of your own: x tanh(softplus(βx))"
TRANSFER = True
TASK = """
Derive and write the backward pass gate_backward(dy, x, beta) (about 6 lines) of
    y = x ∘ tanh(p),   p = log(1 + exp(beta x))
with one number beta for all entries.
    dy    [N,D]  the derivative of the loss by y
    x     [N,D], beta a number: what the forward pass was given
    returns dx [N,D], dbeta (a number)
First on paper: name the steps, go back one by one, and ask for x and for beta how many uses they have.
"""
STUB = """\
import numpy as np


def gate_backward(dy, x, beta):  # [N,D], [N,D], number -> [N,D], number
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Three functions stand one inside the other: a product, a log of an exponential, a tanh. Give each inner one a name, so that "
    "y is a product of two named numbers. At which two places does x stand? How many entries use beta?",
    "Steps: z = beta x, p = log(1 + e^z), t = tanh(p), y = x t. Back: dt = dy x; dp = dt (1 - t²), the slope of tanh; dz = dp "
    "σ(z), the slope of p by z. x has a use in z and a use in y: dx = dy t + dz beta. dbeta is a sum over all entries.",
)
EXPLAIN = """
Why it is so: x is used twice, so two terms add up; beta is used N · D times, so its gradient is a sum over all entries, one
number, as beta is one number. With beta = 1 the layer is known as mish. No new rule was needed: only the chain rule, the sum
over uses, and the derivatives of three functions of one number.
"""


def check(answer, rng):
    for N, D, beta in ((3, 5, 0.7), (2, 2, -1.3), (5, 1, 2.0)):
        x, r, scale = rng.standard_normal((N, D)), rng.standard_normal((N, D)), np.array(beta)

        def f(_, x=x, r=r, scale=scale):
            return (r * x * np.tanh(np.log1p(np.exp(scale * x)))).sum()

        z = beta * x
        t, slope = np.tanh(np.log1p(np.exp(z))), 1 / (1 + np.exp(-z))
        dz = r * x * (1 - t**2) * slope
        dx, dbeta = answer.gate_backward(r, x, beta)
        yield Case(
            f"dx [{N},{D}], beta = {beta}",
            dx,
            numeric_gradient(f, x),
            {
                "x stands in two places: the factor x beside tanh(p) is missing": dz * beta,
                "x stands in two places: the way through p is missing": r * t,
                "what comes back to x through beta x has the factor beta": r * t + dz,
                "the derivative of tanh is 1 - tanh²": r * t + r * x * (1 - t) * slope * beta,
                "the derivative of p by beta x is missing": r * t + r * x * (1 - t**2) * beta,
            },
        )
        yield Case(
            f"dbeta, x [{N},{D}], beta = {beta}",
            dbeta,
            numeric_gradient(f, scale),
            {
                "beta is used by every entry: the sum, not the mean": (dz * x).mean(),
                "the derivative of beta x by beta is x: this factor is missing": dz.sum(),
            },
        )
