import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "scores from two matrices: the gradients of all four"
TASK = """
Many attention models (transformers) have two small matrices in place of W, and the factor 1/√d. The rows h give the queries
h A, the rows S give the keys S B, and
    scores = (h A)(S B)ᵀ / √d
Write scores_backward(dscores, h, A, S, B) (about 6 lines).
    dscores [T,n]  the derivative of the loss by the scores
    h [T,E]   T rows for queries        A [E,d]
    S [n,D]   n rows for keys           B [D,d]
    returns dh [T,E], dA [E,d], dS [n,D], dB [D,d]
Write it in index notation first. Then order the products so that it is fast (no check can see this): d is the smallest size, so
multiply dscores, which has a number for each pair, only by arrays with d columns.
"""
STUB = """\
import numpy as np


def scores_backward(dscores, h, A, S, B):  # [T,n], [T,E], [E,d], [n,D], [D,d] -> [T,E], [E,d], [n,D], [D,d]
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Three steps forward: s = h A, key = S B, scores = s keyᵀ / √d. Back: ds and dkey from dscores, both with the factor "
    "1/√d; then each product by itself.",
    "The shapes decide: ds [T,d] is dscores times key; dkey [n,d] is dscoresᵀ times s; dA [E,d] can only be hᵀ ds, dh [T,E] "
    "only ds Aᵀ; S and B go the same way. d is A.shape[1].",
)
EXPLAIN = """
Why it is so: the formula is linear in each of its four factors, so the rule of the lesson gives all of them. With W = A Bᵀ/√d
it is the lesson's bilinear form, for such W as are a product of two small matrices; here dW = hᵀ dscores S, and dA = dW B/√d,
dB = dWᵀ A/√d. The factor 1/√d keeps scores of random rows near the size 1, where a softmax still learns.
"""


def check(answer, rng):
    for q, n, E, d, D in ((3, 5, 2, 3, 7), (5, 4, 3, 2, 5), (6, 6, 3, 2, 3)):
        h, A, S, B = (rng.standard_normal(shape) for shape in ((q, E), (E, d), (n, D), (D, d)))
        r = rng.standard_normal((q, n))

        def f(_, r=r, h=h, A=A, S=S, B=B, d=d):
            return np.einsum("ij,ie,ep,jq,qp->", r, h, A, S, B) / np.sqrt(d)

        names = ("dh", "dA", "dS", "dB")
        expected = [numeric_gradient(f, array) for array in (h, A, S, B)]
        ds, dkey = r @ S @ B / np.sqrt(d), r.T @ h @ A / np.sqrt(d)
        causes = [{"the factor 1/√d is missing": right * np.sqrt(d)} for right in expected]
        for why, right in zip(causes, expected):
            why["the factor 1/√d is there twice: once for the scores is enough"] = right / np.sqrt(d)
        causes[1]["what comes back to s = h A is missing: dscores"] = h.T @ np.ones_like(ds)
        causes[3]["what comes back to key = S B is missing: dscores"] = S.T @ np.ones_like(dkey)
        if q == n:  # elsewhere such a product has no shape
            causes[2]["dscores must be transposed here: row j of S collects from all queries"] = r @ h @ A @ B.T / np.sqrt(d)
            causes[3]["dscores must be transposed here: row j of S collects from all queries"] = S.T @ (r @ h @ A) / np.sqrt(d)
        yours = answer.scores_backward(r, h, A, S, B)
        for name, mine, right, why in zip(names, yours, expected, causes, strict=True):
            yield Case(f"{name} (T={q}, n={n}, E={E}, d={d}, D={D})", mine, right, why)
