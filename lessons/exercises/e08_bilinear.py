import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bilinear scores: the gradients of all three"
TASK = """
Write bilinear_backward(dscores, s, W, m) (about 4 lines) for scores = s W mᵀ, keys first.
    dscores [q,n]  the derivative of the loss by the scores
    s [q,d]        the queries        W [d,D]  the matrix of one space        m [n,D]  the rows that are looked at
    returns ds [q,d], dW [d,D], dm [n,D]
Let nothing wider than d meet a pair (query, row), though no check can see it: form key = m Wᵀ again, it is cheap.
"""
STUB = """\
def bilinear_backward(dscores, s, W, m):  # [q,n], [q,d], [d,D], [n,D] -> [q,d], [d,D], [n,D]
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "Two steps forward: key = m Wᵀ, scores = s keyᵀ. Two steps back: ds and dkey from dscores, then dm and dW.",
    "The shapes decide: dkey [n,d] can only be dscoresᵀ times s; dW [d,D] can only be dkeyᵀ times m; ds uses key, dm uses W.",
)
EXPLAIN = """
Why it is so: the formula is linear in each factor, so the derivative by one factor is what the others make, with dscores
in its place and a sum over every index that it lacks. A key is met by every query: dkey sums over the queries. W is met by
every pair: dW sums over all of them, but thanks to dkey in n steps and not in q · n.
"""


def check(answer, rng):
    for q, n, d, D in ((3, 5, 2, 7), (1, 4, 3, 5), (6, 6, 3, 7)):
        s, W, m = rng.standard_normal((q, d)), rng.standard_normal((d, D)), rng.standard_normal((n, D))
        r = rng.standard_normal((q, n))
        ds, dW, dm = answer.bilinear_backward(r, s, W, m)

        def f(_, r=r, s=s, W=W, m=m):
            return np.einsum("ij,ip,pq,jq->", r, s, W, m)

        shape = f"(q={q}, n={n}, d={d}, D={D})"
        turned = r.T if q == n else None
        yield Case(
            f"ds {shape}",
            ds,
            numeric_gradient(f, s),
            {
                "dscores is transposed: query i collects from all keys j": None if turned is None else turned @ m @ W.T,
            },
        )
        yield Case(
            f"dW {shape}",
            dW,
            numeric_gradient(f, W),
            {
                "dscores is missing: each pair counts with its own dscores": np.outer(s.sum(0), m.sum(0)),
                "dscores is transposed: W meets s_i on the left and m_j on the right": None
                if turned is None
                else s.T @ turned @ m,
            },
        )
        yield Case(
            f"dm {shape}",
            dm,
            numeric_gradient(f, m),
            {
                "dscores must be transposed here: row j of m collects from all queries i": None if turned is None else r @ s @ W,
            },
        )
