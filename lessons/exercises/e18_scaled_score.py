import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "the score of the authors' code, backward"
TASK = """
Write score_backward(dz, x, A, B) (about 8 lines) for
    s = relu(x A), t = relu(x B), z = s tᵀ / sqrt(d)
    x [n,D], A [D,d], B [D,d], dz [n,n]: the derivative of the loss by z, row i for the query i
    returns a tuple: dx [n,D], dA [D,d], dB [D,d]
"""
STUB = """\
import numpy as np


def score_backward(dz, x, A, B):  # [n,n], [n,D], [D,d], [D,d] -> [n,D], [D,d], [D,d]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Compute s and t again. z_ij is the product of row i of s and row j of t: ds gathers over j, dt over i. The relus come next.",
    "ds = dz @ t / sqrt(d), dt = dz.T @ s / sqrt(d); keep each where s, or t, is positive. Then both are linear layers of the "
    "same x, so dx is a sum of two products.",
)
EXPLAIN = """
Why it is so: a query and a key change places in the product, so dt needs the transpose of dz. And where a relu is shut for a
behaviour, its score teaches that number nothing: with relus on both sides that is three quarters of all products at the start.
"""


def score(x, A, B):
    return np.maximum(x @ A, 0) @ np.maximum(x @ B, 0).T / np.sqrt(A.shape[1])


def check(answer, rng):
    for n, D, d in ((2, 3, 2), (5, 7, 3), (3, 2, 5)):
        while True:  # away from the relus' kinks, where no numeric derivative is right
            x, A, B = rng.standard_normal((n, D)), rng.standard_normal((D, d)), rng.standard_normal((D, d))
            if min(np.abs(x @ A).min(), np.abs(x @ B).min()) > 1e-3:
                break
        dz = rng.standard_normal((n, n))
        yours = answer.score_backward(dz, x, A, B)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 3:
            yield Case("a tuple of three: dx, dA, dB. How many arrays came back", came, 3)
            return
        s, t, root = np.maximum(x @ A, 0), np.maximum(x @ B, 0), np.sqrt(d)
        ds, dt, mixed = dz @ t / root * (s > 0), dz.T @ s / root * (t > 0), dz @ s / root * (t > 0)
        loss = lambda x, A, B, dz=dz: float((dz * score(x, A, B)).sum())
        yield Case(
            f"dx [{n},{D}]",
            yours[0],
            numeric_gradient(lambda x, A=A, B=B, loss=loss: loss(x, A, B), x.copy()),
            {
                "x has two uses: the keys' road is missing": ds @ A.T,
                "x has two uses: the queries' road is missing": dt @ B.T,
                "1/sqrt(d) is missing": root * (ds @ A.T + dt @ B.T),
                "the keys need dz transposed": ds @ A.T + mixed @ B.T,
            },
        )
        yield Case(
            f"dA [{D},{d}]",
            yours[1],
            numeric_gradient(lambda A, x=x, B=B, loss=loss: loss(x, A, B), A.copy()),
            {
                "1/sqrt(d) is missing": root * x.T @ ds,
                "the relu is missing": x.T @ (dz @ t) / root,
            },
        )
        yield Case(
            f"dB [{D},{d}]",
            yours[2],
            numeric_gradient(lambda B, x=x, A=A, loss=loss: loss(x, A, B), B.copy()),
            {
                "1/sqrt(d) is missing": root * x.T @ dt,
                "the relu is missing": x.T @ (dz.T @ s) / root,
                "the keys need dz transposed": x.T @ mixed,
            },
        )
