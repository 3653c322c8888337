import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a gated layer: two products of x meet"
TRANSFER = True
TASK = """
In a gated linear unit one product of x decides how much of another passes:
    p = x A + a,   g = σ(x B + c),   y = p ∘ g          σ(z) = 1 / (1 + e^-z)
Write glu_backward(dy, x, A, a, B, c) (about 8 lines).
    dy [N,O]  the derivative of the loss by y;  x [N,I], A and B [I,O], a and c [O]
    returns dx [N,I], dA [I,O], da [O], dB [I,O], dc [O]
First on paper, in index notation: which sums does x_ni stand in?
"""
STUB = """\
import numpy as np


def glu_backward(dy, x, A, a, B, c):  # [N,O], [N,I], [I,O], [O], [I,O], [O] -> [N,I], [I,O], [O], [I,O], [O]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Compute p and g again. y = p g gives dp and dg; σ has the slope g (1 - g). Then both products are as in the lesson. x "
    "is used in both.",
    "dp = dy * g; dg = dy * p; dz = dg * g * (1 - g). dx = dp @ A.T + dz @ B.T; dA = x.T @ dp; da = dp.sum(0); dB = x.T @ "
    "dz; dc = dz.sum(0).",
)
EXPLAIN = """
Why it is so: in y = p g each factor gets dy times the other one. x reaches y by two ways, so two products add up in dx. A
relu layer is a gate of the same kind, g = [z > 0], whose own slope is 0: there only the first of the two ways is left.
"""


def check(answer, rng):
    for N, I, O in ((7, 5, 3), (4, 2, 5), (3, 3, 3)):
        x, A, B = rng.standard_normal((N, I)), rng.standard_normal((I, O)), rng.standard_normal((I, O))
        a, c, r = rng.standard_normal(O), rng.standard_normal(O), rng.standard_normal((N, O))

        def f(_, x=x, A=A, B=B, a=a, c=c, r=r):
            return (r * (x @ A + a) / (1 + np.exp(-(x @ B + c)))).sum()

        p, g = x @ A + a, 1 / (1 + np.exp(-(x @ B + c)))
        dp, dz = r * g, r * p * g * (1 - g)
        yours = answer.glu_backward(r, x, A, a, B, c)
        slope = "the slope of σ, g (1 - g), is missing"
        no_factor = "y = p g: what comes back to p has the factor g"
        no_gate = "y = p g: what comes back to g has the factor p"
        causes = (
            {"x is used twice: the way through the gate is missing": dp @ A.T, "x is used twice: only the gate's way": dz @ B.T},
            {no_factor: x.T @ r},
            {no_factor: r.sum(0), "the sum over the rows, not the mean": dp.mean(0)},
            {slope: x.T @ (r * p), no_gate: x.T @ (r * g * (1 - g))},
            {slope: (r * p).sum(0), no_gate: (r * g * (1 - g)).sum(0), "the sum over the rows, not the mean": dz.mean(0)},
        )
        for name, mine, array, why in zip(("dx", "dA", "da", "dB", "dc"), yours, (x, A, a, B, c), causes, strict=True):
            yield Case(f"{name}, x [{N},{I}], A and B [{I},{O}]", mine, numeric_gradient(f, array), why)
