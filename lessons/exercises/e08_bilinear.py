import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "scores from two matrices: the gradients of all four"
TASK = """
A transformer has two small matrices in place of W, and the factor 1/√d: scores = (x A)(m B)ᵀ / √d.
Write scores_backward(dscores, x, A, m, B) (about 6 lines).
    dscores [q,n]  the derivative of the loss by the scores
    x [q,E]   the rows that ask         A [E,d]
    m [n,D]   the rows looked at        B [D,d]
    returns dx [q,E], dA [E,d], dm [n,D], dB [D,d]
Write it in index notation first; then let nothing wider than d meet a pair (though no check can see it).
"""
STUB = """\
import numpy as np


def scores_backward(dscores, x, A, m, B):  # [q,n], [q,E], [E,d], [n,D], [D,d] -> [q,E], [E,d], [n,D], [D,d]
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Three steps forward: s = x A, key = m B, scores = s keyᵀ / √d. Back: ds and dkey from dscores, both with the factor "
    "1/√d; then each product by itself.",
    "The shapes decide: ds [q,d] is dscores times key; dkey [n,d] is dscoresᵀ times s; dA [E,d] can only be xᵀ ds, dx [q,E] "
    "only ds Aᵀ; m and B go the same way. d is A.shape[1].",
)
EXPLAIN = """
Why it is so: the formula is linear in each of its four factors, so the rule of the lesson gives all of them. With W = A Bᵀ/√d
it is the paper's bilinear form, for a W of rank d at most; here dW = xᵀ dscores m, and dA = dW B/√d, dB = dWᵀ A/√d. The
factor 1/√d keeps scores of random rows near the size 1, where a softmax still learns.
"""


def check(answer, rng):
    for q, n, E, d, D in ((3, 5, 2, 3, 7), (5, 4, 3, 2, 5), (6, 6, 3, 2, 3)):
        x, A, m, B = (rng.standard_normal(shape) for shape in ((q, E), (E, d), (n, D), (D, d)))
        r = rng.standard_normal((q, n))

        def f(_, r=r, x=x, A=A, m=m, B=B, d=d):
            return np.einsum("ij,ie,ep,jq,qp->", r, x, A, m, B) / np.sqrt(d)

        names = ("dx", "dA", "dm", "dB")
        expected = [numeric_gradient(f, array) for array in (x, A, m, B)]
        ds, dkey = r @ m @ B / np.sqrt(d), r.T @ x @ A / np.sqrt(d)
        causes = [{"the factor 1/√d is missing": right * np.sqrt(d)} for right in expected]
        for why, right in zip(causes, expected):
            why["the factor 1/√d is there twice: once for the scores is enough"] = right / np.sqrt(d)
        causes[1]["what comes back to s = x A is missing: dscores"] = x.T @ np.ones_like(ds)
        causes[3]["what comes back to key = m B is missing: dscores"] = m.T @ np.ones_like(dkey)
        if q == n:  # elsewhere such a product has no shape
            causes[2]["dscores must be transposed here: row j of m collects from all that ask"] = r @ x @ A @ B.T / np.sqrt(d)
            causes[3]["dscores must be transposed here: row j of m collects from all that ask"] = m.T @ (r @ x @ A) / np.sqrt(d)
        yours = answer.scores_backward(r, x, A, m, B)
        for name, mine, right, why in zip(names, yours, expected, causes, strict=True):
            yield Case(f"{name} (q={q}, n={n}, E={E}, d={d}, D={D})", mine, right, why)
