import numpy as np

from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from lessons.exercises import Case

TITLE = "perceptron: the backward pass"
TASK = """
Write perceptron_grad(dy, x, W, y) (about 2 lines). The forward pass was y = relu(x W + b).
    dy  [N,O]  the derivative of the loss by y
    x   [N,I], W [I,O], y [N,O]: what the forward pass had and made
    returns dx [N,I], dW [I,O], db [O]
"""
STUB = """\
import numpy as np


def perceptron_grad(dy, x, W, y):  # [N,O], [N,I], [I,O], [N,O] -> [N,I], [I,O], [O]
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "First back through the relu: dy passes where y is positive and stops elsewhere. Call that dz; use only dz from then on.",
    "Each gradient has the shape of its array, and sums over the index that it lacks: dx over the outputs, dW and db over the "
    "rows. Two of the three are matrix products with a transposed factor.",
)
EXPLAIN = """
Why it is so: x[n,i] reaches every output of its row, W[i,o] is used by every row, b[o] as well. A number with many
uses gets the sum over them; a matrix product is nothing but many such sums at once.
"""


def check(answer, rng):
    for N, I, O in ((7, 5, 3), (1, 2, 5), (3, 3, 3)):
        x, W, b = rng.standard_normal((N, I)), rng.standard_normal((I, O)), rng.standard_normal(O)
        dy = rng.standard_normal((N, O))
        y, cache = perceptron_forward(x, W, b)
        dz, ungated, own = dy * (y > 0), dy, dy * (dy > 0)
        wrong = {
            "the gate of the relu is missing: dy stops where y is 0": [f(ungated) for f in (_dx(W), _dW(x), _db)],
            "the gate opens where y is positive, not where dy is": [f(own) for f in (_dx(W), _dW(x), _db)],
            "the slope of a relu is 1, not y": [f(dy * y) for f in (_dx(W), _dW(x), _db)],
        }
        causes = [{words: values[i] for words, values in wrong.items()} for i in range(3)]
        causes[1]["the mean over the rows instead of the sum"] = x.T @ dz / N
        causes[2]["the mean over the rows instead of the sum"] = dz.mean(0)
        if I == O:
            causes[0]["W must be transposed"] = dz @ W
        expected = perceptron_backward(dy, cache)
        dx, dW, db = answer.perceptron_grad(dy, x, W, y)
        for name, yours, right, why in zip(("dx", "dW", "db"), (dx, dW, db), expected, causes, strict=True):
            yield Case(f"{name}, x [{N},{I}], W [{I},{O}]", yours, right, why)


def _dx(W):
    return lambda dz: dz @ W.T


def _dW(x):
    return lambda dz: x.T @ dz


def _db(dz):
    return np.sum(dz, 0)
