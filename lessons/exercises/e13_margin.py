import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.ranking import pairwise_forward, sigmoid
from lessons.exercises import Case

TITLE = "the pair-wise loss, backward"
TASK = """
Write pairwise_gradient(f, positive, negative) (about 5 lines).
    f         [T]  scores
    positive  [X]  and
    negative  [X]  places in f: pair x is (positive[x], negative[x]). A place may stand in many pairs
    returns df [T], the derivative of the mean over the pairs of -log σ(f⁺ - f⁻)
"""
STUB = """\
import numpy as np


def pairwise_gradient(f, positive, negative):  # [T], [X], [X] -> [T]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "Begin with the margin x = f⁺ - f⁻ of each pair. The derivative of -log σ(x) is -σ(-x). What does each score get of it?",
    "Each pair hands its dx to its positive and -dx to its negative. `df[positive] += dx` keeps only one of several shares; "
    "np.add.at(df, positive, dx) adds them all. The mean divides by the number of PAIRS.",
)
EXPLAIN = """
Why it is so: a pair pushes its two scores apart by equal amounts, the harder the worse their order. The gradients sum to 0, so a
pair-wise loss cannot know how high scores should be as a whole. For ranking that is no loss; for probabilities it is.
"""


def check(answer, rng):
    for T, X in ((3, 2), (7, 5), (5, 13)):
        f = 2 * rng.standard_normal(T)
        P = max(1, T // 2)
        positive, negative = rng.integers(P, size=X), rng.integers(P, T, size=X)
        expected = numeric_gradient(lambda f, p=positive, n=negative: pairwise_forward(f, p, n)[0], f.copy())
        dx = -sigmoid(f[negative] - f[positive])
        lost, total, half = np.zeros(T), np.zeros(T), np.zeros(T)
        lost[positive] += dx / X
        lost[negative] -= dx / X
        np.add.at(total, positive, dx)
        np.add.at(half, positive, dx / X)
        np.add.at(total, negative, -dx)
        yield Case(
            f"df [{T}] from {X} pairs",
            answer.pairwise_gradient(f, positive, negative),
            expected,
            {
                "repeated places are lost: `df[places] += …` keeps one share of each place": lost,
                "the mean over the pairs is missing": total,
                "the mean is over the pairs, not over the targets": total / T,
                "the sign is flipped: a positive must be lifted, so its gradient is negative": -total / X,
                "the negatives get nothing": half,
            },
        )
