import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.ranking import pointwise_forward, sigmoid
from lessons.exercises import Case

TITLE = "the sigmoid cross entropy (8), both ways"
TASK = """
Write two functions, about 2 lines each.
    pointwise_loss(f, y)      [T], [T] -> number   the mean of -y log σ(f) - (1 - y) log(1 - σ(f))
    pointwise_gradient(f, y)  [T], [T] -> [T]      its derivative by the scores f
y holds 0 and 1. Some scores are 800 or -800: neither function may give inf or nan, or warn of an overflow.
"""
STUB = """\
import numpy as np


def pointwise_loss(f, y):  # [T], [T] -> number
    # YOUR CODE (about 2 lines)
    ...


def pointwise_gradient(f, y):  # [T], [T] -> [T]
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "For both labels the loss is softplus(f) - y f, with softplus(f) = log(1 + e^f). Its slope is σ(f) - y. And then the mean.",
    "softplus(f) is max(f, 0) + log1p(e^-|f|). For σ take e = e^-|f|, which is at most 1: σ is 1 / (1 + e) for f ≥ 0 and "
    "e / (1 + e) for f < 0. np.where chooses between two arrays.",
)
EXPLAIN = """
Why it is so: the sigmoid saturates and the logarithm blows up, but in the loss they cancel: the slope is just p - y, at most 1 in
size (before the mean), and never 0 for a mistake. That is why the two belong together, and why code computes them as one.
"""


def check(answer, rng):
    for T in (3, 5, 11):
        f, y = 3 * rng.standard_normal(T), (rng.permutation(T) < T // 2).astype(float)
        each = np.logaddexp(0, f) - y * f
        yield Case(
            f"loss of {T} targets",
            answer.pointwise_loss(f, y),
            each.mean(),
            {
                "the sum is asked for nowhere: take the mean over the targets": each.sum(),
                "the sign: a loss is minus a logarithm of a probability": -each.mean(),
            },
        )
        expected = numeric_gradient(lambda f, y=y: pointwise_forward(f, y)[0], f.copy())
        p = sigmoid(f)
        yield Case(
            f"gradient of {T} targets",
            answer.pointwise_gradient(f, y),
            expected,
            {
                "the mean is missing: divide by the number of targets": p - y,
                "the sign is flipped: it is what was said minus what was true": (y - p) / T,
                "a factor σ (1 - σ) is left: it cancels against the derivative of the logarithm": (p - y) * p * (1 - p) / T,
                "that is the gradient for a label of 0: - y is missing": p / T,
            },
        )
    f, y = np.array([800.0, -800, 800, -800]), np.array([1.0, 0, 0, 1])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield Case("loss of scores of 800", answer.pointwise_loss(f, y), 400.0)
        yield Case("gradient of scores of 800", answer.pointwise_gradient(f, y), np.array([0, 0, 0.25, -0.25]))
