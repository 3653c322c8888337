import numpy as np

from atrank_np.layers.ranking import dot_forward, pointwise_backward, pointwise_forward
from lessons.exercises import Case

TITLE = "the bend of a loss, and 2/bend"
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


def bend_of(e, f, rng):  # the oracle knows no formula: it differentiates the slope by a shift of all h, numerically
    T, D = e.shape
    h, y = rng.standard_normal((T, D)), rng.integers(2, size=T).astype(float)
    rest = f - dot_forward(h, e)[0]

    def slope(shift):
        df = pointwise_backward(1.0, pointwise_forward(dot_forward(h + shift, e)[0] + rest, y)[1])
        return df @ e

    bend = np.array([(slope(1e-5 * v) - slope(-1e-5 * v)) / 2e-5 for v in np.eye(D)])
    return np.linalg.eigvalsh((bend + bend.T) / 2)


def check(answer, rng):
    for T, D in ((3, 4), (7, 3), (5, 11)):
        drawn = [(rng.standard_normal((T, D)) + 1, rng.standard_normal(T)) for _ in range(3)]
        probabilities = [1 / (1 + np.exp(-f)) for _, f in drawn]
        yours = [answer.safe_rate(e, p) for (e, _), p in zip(drawn, probabilities)]
        right = np.array([2 / bend_of(e, f, rng)[-1] for e, f in drawn])

        def without(numbers, T=T, drawn=drawn, probabilities=probabilities):
            eigenvalues = [np.linalg.eigvalsh((e.T * numbers(p)) @ e / T) for (e, _), p in zip(drawn, probabilities)]
            return np.array(eigenvalues)

        yield Case(
            f"rates of three draws of {T} vectors of {D} numbers",
            yours,
            right,
            {
                "the mean is missing: divide by T": right / T,
                "the numbers p (1 - p) are missing": 2 / without(np.ones_like)[:, -1],
                "p (1 - p), not p": 2 / without(lambda p: p)[:, -1],
                "that is 1 / bend: half of it": right / 2,
                "that is the bend itself": 2 / right,
                "the smallest eigenvalue in place of the largest": 2 / without(lambda p: p * (1 - p))[:, 0],
            },
        )
