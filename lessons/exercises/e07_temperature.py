import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a softmax with a mask and a temperature"
TRANSFER = True
TASK = """
Not every behaviour may enter, and a number τ (the temperature) decides how even the weights are. In each row
    a_i = M_i e^(x_i/τ) / Σ_j M_j e^(x_j/τ)      and zeros if all M_j of the row are 0 (M is the mask, of 1 and 0)
Write masked_softmax(x, mask, tau) (about 5 lines) and masked_softmax_backward(da, x, mask, tau, a) (about 4 lines).
    x     [rows,n]  scores, which may be as large as 10000; mask [rows,n] of True and False; tau a number above 0
    a     [rows,n]  what your forward pass returned; da [rows,n] the derivative of the loss by a
    the backward pass returns dx [rows,n] and dtau (a number)
A masked score of -inf gets the weight 0. But -inf - (-inf) is nan: think of a row in which nothing is allowed.
Derive both on paper first: which formula of the lesson do you meet again if you call x/τ by a name of its own?
"""
STUB = """\
import numpy as np


def masked_softmax(x, mask, tau):  # [rows,n], [rows,n] bool, number -> [rows,n]
    # YOUR CODE (about 5 lines)
    ...


def masked_softmax_backward(da, x, mask, tau, a):  # all [rows,n], tau a number -> [rows,n], number
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "Forward: give the masked scores the value -inf and think of a row without any True before you subtract its maximum. "
    "Backward: with u = x/τ the weights are a softmax of u. What is da worth where a is 0?",
    "du = a (da - <a, da>), row by row; masked places have a = 0, so du is 0 there by itself. Then x has the factor 1/τ in "
    "u, and τ is used by every entry: the derivative of x/τ by τ is -x/τ², so dtau = -Σ du x / τ², over all rows.",
)
EXPLAIN = """
Why it is so: a mask takes behaviours out of both the numerator and the sum, so what is left is a softmax over fewer scores; its
gradient needs no special case, since a = 0 silences masked places. The temperature is one number that every entry uses: its
gradient is one sum. A packed batch, as in this package, needs no mask at all: what does not belong to a history is not in it.
"""


def forward(x, mask, tau):
    u = np.where(mask, x / tau, -np.inf)
    top = u.max(1, keepdims=True)
    e = np.exp(u - np.where(np.isfinite(top), top, 0))
    total = e.sum(1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def check(answer, rng):
    for n, m, tau in ((5, 7, 0.7), (4, 3, 2.5), (6, 6, 1.3)):
        x, r, temperature = rng.standard_normal((n, m)), rng.standard_normal((n, m)), np.array(tau)
        mask = rng.random((n, m)) < 0.7
        mask[0], mask[1:-1, 0], mask[-1] = True, True, False  # nothing is allowed in the last row, and in no other
        shape = f"[{n},{m}], τ = {tau}"
        right = forward(x, mask, tau)
        yours = np.asarray(answer.masked_softmax(x, mask, tau))
        yield Case(f"the last row of a, where nothing is allowed, {shape}", yours[-1], right[-1])
        yield Case(
            f"the rows of a before it, {shape}",
            yours[:-1],
            right[:-1],
            {
                "masked behaviours still stand in the denominator": (mask * forward(x, mask | True, tau))[:-1],
                "the mask is ignored": forward(x, mask | True, tau)[:-1],
                "the temperature is ignored": forward(x, mask, 1.0)[:-1],
                "the temperature divides the scores": forward(x, mask, 1 / tau)[:-1],
            },
        )
        large = 10000 * x
        u = mask * np.exp((large - large.max(1, keepdims=True)) / tau)  # less the maximum of all
        yield Case(
            f"a of large scores, {shape}",
            np.asarray(answer.masked_softmax(large, mask, tau))[:-1],
            forward(large, mask, tau)[:-1],
            {
                "the maximum to subtract is that of the allowed scores: below a larger one, all their powers are 0": (
                    u / np.maximum(u.sum(1, keepdims=True), 1e-300)
                )[:-1]
            },
        )

        def f(_, x=x, r=r, mask=mask, temperature=temperature):
            return (r * forward(x, mask, temperature)).sum()

        du = right * (r - (right * r).sum(1, keepdims=True))
        dx, dtau = answer.masked_softmax_backward(r, x, mask, tau, right)
        yield Case(
            f"dx {shape}",
            dx,
            numeric_gradient(f, x),
            {
                "x stands in u = x/τ: the factor 1/τ is missing": du,
                "the factor is 1/τ, not τ": du * tau,
                "the second term, with <a, da>, is missing": right * r / tau,
                "<a, da> is the weighted mean of the allowed behaviours, not their plain sum": right
                * (r - (mask * r).sum(1, keepdims=True))
                / tau,
            },
        )
        yield Case(
            f"dtau {shape}",
            dtau,
            numeric_gradient(f, temperature),
            {
                "the derivative of x/τ by τ is -x/τ²: the sign": (du * x).sum() / tau**2,
                "the derivative of x/τ by τ is -x/τ²: the square": -(du * x).sum() / tau,
                "the mean over the entries in place of the sum": -(du * x).mean() / tau**2,
            },
        )
