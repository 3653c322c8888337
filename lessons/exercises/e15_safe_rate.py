import numpy as np

from atrank_np.layers.ranking import dot_forward, pointwise_backward, pointwise_forward
from lessons.exercises import Case

TITLE = "the largest rate that a bowl forgives"
TASK = """
Write safe_rate(e, p) (about 3 lines).
    e  [T,D]  the context vectors of T targets      p  [T]  their probabilities σ(f)
When one small vector δ is added to all h_t, and the e_t are held fixed, the loss (a mean over the targets) bends by the matrix
1/T Σ_t p_t (1 - p_t) e_t e_tᵀ.
    returns the learning rate 2 / (its largest eigenvalue): in a bowl of this bend, descent grows above it instead of falling
"""
STUB = """\
import numpy as np


def safe_rate(e, p):  # [T,D], [T] -> number
    # YOUR CODE (about 3 lines)
    ...
"""
HINTS = (
    "A sum over t of numbers times outer products is one matrix product: (e.T * numbers) @ e.",
    "np.linalg.eigvalsh gives the eigenvalues of a symmetric matrix in rising order: the last one is the largest.",
)
EXPLAIN = """
Why it is so: a step multiplies a small deviation along an eigenvector of bend c by 1 - rate · c, and that is below -1 as soon as
rate > 2/c. With layer-normed e of gain 1 and D = 128 the bend is up to 32, and 2/c can be as low as 1/16. A real loss is no bowl:
its bend changes while it is trained, so this rate speaks of the first steps only (lesson 15 measures what happens then).
"""


def check(answer, rng):
    for T, D in ((2, 3), (7, 3), (5, 11)):
        e, f = rng.standard_normal((T, D)) + 1, rng.standard_normal(T)
        # The oracle knows no formula: it differentiates the slope by a shift of all h, numerically.
        h, y = rng.standard_normal((T, D)), rng.integers(2, size=T).astype(float)
        rest = f - dot_forward(h, e)[0]

        def slope(shift, h=h, e=e, y=y, rest=rest):
            df = pointwise_backward(1.0, pointwise_forward(dot_forward(h + shift, e)[0] + rest, y)[1])
            return df @ e

        bend = np.array([(slope(1e-5 * v) - slope(-1e-5 * v)) / 2e-5 for v in np.eye(D)])
        expected = 2 / np.linalg.eigvalsh((bend + bend.T) / 2)[-1]
        p = 1 / (1 + np.exp(-f))
        largest = lambda numbers, e=e: np.linalg.eigvalsh((e.T * numbers) @ e)[-1]
        yield Case(
            f"safe rate of {T} vectors of {D} numbers",
            answer.safe_rate(e, p),
            expected,
            {
                "the mean is missing: divide by T": expected / T,
                "the numbers p (1 - p) are missing": 2 / (largest(np.ones(T)) / T),
                "p (1 - p), not p": 2 / (largest(p) / T),
                "that is 1 / bend: half of what is safe": expected / 2,
                "the smallest eigenvalue in place of the largest": 2 / np.linalg.eigvalsh((e.T * (p * (1 - p))) @ e / T)[0],
            },
        )
